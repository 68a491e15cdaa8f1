"""A consumer: what reads messages from a stream."""

from __future__ import annotations

from dataclasses import replace
from typing import Unpack

from tidings.nats.errors import TimeoutError
from tidings.nats.jetstream.api import Api
from tidings.nats.jetstream.consume import Consuming, JetStreamCallback
from tidings.nats.jetstream.errors import ConfigError
from tidings.nats.jetstream.fetch import UNBOUNDED, Fetch
from tidings.nats.jetstream.infos import ConsumerInfo
from tidings.nats.jetstream.message import JetStreamMsg
from tidings.nats.jetstream.messages import Messages
from tidings.nats.jetstream.pull import Priority, PriorityOptions, Source
from tidings.nats.jetstream.reading import Reading, ReadingOptions, ReadingSettings

__all__ = ["Consumer"]


class Consumer:
    """A pull consumer of a stream.

    Attributes:
        stream_name: the stream that it reads from.
        name: its name.
        cached_info: what the server told last, see `info`.
    """

    def __init__(self, api: Api, info: ConsumerInfo) -> None:
        self.api = api
        self.stream_name = info.stream_name
        self.name = info.name
        self.cached_info = info
        self._pins: dict[str, str] = {}

    async def info(self) -> ConsumerInfo:
        """What the server tells of it now; kept in `cached_info`.

        Raises:
            ConsumerNotFoundError, StreamNotFoundError: it is gone.
        """
        answer = await self.api.request(f"CONSUMER.INFO.{self.stream_name}.{self.name}")
        self.cached_info = info = ConsumerInfo.from_wire(answer)
        return info

    async def delete(self) -> None:
        """Delete it. Raises as `info`."""
        await self.api.request(f"CONSUMER.DELETE.{self.stream_name}.{self.name}")

    async def fetch(
        self,
        batch: int = 1,
        timeout: float = 5.0,
        *,
        no_wait: bool = False,
        heartbeat: float | None = None,
        **priority: Unpack[PriorityOptions],
    ) -> list[JetStreamMsg]:
        """Messages, at most `batch`; as many as come within `timeout`, none if none come.

        A connection that is lost meanwhile, a change of leader or a missing heartbeat costs no more than
        the time: what is left is asked for again. What came is returned, whatever happens after it.

        Args:
            batch: messages.
            timeout: seconds for all of it.
            no_wait: take only what is there now.
            heartbeat: seconds between signs of life of the server; None takes five where `timeout` is ten
                or more, and none in a shorter one.
            priority: see `Priority`.

        Raises:
            ConsumerNotFoundError, StreamNotFoundError, ConsumerDeletedError: it is gone.
            PullError: the server refuses; a subclass that says why.
            NoHeartbeatError: the server is silent.
            JetStreamUnavailableError, ConnectionReconnectingError: there is no server to ask.
            ConfigError: an argument that cannot work.
            ConnectionClosedError, ConnectionDrainingError: the client is closed.
        """
        fetch = Fetch(
            self._source(),
            self._priority(**priority),
            batch=batch,
            timeout=timeout,
            no_wait=no_wait,
            heartbeat=heartbeat,
        )
        return await fetch.run()

    async def fetch_bytes(
        self,
        max_bytes: int,
        timeout: float = 5.0,
        *,
        no_wait: bool = False,
        heartbeat: float | None = None,
        **priority: Unpack[PriorityOptions],
    ) -> list[JetStreamMsg]:
        """Messages, as many as are at most `max_bytes` together, as the server counts.

        It counts subject, ack subject, headers and payload. The other arguments and the errors are
        those of `fetch`.
        """
        fetch = Fetch(
            self._source(),
            self._priority(**priority),
            batch=self.cached_info.config.max_batch or UNBOUNDED,
            max_bytes=max_bytes,
            timeout=timeout,
            no_wait=no_wait,
            heartbeat=heartbeat,
        )
        return await fetch.run()

    async def next(
        self,
        timeout: float = 5.0,
        *,
        heartbeat: float | None = None,
        **priority: Unpack[PriorityOptions],
    ) -> JetStreamMsg:
        """The next message.

        Args:
            timeout: seconds.

        Raises:
            TimeoutError: none came in time.
            The rest as `fetch`, whose other arguments it takes.
        """
        messages = await self.fetch(1, timeout, heartbeat=heartbeat, **priority)
        if not messages:
            raise TimeoutError(f"no message of consumer {self.name!r} within {timeout} s")
        return messages[0]

    def messages(self, **options: Unpack[ReadingOptions]) -> Messages:
        """The messages, as an iterator that goes on; the next ones are asked for while these are handled.

        Args:
            options: see `ReadingSettings`.

        Raises:
            ConfigError: an option that cannot work.
        """
        return Messages(Reading(self._source(), self._settings(options)))

    async def consume(
        self, callback: JetStreamCallback, *, workers: int = 1, **options: Unpack[ReadingOptions]
    ) -> Consuming:
        """Call a function, plain or async, with each message, until it is stopped.

        Args:
            callback: settles the message that it is given.
            workers: calls at once; with more than one the order is lost.
            options: see `ReadingSettings`.

        Raises:
            ConfigError: an option that cannot work.
            ConnectionClosedError, ConnectionDrainingError: the client is closed.
        """
        if not callable(callback):
            raise ConfigError(f"callback is a function of one message, not {callback!r}")
        if workers < 1:
            raise ConfigError(f"workers is at least 1, not {workers!r}")
        return Consuming(self.messages(**options), callback, workers)

    def _source(self) -> Source:
        takes_acks = self.cached_info.config.ack_policy != "none"
        return Source(self.api, self.stream_name, self.name, self._pins, takes_acks)

    def _priority(self, **options: Unpack[PriorityOptions]) -> Priority:
        if options.get("group") is None:
            options["group"] = self._only_group
        return Priority(**options)

    @property
    def _only_group(self) -> str | None:
        groups = self.cached_info.config.priority_groups
        return groups[0] if len(groups) == 1 else None

    def _settings(self, options: ReadingOptions) -> ReadingSettings:
        config = self.cached_info.config
        settings = ReadingSettings.of(options, self._only_group)
        # What the consumer does not allow it need not refuse first.
        if 0 < config.max_batch < settings.batch and not settings.max_bytes:
            settings = replace(settings, batch=config.max_batch, threshold=None)
        if config.max_expires and settings.expires > config.max_expires >= 1:
            settings = replace(settings, expires=config.max_expires, heartbeat=None)
        if settings.max_bytes and 0 < config.max_bytes < settings.max_bytes:
            settings = replace(settings, max_bytes=config.max_bytes, threshold=None)
        return settings

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name!r} of {self.stream_name!r}>"
