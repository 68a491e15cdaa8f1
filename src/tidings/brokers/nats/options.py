"""What NATS can be told of a source, of a destination and of the connection."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Literal, Self

from tidings.messaging.broker import BrokerKeywords
from tidings.messaging.endpoints import Destination, Source
from tidings.messaging.errors import SetupError
from tidings.nats import ConnectOptions
from tidings.nats.core.options import DEFAULT_LIMITS
from tidings.nats.wire import subject_matches

from .subjects import SubjectPattern

if TYPE_CHECKING:  # JetStream is loaded by who uses it
    from tidings.nats.jetstream import ConsumerConfig, DeliverPolicy, StreamConfig

__all__ = ["CONSUMER_OPTIONS", "NatsDestination", "NatsKeywords", "NatsSource", "Pull"]

CONSUMER_OPTIONS = (
    "deliver_policy",
    "opt_start_seq",
    "opt_start_time",
    "ack_wait",
    "max_deliver",
    "max_ack_pending",
    "backoff",
    "inactive_threshold",
    "headers_only",
)
"""Options of a source that a `ConsumerConfig` has by the same names."""
# Those that an ordered consumer has too.
_ORDERED_OPTIONS = ("deliver_policy", "opt_start_seq", "opt_start_time", "inactive_threshold", "headers_only")
_OF_STREAMS = ("durable", "pull", "ordered", "config", "filter_subjects", "declare", *CONSUMER_OPTIONS)
_OF_SUBJECTS = ("queue", "max_msgs", "pending_msgs_limit", "pending_bytes_limit")


@dataclass(frozen=True, slots=True, kw_only=True)
class Pull:
    """How messages are asked for. Those that are here and wait for a worker count as delivered: what all of
    them take to be handled should be well below the consumer's ``ack_wait``.

    Attributes:
        batch: messages asked for and not yet handled, at the most.
        max_bytes: … in bytes, in the place of messages.
        expires: seconds that a request waits at the server; then it is made again.
        heartbeat: seconds between signs of life of an idle server; None is half of `expires`, at most 30.
    """

    batch: int = 100
    max_bytes: int | None = None
    expires: float = 30.0
    heartbeat: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class NatsSource(Source):
    """A subject to listen to: what is published to it while we listen, or what a stream has stored of it.

    Attributes:
        subject: may hold wildcards, `*` for one token and a last `>` for the rest, and named parts
            for `Path`: "logs.{level}".

    Without a stream:

    Attributes:
        queue: queue group; each message goes to one member of it. Empty for a copy to everyone.
        max_msgs: end after so many messages; 0 is never.
        pending_msgs_limit: messages held while the handler is busy; more are dropped, which is
            logged. 0 is no limit.
        pending_bytes_limit: bytes of payload held likewise.

    From a stream, through a consumer whose filter is the subject:

    Attributes:
        stream: the name of one that is there, or the config of one that is made if it is not.
        durable: the name of the consumer, which stays when nobody listens; all who name it share its
            messages. Empty for a consumer of our own, which ends with us.
        pull: how messages are asked for.
        ordered: every message in order, and nothing is settled; the consumer is our own.
        filter_subjects: only these of what the subject covers.
        declare: "create" makes what is not there, "update" also changes what is there otherwise, "never"
            does neither. What is there otherwise is a SetupError, but for "update".
        config: of the consumer, in the place of the rest: see `ConsumerConfig` for what they are.
    """

    subject: str = field(kw_only=False)
    queue: str = ""
    max_msgs: int = 0
    pending_msgs_limit: int = DEFAULT_LIMITS.msgs
    pending_bytes_limit: int = DEFAULT_LIMITS.bytes
    stream: str | StreamConfig | None = None
    durable: str = ""
    pull: Pull | None = None
    ordered: bool = False
    filter_subjects: Collection[str] = ()
    declare: Literal["create", "update", "never"] = "create"
    config: ConsumerConfig | None = None
    deliver_policy: DeliverPolicy | None = None
    opt_start_seq: int | None = None
    opt_start_time: datetime | None = None
    ack_wait: float | timedelta | None = None
    max_deliver: int | None = None
    max_ack_pending: int | None = None
    backoff: Collection[float | timedelta] | None = None
    inactive_threshold: float | timedelta | None = None
    headers_only: bool | None = None

    @property
    def channel(self) -> str:
        """The subject as it is written."""
        return self.subject

    @property
    def answers(self) -> bool:
        """Whether requesters are answered; a stored message has none."""
        return not self.no_reply and self.stream is None

    def takes(self, destination: Destination) -> bool:
        """Whether the subject of `destination` matches."""
        return isinstance(destination, NatsDestination) and subject_matches(
            self.pattern.subject, destination.subject
        )

    @property
    def path_names(self) -> Collection[str]:
        """The named parts of the subject."""
        return [name for name, _ in self.pattern.names]

    @property
    def pattern(self) -> SubjectPattern:
        """The subject, read. SetupError for one that is none."""
        return SubjectPattern.parse(self.subject)

    def prefixed(self, prefix: str) -> Self:
        """The same with the prefix before its subject, and before those that filter it."""
        filters = tuple(prefix + each for each in self.filter_subjects)
        return replace(self, subject=prefix + self.subject, filter_subjects=filters)

    def given(self, names: Collection[str]) -> list[str]:
        """Which of these options are not left at their default."""
        defaults = NatsSource.__dataclass_fields__
        return [name for name in names if getattr(self, name) != defaults[name].default]

    def check(self) -> None:
        """Refuse options that cannot work, or not together. SetupError."""
        Source.check(self)
        if self.stream is None:
            self._refuse(_OF_STREAMS, "for messages of a stream: say stream=")
            return
        self._refuse(_OF_SUBJECTS, "not for messages of a stream")
        if self.config is not None:
            self._refuse(
                ("durable", "ordered", *CONSUMER_OPTIONS), "given, and a config too: put it into that"
            )
        if self.ordered:
            others = [name for name in ("durable", *CONSUMER_OPTIONS) if name not in _ORDERED_OPTIONS]
            self._refuse(others, "not for an ordered consumer")
            if self.workers > 1:
                raise SetupError(
                    f"{self.subject!r}: workers > 1 do not keep the order that ordered=True keeps"
                )
        if self.declare == "never" and not (self.durable or self.config or self.ordered):
            raise SetupError(f"{self.subject!r}: declare='never' needs the durable that is there")
        covering = self.pattern.subject
        for each in self.filter_subjects:
            if not subject_matches(covering, each) or (each.endswith(">") and not covering.endswith(">")):
                raise SetupError(f"filter subject {each!r} is not within the subject {self.subject!r}")

    def _refuse(self, names: Collection[str], why: str) -> None:
        if found := self.given(names):
            raise SetupError(f"{', '.join(found)} of the subscriber of {self.subject!r}: {why}")


@dataclass(frozen=True, slots=True, kw_only=True)
class NatsDestination(Destination):
    """A subject to publish to.

    Attributes:
        stream: the stream that must store what is published; publishing waits until it has. Empty for
            whoever listens.
    """

    subject: str = field(kw_only=False)
    stream: str = ""

    @property
    def channel(self) -> str:
        """The subject."""
        return self.subject

    def prefixed(self, prefix: str) -> Self:
        """The same with the prefix before its subject."""
        return replace(self, subject=prefix + self.subject)


class NatsKeywords(BrokerKeywords, ConnectOptions, total=False):
    """The keyword arguments of `NatsBroker`: of every broker, and of the NATS client."""
