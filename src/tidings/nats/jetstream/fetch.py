"""One fetch: so many messages, or bytes, or what comes in a time."""

from __future__ import annotations

import asyncio

from tidings.nats.errors import ConnectionClosedError, ConnectionReconnectingError, TimeoutError
from tidings.nats.jetstream.errors import (
    ConfigError,
    JetStreamUnavailableError,
    NoHeartbeatError,
    NotFoundError,
    PullError,
    PullRefusedError,
)
from tidings.nats.jetstream.message import JetStreamMsg
from tidings.nats.jetstream.pull import PAUSE, Priority, Puller, Source
from tidings.nats.jetstream.statuses import Verdict
from tidings.nats.jetstream.times import to_seconds

__all__ = ["UNBOUNDED", "Fetch"]

UNBOUNDED = 1_000_000
"""Messages asked for where the limit is one of bytes."""

# Fetches this long are told by heartbeats that the server is still there.
_LONG = 10.0
_LONG_HEARTBEAT = 5.0
# The server ends a pull a little before we give up on it, so that no message is sent to nobody.
_SLACK, _MOST_SLACK = 0.1, 0.25


class Fetch(Puller):
    """A fetch under way.

    Args:
        batch: messages.
        max_bytes: bytes, counted as `message_size` does; 0 sets no limit.
        timeout: seconds for all of it.
        no_wait: take only what is there.
        heartbeat: seconds between signs of life; None takes five in a long fetch, none in a short one.
    """

    def __init__(
        self,
        source: Source,
        priority: Priority,
        *,
        batch: int,
        max_bytes: int = 0,
        timeout: float = 5.0,
        no_wait: bool = False,
        heartbeat: float | None = None,
    ) -> None:
        timeout = to_seconds(timeout, "timeout")
        if batch < 1 or max_bytes < 0 or not timeout > 0:
            raise ConfigError(f"a fetch of {batch} messages and {max_bytes} bytes in {timeout} s")
        if heartbeat is None:
            heartbeat = _LONG_HEARTBEAT if timeout >= _LONG and not no_wait else 0.0
        elif heartbeat < 0:
            raise ConfigError(f"heartbeat cannot be negative: {heartbeat!r}; 0 is none")
        super().__init__(source, priority, counts_bytes=max_bytes > 0)
        self._batch = batch
        self._max_bytes = max_bytes
        self._timeout = timeout
        self._no_wait = no_wait
        self._beat = heartbeat
        self._asked = False
        self._over = False
        self._absent = False
        self._not_before = 0.0
        self._reason: Exception | None = None
        self._news: asyncio.Future[None] | None = None

    async def run(self) -> list[JetStreamMsg]:
        """The messages; what came is returned, even if an error ended it. See `Consumer.fetch`."""
        self._deadline = self._loop.time() + self._timeout
        self.begin()
        try:
            while not (self._over or self.is_closed or self._is_full):
                if self._absent:
                    await self._look_for_consumer()
                elif not await self._step():
                    break
        except BaseException:
            self.leave()
            raise
        self.end()
        if not self.held:
            self._raise_reason()
            return []
        take = self.held.popleft
        messages = [take() for _ in range(min(self._batch, len(self.held)))]
        if self.held:  # of a pull from before a void one
            self.give_back()
        return messages

    async def _step(self) -> bool:
        """Ask if there is something to ask, and wait for news; False when the time is up."""
        now = self._loop.time()
        if now >= self._deadline:
            return False
        if not self._asked and self.can_ask and now >= self._not_before:
            self._ask_for_the_rest(self._deadline - now)
        until = self._deadline
        if not self._asked and self.can_ask:
            until = min(until, self._not_before)
        self._news = self._loop.create_future()
        timer = self._loop.call_at(until, self._tell)
        try:
            await self._news
        finally:
            timer.cancel()
            self._news = None
        return True

    def _ask_for_the_rest(self, left: float) -> None:
        expires = 0.0
        if not self._no_wait:
            expires = max(left - min(left * _SLACK, _MOST_SLACK), 0.001)
        self._asked = True
        if not isinstance(self._reason, NoHeartbeatError):  # that one counts until something is heard
            self._reason = None
        self.ask(
            self._batch - len(self.held),
            max(self._max_bytes - self.bytes_held, 1) if self._max_bytes else 0,
            expires,
            min(self._beat, expires / 2),
            self._no_wait,
        )

    @property
    def _is_full(self) -> bool:
        return len(self.held) >= self._batch or 0 < self._max_bytes <= self.bytes_held

    def _tell(self) -> None:
        if self._news is not None and not self._news.done():
            self._news.set_result(None)

    def came(self) -> None:
        """Called after a batch was noted."""
        if isinstance(self._reason, NoHeartbeatError):
            self._reason = None
        if self._over or self._is_full or not self._asked:
            self._tell()

    def ended(self, verdict: Verdict, error: PullError) -> None:
        """Called when the pull came to its end."""
        self._asked = False
        match verdict:
            case Verdict.EMPTY | Verdict.OVER:
                # Larger than max_bytes is the first message only when there is none before it.
                self._reason = error if isinstance(error, PullRefusedError) else None
                self._over = True
            case Verdict.VOID:
                self._reason = error
            case Verdict.BUSY | Verdict.ABSENT:
                self._reason = error
                self._not_before = self._loop.time() + PAUSE
                self._absent = verdict is Verdict.ABSENT
                self._over = self._no_wait and not self._absent
            case _:
                self._reason = error
                self._over = True

    def went_silent(self, seconds: float) -> None:
        """Called when no heartbeat came: ask again, while there is time."""
        self._reason = NoHeartbeatError(
            f"no heartbeat of consumer {self.source.consumer!r} for {seconds:g} s"
        )
        self.forget_asked()
        self._asked = False
        self._tell()

    def lost(self) -> None:
        """The link is gone: what was asked for is asked of the next server."""
        super().lost()
        self._asked = False

    def restored(self) -> None:
        """There is a server again."""
        self._tell()

    def close(self) -> None:
        """No more messages come."""
        super().close()
        self._tell()

    async def _look_for_consumer(self) -> None:
        """Nobody took the pull: is the consumer gone, or only its leader?"""
        self._absent = False
        left = self._deadline - self._loop.time()
        try:
            await self.source.look(max(min(left, self.source.api.timeout), 0.001))
        except NotFoundError as error:
            self._reason = error
            self._over = True
        except (JetStreamUnavailableError, TimeoutError) as error:
            self._reason = JetStreamUnavailableError(f"nobody took the pull: {error}")
            self._over = self._no_wait

    def _raise_reason(self) -> None:
        if self.failure is not None:
            raise self.failure
        if self._connection.is_closed:
            raise ConnectionClosedError("the client was closed in the middle of a fetch")
        if self._reason is not None:
            raise self._reason
        if not self._connection.is_connected:
            raise ConnectionReconnectingError(
                f"the connection is away, and did not come back within {self._timeout} s"
            )
