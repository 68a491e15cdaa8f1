"""Consumers of streams: made, changed, found, listed, paused, reset, deleted."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

from tidings.nats.jetstream.api import Api, Part
from tidings.nats.jetstream.checks import check_name, check_sequence, has_wildcard
from tidings.nats.jetstream.consumer import Consumer
from tidings.nats.jetstream.consumer_config import ConsumerConfig
from tidings.nats.jetstream.errors import ConfigError
from tidings.nats.jetstream.infos import ConsumerInfo, ConsumerPause, ConsumerReset
from tidings.nats.jetstream.times import format_time, to_seconds

__all__ = ["ConsumersOfStream", "Consumers"]

_PAUSE_LEVEL = 1
_UNPIN_LEVEL = 1
_RESET_LEVEL = 4


class ConsumersOfStream:
    """The consumers of one stream.

    Attributes:
        api: the way to the server.
        name: of the stream.
    """

    def __init__(self, api: Api, name: str) -> None:
        self.api = api
        self.name = check_name(name, "stream")

    async def create_consumer(self, config: ConsumerConfig | None = None, /, **fields: Any) -> Consumer:
        """Make a consumer; one that is there already with the same config is as good.

        Args:
            config: see `ConsumerConfig`.
            fields: … its fields one by one, in the place of a config.

        Raises:
            ConsumerExistsError: there is one of that name with another config.
            ConfigError, BadNameError: refused before it was sent.
            ApiLevelError: a field that the server is too old for.
            InvalidConfigError: refused by the server.
            StreamNotFoundError: there is no such stream.
        """
        return await self._put("create", _config_of(config, fields))

    async def update_consumer(self, config: ConsumerConfig | None = None, /, **fields: Any) -> Consumer:
        """Change a consumer to this config.

        Raises:
            ConsumerNotFoundError: there is none of that name.
            InvalidConfigError: a change that is not possible, or as `create_consumer`.
        """
        config = _config_of(config, fields)
        if not (config.name or config.durable_name):
            raise ConfigError("give the name of the consumer to update")
        return await self._put("update", config)

    async def create_or_update_consumer(
        self, config: ConsumerConfig | None = None, /, **fields: Any
    ) -> Consumer:
        """Make a consumer, or change the one of that name. Raises as `create_consumer`."""
        return await self._put("", _config_of(config, fields))

    async def consumer(self, name: str) -> Consumer:
        """The consumer of that name.

        Raises:
            ConsumerNotFoundError, StreamNotFoundError: there is none.
        """
        return Consumer(self.api, await self.consumer_info(name))

    async def consumer_info(self, name: str) -> ConsumerInfo:
        """What the server tells about a consumer. Raises as `consumer`."""
        return ConsumerInfo.from_wire(await self._ask("INFO", name))

    async def delete_consumer(self, name: str) -> None:
        """Delete a consumer. Raises as `consumer`."""
        await self._ask("DELETE", name)

    async def pause_consumer(self, name: str, until: datetime | timedelta | float) -> ConsumerPause:
        """Deliver nothing before `until`.

        Args:
            until: a time, or how long from now: seconds or a timedelta.

        Raises:
            ConsumerNotFoundError, StreamNotFoundError: there is none.
            ConfigError: `until` is no time with a time zone, nor a duration.
        """
        if not isinstance(until, datetime):
            until = datetime.now(UTC) + timedelta(seconds=to_seconds(until, "until"))
        self.api.require(_PAUSE_LEVEL, "pausing a consumer")
        return ConsumerPause.from_wire(
            await self._ask("PAUSE", name, {"pause_until": format_time(until, "until")})
        )

    async def resume_consumer(self, name: str) -> ConsumerPause:
        """Deliver again, before the time that it was paused until. Raises as `consumer`."""
        self.api.require(_PAUSE_LEVEL, "resuming a consumer")
        return ConsumerPause.from_wire(await self._ask("PAUSE", name, {}))

    async def reset_consumer(self, name: str, seq: int | None = None) -> ConsumerReset:
        """Forget what was delivered and not acknowledged, and go on from a place (ADR-60).

        Args:
            name: of the consumer.
            seq: the stream sequence to go on from; None is the first that is not acknowledged.

        Raises:
            InvalidResetError: the consumer's deliver policy does not allow it.
            ConsumerNotFoundError, StreamNotFoundError: there is none.
        """
        self.api.require(_RESET_LEVEL, "resetting a consumer")
        body = {} if seq is None else {"seq": check_sequence("seq", seq)}
        return ConsumerReset.from_wire(await self._ask("RESET", name, body))

    async def unpin_consumer(self, name: str, group: str) -> None:
        """Let another client of a priority group have the messages (ADR-42).

        Raises:
            BadRequestError: the consumer has no such group.
            ConsumerNotFoundError, StreamNotFoundError: there is none.
        """
        self.api.require(_UNPIN_LEVEL, "unpinning a client")
        await self._ask("UNPIN", name, {"group": group})

    async def consumers(self) -> AsyncIterator[ConsumerInfo]:
        """All consumers of the stream, asked for page by page. Raises StreamNotFoundError."""
        async for item in self.api.pages(f"CONSUMER.LIST.{self.name}", "consumers"):
            yield ConsumerInfo.from_wire(item)

    async def consumer_names(self) -> AsyncIterator[str]:
        """The names of all consumers of the stream. Raises StreamNotFoundError."""
        async for name in self.api.pages(f"CONSUMER.NAMES.{self.name}", "consumers"):
            yield name

    async def _put(self, action: Literal["create", "update", ""], config: ConsumerConfig) -> Consumer:
        config.check()
        for field, level in config.needs():
            self.api.require(level, field)
        name = config.name or config.durable_name or os.urandom(11).hex()
        subject = f"CONSUMER.CREATE.{self.name}.{name}"
        fields = {**config.to_wire(), "name": name}
        if len(config.filters) == 1:
            fields.pop("filter_subjects", None)
            fields["filter_subject"] = only = config.filters[0]
            # Here permissions can tell who may read what; a wildcard can be published to only at will.
            if not has_wildcard(only) or self.api.connection.options.skip_subject_validation:
                subject = f"{subject}.{only}"
        body = {"stream_name": self.name, "config": fields, "action": action}
        answer = await self.api.request(subject, body, level=config.needed_level)
        return Consumer(self.api, ConsumerInfo.from_wire(answer))

    async def _ask(self, verb: str, consumer: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        return await self.api.request(f"CONSUMER.{verb}.{self.name}.{check_name(consumer, 'consumer')}", body)


class Consumers(Part):
    """The part of `JetStream` that manages consumers, each method as that of `Stream`."""

    async def create_consumer(
        self, stream: str, config: ConsumerConfig | None = None, /, **fields: Any
    ) -> Consumer:
        """Make a consumer. See `Stream.create_consumer`."""
        return await self._of(stream).create_consumer(config, **fields)

    async def update_consumer(
        self, stream: str, config: ConsumerConfig | None = None, /, **fields: Any
    ) -> Consumer:
        """Change a consumer. See `Stream.update_consumer`."""
        return await self._of(stream).update_consumer(config, **fields)

    async def create_or_update_consumer(
        self, stream: str, config: ConsumerConfig | None = None, /, **fields: Any
    ) -> Consumer:
        """Make a consumer, or change it. See `Stream.create_or_update_consumer`."""
        return await self._of(stream).create_or_update_consumer(config, **fields)

    async def consumer(self, stream: str, name: str) -> Consumer:
        """The consumer of that name. See `Stream.consumer`."""
        return await self._of(stream).consumer(name)

    async def consumer_info(self, stream: str, name: str) -> ConsumerInfo:
        """What the server tells about a consumer. See `Stream.consumer_info`."""
        return await self._of(stream).consumer_info(name)

    async def delete_consumer(self, stream: str, name: str) -> None:
        """Delete a consumer. See `Stream.delete_consumer`."""
        await self._of(stream).delete_consumer(name)

    async def pause_consumer(
        self, stream: str, name: str, until: datetime | timedelta | float
    ) -> ConsumerPause:
        """Deliver nothing before `until`. See `Stream.pause_consumer`."""
        return await self._of(stream).pause_consumer(name, until)

    async def resume_consumer(self, stream: str, name: str) -> ConsumerPause:
        """Deliver again. See `Stream.resume_consumer`."""
        return await self._of(stream).resume_consumer(name)

    async def reset_consumer(self, stream: str, name: str, seq: int | None = None) -> ConsumerReset:
        """Go on from another place. See `Stream.reset_consumer`."""
        return await self._of(stream).reset_consumer(name, seq)

    async def unpin_consumer(self, stream: str, name: str, group: str) -> None:
        """Let another client have the messages. See `Stream.unpin_consumer`."""
        await self._of(stream).unpin_consumer(name, group)

    def consumers(self, stream: str) -> AsyncIterator[ConsumerInfo]:
        """All consumers of a stream. See `Stream.consumers`."""
        return self._of(stream).consumers()

    def consumer_names(self, stream: str) -> AsyncIterator[str]:
        """The names of all consumers of a stream. See `Stream.consumer_names`."""
        return self._of(stream).consumer_names()

    def _of(self, stream: str) -> ConsumersOfStream:
        return ConsumersOfStream(self.api, stream)


def _config_of(config: ConsumerConfig | None, fields: dict[str, Any]) -> ConsumerConfig:
    if config is None:
        try:
            return ConsumerConfig(**fields)
        except TypeError as error:
            raise ConfigError(str(error).replace("ConsumerConfig.__init__()", "ConsumerConfig")) from None
    if fields:
        raise ConfigError(f"a config is given, and {', '.join(fields)} beside it: use dataclasses.replace")
    return config
