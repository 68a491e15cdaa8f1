"""The pull engine: what was asked of a consumer, what is still to come, and what ended it.

A `Puller` is a subscription to an inbox of its own. Messages come on it with their original subject and
an ack subject as reply; what comes without a reply is a status, about the pull whose inbox token stands in
its subject. When pulls are void that token changes, so that what is said of them later is recognized; when
the link is lost the whole inbox changes, so that no server sends for a pull of the link before.
"""

from __future__ import annotations

import asyncio
import builtins
from collections import deque
from collections.abc import MutableMapping
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypedDict

from tidings.nats.core.options import SubscriptionLimits
from tidings.nats.core.subscription import Subscription
from tidings.nats.errors import (
    ConnectionClosedError,
    ConnectionDrainingError,
    Error,
    PermissionsError,
    ProtocolError,
)
from tidings.nats.jetstream.api import Api
from tidings.nats.jetstream.errors import ConfigError, PullError
from tidings.nats.jetstream.message import JetStreamMsg
from tidings.nats.jetstream.statuses import PIN_MISMATCH, Verdict, pending_in, read_status
from tidings.nats.wire import Msg, encode_headers

__all__ = ["Priority", "PriorityOptions", "Puller", "Source", "message_size"]

# What comes is bounded by what was asked for.
_NO_LIMITS = SubscriptionLimits()
PAUSE = 0.25
"""Seconds before asking again what was refused for now."""
FINISH_PATIENCE = 2.0
"""Seconds that the end of a reading waits for what is under way."""


class PriorityOptions(TypedDict, total=False):
    """How a pull stands beside those of other clients (ADR-42); see `Priority`."""

    group: str | None
    min_pending: int
    min_ack_pending: int
    priority: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Priority:
    """How a pull stands beside those of other clients (ADR-42).

    Attributes:
        group: the priority group; None takes the only one of the consumer, if it has one.
        min_pending: overflow: get messages only while the consumer has at least so many pending.
        min_ack_pending: overflow: … or so many unacknowledged.
        priority: prioritized: 0 goes first, 9 last.
    """

    group: str | None = None
    min_pending: int = 0
    min_ack_pending: int = 0
    priority: int = 0

    def __post_init__(self) -> None:
        if self.min_pending < 0 or self.min_ack_pending < 0:
            raise ConfigError("min_pending and min_ack_pending cannot be negative")
        if not 0 <= self.priority <= 9:
            raise ConfigError(f"priority is 0 to 9, not {self.priority!r}")
        if self.group is None and (self.min_pending or self.min_ack_pending or self.priority):
            raise ConfigError("min_pending, min_ack_pending and priority are those of a group: name it")

    @property
    def fields(self) -> str:
        """What stands in the JSON of a request, after other fields."""
        if self.group is None:
            return ""
        text = f',"group":"{self.group}"'
        for name in ("min_pending", "min_ack_pending", "priority"):
            if value := getattr(self, name):
                text += f',"{name}":{value}'
        return text


@dataclass(frozen=True, slots=True)
class Source:
    """What is pulled from.

    Attributes:
        api: the way to the server.
        stream, consumer: their names.
        pins: priority group → the id under which this client is pinned to it.
        takes_acks: whether messages can be given back.
    """

    api: Api
    stream: str
    consumer: str
    pins: MutableMapping[str, str]
    takes_acks: bool = True

    async def look(self, timeout: float | None = None) -> None:
        """Raise ConsumerNotFoundError or StreamNotFoundError when it is not there any more."""
        await self.api.request(f"CONSUMER.INFO.{self.stream}.{self.consumer}", timeout=timeout)


