"""One consumer behind an ordered one: its config, and its messages as long as none is missing."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TypedDict

from tidings.nats.errors import ConnectionReconnectingError, ProtocolError
from tidings.nats.jetstream.checks import check_name
from tidings.nats.jetstream.consumer_config import ConsumerConfig, DeliverPolicy, ReplayPolicy
from tidings.nats.jetstream.errors import ConsumerSequenceMismatchError, NoHeartbeatError, PullError
from tidings.nats.jetstream.message import JetStreamMsg
from tidings.nats.jetstream.pull import Source
from tidings.nats.jetstream.reading import Reading, ReadingSettings
from tidings.nats.jetstream.statuses import Verdict
from tidings.nats.wire import Msg

__all__ = ["OrderedOptions", "OrderedReading", "OrderedSettings", "Place"]

_INACTIVE_THRESHOLD = 300.0


class OrderedOptions(TypedDict, total=False):
    """`OrderedSettings` as keyword arguments."""

    filter_subjects: str | Sequence[str]
    deliver_policy: DeliverPolicy
    opt_start_seq: int
    opt_start_time: datetime | None
    replay_policy: ReplayPolicy
    headers_only: bool
    inactive_threshold: float | timedelta
    name_prefix: str | None
    max_reset_attempts: int | None


@dataclass(frozen=True, kw_only=True, slots=True)
class OrderedSettings:
    """What an ordered consumer reads; the fields of `ConsumerConfig` that make sense for it.

    Attributes:
        filter_subjects: one or several; none is all of the stream.
        deliver_policy, opt_start_seq, opt_start_time: where it begins.
        replay_policy: how fast.
        headers_only: leave the payloads out.
        inactive_threshold: seconds after which the server deletes a consumer that nobody reads.
        name_prefix: names become ``<prefix>_1`` and so on; None makes one up.
        max_reset_attempts: give up when so many consumers in a row could not be made; None never does.
    """

    filter_subjects: str | Sequence[str] = ()
    deliver_policy: DeliverPolicy = "all"
    opt_start_seq: int = 0
    opt_start_time: datetime | None = None
    replay_policy: ReplayPolicy = "instant"
    headers_only: bool = False
    inactive_threshold: float | timedelta = _INACTIVE_THRESHOLD
    name_prefix: str | None = None
    max_reset_attempts: int | None = None

    def __post_init__(self) -> None:
        if self.name_prefix is not None:
            check_name(self.name_prefix, "consumer")
        self.config("", None).check()

    def config(self, name: str, behind: int | None) -> ConsumerConfig:
        """The config of the next consumer, which begins behind a sequence; None is where we begin."""
        given = self.filter_subjects
        subjects = [given] if isinstance(given, str) else list(given)
        if not subjects and self.deliver_policy == "last_per_subject":
            subjects = [">"]  # it needs one
        config = ConsumerConfig(
            name=name,
            filter_subjects=subjects,
            deliver_policy=self.deliver_policy,
            opt_start_seq=self.opt_start_seq,
            opt_start_time=self.opt_start_time,
            replay_policy=self.replay_policy,
            headers_only=self.headers_only,
            inactive_threshold=self.inactive_threshold,
            ack_policy="none",
            mem_storage=True,
            num_replicas=1,
        )
        if behind is None:
            return config
        return replace(
            config, deliver_policy="by_start_sequence", opt_start_seq=behind + 1, opt_start_time=None
        )


@dataclass
class Place:
    """How far an ordered consumer is.

    Attributes:
        behind: the sequence of the stream that the next consumer begins behind; None before the first one.
        last_seq: the last sequence of the stream that came in order; 0 before the first.
        mark: held once, behind the messages that were stored when the reading began; None when it was, or
            is not wanted.
    """

    behind: int | None = None
    last_seq: int = 0
    mark: JetStreamMsg | None = None


class OrderedReading(Reading):
    """Reads from one consumer, as long as its messages come one after the other.

    Attributes:
        broken: why another consumer has to take over; None while this one will do.
    """

    def __init__(
        self, source: Source, settings: ReadingSettings, place: Place, ends: bool, stored: int = 0
    ) -> None:
        super().__init__(source, settings)
        self.broken: Exception | None = None
        self._place = place
        self._last_delivered = 0
        self._ends = ends
        self._stored = stored
        self._heard_of = -1

    def give_up(self, why: Exception) -> None:
        """Take nothing more: what came in order can still be taken."""
        if self.broken is None and not self.is_closed:
            self.broken = why
            self.end()

    def check(self, first: int) -> None:
        """Called when messages came.

        The consumer numbers what it delivers, without a gap, and one consumer's messages come in its order:
        so if the first and the last have their numbers, those between them have theirs.
        """
        held = self.held
        count = len(held) - first
        if self.broken is not None:
            self._drop(count)
            return
        try:
            begin, _, _ = _numbers(held[first])
            end, last_seq, pending = _numbers(held[-1])
        except ProtocolError as error:
            self._drop(count)
            self.give_up(error)
            return
        if begin != self._last_delivered + 1 or end != self._last_delivered + count:
            self._keep_in_order(first)
            return
        self._last_delivered = end
        self._place.last_seq = self._place.behind = last_seq
        if self._place.mark is not None and (end >= self._stored or pending == 0):
            self._put_mark(min(first + self._stored - begin + 1, len(held)))
        if self._ends and pending == 0:
            self.end_here()

    def expect_all(self) -> None:
        """A mark is wanted behind all that can be delivered, not behind what was stored at the beginning."""
        self._stored = sys.maxsize

    def nothing_to_come(self) -> None:
        """All that was stored is here: put the mark, and end if that was all that is wanted."""
        if self._place.mark is not None:
            self._put_mark(len(self.held))
        if self._ends:
            self.end_here()

    def _put_mark(self, at: int) -> None:
        mark, self._place.mark = self._place.mark, None
        if mark is not None:
            self.held.insert(at, mark)

    def end_here(self) -> None:
        """Nothing more is wanted than what is held."""
        self._end_at = min(self._end_at, self.taken + len(self.held))
        self.check_at = 0
        if not self.held:
            self.end()

    def _keep_in_order(self, first: int) -> None:
        """Some are missing: keep those before the gap."""
        held, good = self.held, 0
        for index in range(first, len(held)):
            with suppress(ProtocolError):
                delivered, seq, _ = _numbers(held[index])
                if delivered == self._last_delivered + 1:
                    self._last_delivered = delivered
                    self._place.last_seq = self._place.behind = seq
                    good += 1
                    continue
            break
        self._drop(len(held) - first - good)
        self.give_up(
            ConsumerSequenceMismatchError(
                f"message {self._last_delivered + 1} of consumer {self.source.consumer!r} is missing"
            )
        )

    def _drop(self, count: int) -> None:
        for _ in range(count):
            self.held.pop()

    def beat(self, message: Msg) -> None:
        """Called with each heartbeat: it says what was delivered before it."""
        delivered = message.headers.get("Nats-Last-Consumer", "")
        if delivered.isdecimal() and len(delivered) < 20:  # 64 bits
            self._heard_of = int(delivered)

    def came(self) -> None:
        """Called after a batch was noted, its heartbeats too, which stand anywhere in it."""
        delivered, self._heard_of = self._heard_of, -1
        if delivered > self._last_delivered:
            self.give_up(
                ConsumerSequenceMismatchError(f"up to message {delivered} was delivered and did not arrive")
            )
        elif delivered == self._last_delivered and self.broken is None:
            self.nothing_to_come()  # idle: if more was to come, it was removed meanwhile
        super().came()

    def ended(self, verdict: Verdict, error: PullError) -> None:
        """Called when a pull came to its end."""
        if verdict in (Verdict.VOID, Verdict.GONE, Verdict.ABSENT):
            self.give_up(error)
        else:
            super().ended(verdict, error)

    def went_silent(self, seconds: float) -> None:
        """Called when no heartbeat came."""
        self.give_up(NoHeartbeatError(f"no heartbeat of consumer {self.source.consumer!r} for {seconds:g} s"))

    def lost(self) -> None:
        """The link is gone: what was on its way is lost."""
        super().lost()
        self.give_up(ConnectionReconnectingError("the connection was lost"))


def _numbers(message: Msg) -> tuple[int, int, int]:
    """The consumer's number of a message, its sequence in the stream, and how many are still to come."""
    tokens = message.reply.split(".")
    # With domain and account there are two tokens more in front, and maybe some behind (ADR-53).
    first = 5 if len(tokens) == 9 else 7
    try:
        return int(tokens[first + 1]), int(tokens[first]), int(tokens[first + 3])
    except (IndexError, ValueError):
        raise ProtocolError(f"not an ack subject: {message.reply!r}") from None
