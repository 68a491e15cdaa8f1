"""Streams: made, changed, found, listed, deleted; and what the account uses."""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Iterable
from typing import Any

from tidings.nats.jetstream.api import Part
from tidings.nats.jetstream.checks import check_name, check_patterns
from tidings.nats.jetstream.errors import ConfigError, StreamNotFoundError
from tidings.nats.jetstream.infos import AccountInfo, StreamInfo, StreamState
from tidings.nats.jetstream.snapshots import restore
from tidings.nats.jetstream.stream import Stream
from tidings.nats.jetstream.stream_config import StreamConfig

__all__ = ["Streams"]


class Streams(Part):
    """The part of `JetStream` that manages streams."""

    async def account_info(self) -> AccountInfo:
        """What the account uses and may have.

        Raises:
            NotEnabledError: JetStream is not for this account.
            JetStreamUnavailableError: there is no JetStream.
        """
        return AccountInfo.from_wire(await self.api.request("INFO"))

    async def create_stream(self, config: StreamConfig | None = None, /, **fields: Any) -> Stream:
        """Make a stream; one that is there already with the same config is as good.

        Args:
            config: see `StreamConfig`.
            fields: … its fields one by one, in the place of a config.

        Raises:
            StreamNameInUseError: there is one of that name with another config.
            SubjectsOverlapError: another stream has one of the subjects.
            ConfigError, BadNameError: refused before it was sent.
            ApiLevelError: a field that the server is too old for.
            InvalidConfigError: refused by the server.
        """
        config = _config_of(config, fields)
        if config.sealed:
            raise ConfigError("a stream cannot be made sealed: use Stream.seal once it is filled")
        return await self._put("CREATE", config)

    async def update_stream(self, config: StreamConfig | None = None, /, **fields: Any) -> Stream:
        """Change a stream to this config, all of it: take that of `Stream.info` and replace what changes.

        Raises:
            StreamNotFoundError: there is none of that name.
            InvalidConfigError: a change that is not possible, or as `create_stream`.
        """
        return await self._put("UPDATE", _config_of(config, fields))

    async def create_or_update_stream(self, config: StreamConfig | None = None, /, **fields: Any) -> Stream:
        """Make a stream, or change the one of that name. Raises as `create_stream`."""
        config = _config_of(config, fields)
        try:
            return await self.update_stream(config)
        except StreamNotFoundError:
            return await self.create_stream(config)

    async def stream(self, name: str) -> Stream:
        """The stream of that name.

        Raises:
            StreamNotFoundError: there is none.
        """
        answer = await self.api.request(f"STREAM.INFO.{check_name(name, 'stream')}")
        return Stream(self.api, StreamInfo.from_wire(answer))

    async def delete_stream(self, name: str) -> None:
        """Delete a stream, its messages and its consumers. Raises as `stream`."""
        await self.api.request(f"STREAM.DELETE.{check_name(name, 'stream')}")

    async def streams(self, subject: str | None = None) -> AsyncIterator[StreamInfo]:
        """All streams, asked for page by page.

        Args:
            subject: only those that take messages on it; wildcards allowed.
        """
        async for item in self.api.pages("STREAM.LIST", "streams", _filter_of(subject)):
            yield StreamInfo.from_wire(item)

    async def stream_names(self, subject: str | None = None) -> AsyncIterator[str]:
        """The names of all streams. Args as `streams`."""
        async for name in self.api.pages("STREAM.NAMES", "streams", _filter_of(subject)):
            yield name

    async def find_stream(self, subject: str) -> str:
        """The name of the stream that takes messages on `subject`.

        Raises:
            StreamNotFoundError: none does.
            ConfigError: several do, as can be with wildcards, or it is no subject.
        """
        names = [name async for name in self.stream_names(subject)]
        if not names:
            raise StreamNotFoundError(404, 0, f"no stream takes messages on {subject!r}")
        if len(names) > 1:
            raise ConfigError(f"{len(names)} streams take messages on {subject!r}: {', '.join(names[:5])}")
        found: str = names[0]
        return found

    async def restore_stream(
        self,
        config: StreamConfig,
        state: StreamState,
        chunks: Iterable[bytes] | AsyncIterable[bytes],
        *,
        timeout: float | None = None,
    ) -> Stream:
        """Bring a stream back from a snapshot, its consumers too where they are in it.

        Args:
            config: of the snapshot; another name or number of replicas in it holds for the new one.
            state: of the snapshot.
            chunks: of the snapshot, as they came.
            timeout: seconds for each chunk; None takes that of the context.

        Raises:
            BadRequestError: there is a stream of that name.
            ApiError, SnapshotError: the server cannot make one of the chunks.
            ConfigError: refused before it was sent.
        """
        return Stream(self.api, await restore(self.api, config, state, chunks, timeout))

    async def _put(self, verb: str, config: StreamConfig) -> Stream:
        config.check()
        for field, level in config.needs():
            self.api.require(level, field)
        answer = await self.api.request(
            f"STREAM.{verb}.{config.name}", config.to_wire(), level=config.needed_level
        )
        return Stream(self.api, StreamInfo.from_wire(answer))


def _filter_of(subject: str | None) -> dict[str, Any]:
    if subject is None:
        return {}
    check_patterns("subject", [subject])
    return {"subject": subject}


def _config_of(config: StreamConfig | None, fields: dict[str, Any]) -> StreamConfig:
    if config is None:
        try:
            return StreamConfig(**fields)
        except TypeError as error:
            raise ConfigError(str(error).replace("StreamConfig.__init__()", "StreamConfig")) from None
    if fields:
        raise ConfigError(f"a config is given, and {', '.join(fields)} beside it: use dataclasses.replace")
    return config