class Puller(Subscription):
    """One reader of a consumer: a fetch, or an iteration.

    Attributes:
        held: messages that came and were not taken.
        to_come: messages asked for that have not come.
        is_left: nobody reads any more, and what still comes is given back.
        bytes_to_come: bytes asked for that have not come; for pulls that are limited in bytes.
    """

    def __init__(self, source: Source, priority: Priority, *, counts_bytes: bool = False) -> None:
        connection = source.api.connection
        home = connection.registry
        self._connection = connection
        self._inbox = connection.new_inbox()
        super().__init__(home, home.next_sid(), f"{self._inbox}.*", "", None, _NO_LIMITS, 0)
        self.source = source
        self.message_type = JetStreamMsg
        self.held: deque[JetStreamMsg] = deque()
        self.to_come = 0
        self.bytes_to_come = 0
        self.bytes_held = 0
        self.is_left = False
        self._counts_bytes = counts_bytes
        self._priority = priority
        self._ask_at = f"{source.api.prefix}.CONSUMER.MSG.NEXT.{source.stream}.{source.consumer}"
        self._turn = 0
        self._loop = asyncio.get_running_loop()
        self._heard = 0.0
        self._heartbeat = 0.0
        self._watch: asyncio.TimerHandle | None = None

    # What we say

    def begin(self) -> None:
        """Tell the server of the inbox. Raises ConnectionClosedError, ConnectionDrainingError."""
        if self._connection.is_closed:
            raise ConnectionClosedError("the client is closed; make a new one with connect()")
        if self._connection.is_draining:
            raise ConnectionDrainingError("the client drains and asks for no more messages")
        self._connection.registry.start(self)

    @property
    def can_ask(self) -> bool:
        """Whether there is a server to ask, and an answer is wanted."""
        return self._connection.is_connected and not (self.is_closed or self.is_draining)

    def ask(
        self, batch: int, max_bytes: int, expires: float, heartbeat: float = 0.0, no_wait: bool = False
    ) -> None:
        """Send a pull (ADR-37).

        Args:
            batch: messages.
            max_bytes: bytes, counted as `message_size` does; 0 sets no limit.
            expires: seconds that it waits at the server; 0 with `no_wait`.
            heartbeat: seconds between signs of life; 0 for none.
            no_wait: end it when there is nothing more now.
        """
        body = f'{{"batch":{batch}'
        if max_bytes:
            body += f',"max_bytes":{max_bytes}'
        nanoseconds = round(expires * 1e9)
        if nanoseconds > 0:
            body += f',"expires":{nanoseconds}'
        if heartbeat > 0:  # the server refuses more than half, be it by a nanosecond
            body += f',"idle_heartbeat":{min(round(heartbeat * 1e9), nanoseconds // 2)}'
        if no_wait:
            body += ',"no_wait":true'
        priority = self._priority
        if priority.group is not None:
            body += priority.fields
            if pin := self.source.pins.get(priority.group):
                body += f',"id":"{pin}"'
        writer = self._connection.writer
        writer.encoder.publish(self._ask_at, body + "}", f"{self._inbox}.{self._turn}")
        writer.write_early()
        self.to_come += batch
        self.bytes_to_come += max_bytes
        self._heard = self._loop.time()
        if heartbeat != self._heartbeat:
            self._watch_for(heartbeat)

    def give_back(self) -> None:
        """Have the server deliver again what came and nobody takes."""
        if self.source.takes_acks and not self._connection.is_closed:
            publish = self._connection.writer.encoder.publish
            for message in self.held:
                try:
                    publish(message.reply, b"-NAK")
                except Error:
                    break  # it is held by the server until its ack_wait is over
        self.held.clear()
        self.bytes_held = 0

    def leave(self) -> None:
        """End it now: nobody reads any more. What came is given back, and what is under way when it comes."""
        self.give_back()
        if self.is_closed or self.is_left:
            return
        begun = self.sid in self._connection.registry.routes
        if not begun or not self._connection.is_connected or self.is_draining:
            self.end()
            return
        self.is_left = True
        self.start_draining()
        self._connection.callbacks.notify(self._end_inflow)
        if self._waiters:
            self._wake_waiters()

    async def _end_inflow(self) -> None:
        """Have the server send no more, and take what is under way; then it is closed."""
        try:
            with suppress(builtins.TimeoutError):
                async with asyncio.timeout(FINISH_PATIENCE):
                    await self._connection.registry.end_inflow(self)
        finally:
            self.end()

    # What we hear

    if TYPE_CHECKING:

        def pop(self) -> JetStreamMsg | None:
            """What the parser made for it."""

    def wake(self) -> None:
        """Called by the link when something came."""
        self._heard = self._loop.time()
        pop, held = self.pop, self.held
        came, before = 0, len(held)
        while (message := pop()) is not None:
            if message.reply:
                held.append(message)
                came += 1
            else:
                self._lessen(came)
                came = 0
                self._hear(message)
        self._lessen(came)
        if self._counts_bytes and len(held) > before:
            size = sum(message_size(held[i]) for i in range(before, len(held)))
            self.bytes_held += size
            # Of a pull that got all its messages the server says nothing, whatever bytes are left of it.
            self.bytes_to_come = max(self.bytes_to_come - size, 0) if self.to_come else 0
        if len(held) > before:
            if self._priority.group is not None:
                self._learn_pin(held[-1], self._priority.group)
            self.check(before)
        if self.is_left:
            self.give_back()
            return
        self.came()
        if self._waiters:
            self._wake_waiters()

    def _lessen(self, came: int) -> None:
        self.to_come = max(self.to_come - came, 0)

    def _hear(self, message: Msg) -> None:
        found = read_status(message)
        if found is None:
            return
        status, code, text = found
        if message.subject.rpartition(".")[2] != str(self._turn):
            return
        if status.verdict is Verdict.ALIVE:
            self.beat(message)
            return
        if code == PIN_MISMATCH and self._priority.group is not None:
            self.source.pins.pop(self._priority.group, None)
        pending = None if status.verdict is Verdict.VOID else pending_in(message)
        if pending is None:
            self.forget_asked()
        else:
            self.to_come = max(self.to_come - pending[0], 0)
            self.bytes_to_come = max(self.bytes_to_come - pending[1], 0)
        self.ended(status.verdict, status.error(code, text))

    def _learn_pin(self, message: Msg, group: str) -> None:
        if group in self.source.pins or not message.has_headers:
            return
        with suppress(ProtocolError):  # a publisher's broken headers, which the server hands on
            if pin := message.headers.get("Nats-Pin-Id"):
                self.source.pins[group] = pin

    def forget_asked(self) -> None:
        """What was asked for is void, and what is said of it from now on does not count."""
        self._turn += 1
        self.to_come = self.bytes_to_come = 0

    def is_refused_by(self, error: PermissionsError) -> bool:
        """Whether `error` says that the server takes our inbox or our pulls from nobody like us."""
        return super().is_refused_by(error) or (
            error.operation == "publish" and error.subject == self._ask_at
        )

    def lost(self) -> None:
        """The link is gone, and all that was asked of its server."""
        self.forget_asked()
        # Another inbox: should the old server still hold a pull of ours, or the writer one that was not
        # sent, it finds nobody, instead of sending more than is asked for from now on.
        self._inbox = self._connection.new_inbox()
        self.subject = f"{self._inbox}.*"

    # The watch

    def _watch_for(self, heartbeat: float) -> None:
        self._heartbeat = heartbeat
        if self._watch is not None:
            self._watch.cancel()
            self._watch = None
        if heartbeat > 0:
            self._watch = self._loop.call_later(2 * heartbeat, self._look)

    def _look(self) -> None:
        """Whether the server was heard of. One timer for all pulls, which is set anew when it is up."""
        patience = 2 * self._heartbeat
        silent = self._loop.time() - self._heard
        is_overdue = self.to_come > 0 and self._connection.is_connected
        if is_overdue and silent >= patience:
            self._watch = self._loop.call_later(patience, self._look)
            self.went_silent(patience)
        else:
            wait = patience - silent if is_overdue and silent < patience else patience
            self._watch = self._loop.call_later(wait, self._look)

    def close(self) -> None:
        """No more messages come; what is held can still be taken."""
        self._watch_for(0.0)
        super().close()

    # What a reader makes of it

    def check(self, first: int) -> None:
        """Called when messages came, those in `held` from the index `first` on."""

    def beat(self, message: Msg) -> None:
        """Called with each heartbeat."""

    def came(self) -> None:
        """Called after a batch of messages and statuses was noted."""

    def ended(self, verdict: Verdict, error: PullError) -> None:
        """Called when a pull came to its end."""

    def went_silent(self, seconds: float) -> None:
        """Called when neither messages nor heartbeats came for so long, though they should."""


def message_size(message: Msg) -> int:
    """Bytes of a message as the server counts them for a pull: subject, reply, headers and payload."""
    size = len(message.subject) + len(message.reply) + len(message.data)
    if message.has_headers:
        with suppress(Error):  # a publisher's broken headers: that much less is counted
            size += len(encode_headers(message.headers))
    return size
