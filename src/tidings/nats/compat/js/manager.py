"""`nats.js.manager`: nats-py's requests to the JetStream API."""

from __future__ import annotations

import base64
import json
from typing import Any

from tidings.nats.compat import errors as core_errors
from tidings.nats.compat.aio.msg import Msg
from tidings.nats.compat.js import api, errors
from tidings.nats.compat.js.connection import JetStreamConnection
from tidings.nats.jetstream.checks import has_wildcard
from tidings.nats.wire import parse_headers

__all__ = ["JetStreamManager"]

_RESET_REFUSED = 10204


class JetStreamManager:
    """Manages streams and consumers, and reads stored messages.

    Args:
        conn: the client.
        prefix: first tokens of the API's subjects.
        timeout: seconds for each request.
    """

    def __init__(
        self, conn: JetStreamConnection, prefix: str = api.DEFAULT_PREFIX, timeout: float = 5
    ) -> None:
        self._nc = conn
        self._prefix = prefix
        self._timeout = timeout

    async def account_info(self) -> api.AccountInfo:
        """What the account uses and may have."""
        return api.AccountInfo.from_response(await self._ask("INFO"))

    # Streams

    async def find_stream_name_by_subject(self, subject: str) -> str:
        """The stream that takes messages on `subject`. Raises NotFoundError."""
        found = await self._ask("STREAM.NAMES", {"subject": subject})
        if not found["streams"]:
            raise errors.NotFoundError
        name: str = found["streams"][0]
        return name

    async def stream_info(self, name: str, subjects_filter: str | None = None) -> api.StreamInfo:
        """A stream's config and state, with the counts of its subjects that match."""
        _check_name(name, "stream")
        body = {"subjects_filter": subjects_filter} if subjects_filter else None
        return api.StreamInfo.from_response(await self._ask(f"STREAM.INFO.{name}", body))

    async def add_stream(self, config: api.StreamConfig | None = None, **params: Any) -> api.StreamInfo:
        """Make a stream."""
        return await self._put_stream("CREATE", config, params)

    async def update_stream(self, config: api.StreamConfig | None = None, **params: Any) -> api.StreamInfo:
        """Change a stream."""
        return await self._put_stream("UPDATE", config, params)

    async def _put_stream(
        self, verb: str, config: api.StreamConfig | None, params: dict[str, Any]
    ) -> api.StreamInfo:
        config = (config or api.StreamConfig()).evolve(**params)
        _check_name(config.name, "stream")
        return api.StreamInfo.from_response(await self._ask(f"STREAM.{verb}.{config.name}", config.as_dict()))

    async def delete_stream(self, name: str) -> bool:
        """Delete a stream."""
        _check_name(name, "stream")
        return await self._done(f"STREAM.DELETE.{name}")

    async def purge_stream(
        self, name: str, seq: int | None = None, subject: str | None = None, keep: int | None = None
    ) -> bool:
        """Drop messages: those before `seq`, those of `subject`, all but the last `keep`."""
        _check_name(name, "stream")
        asked = {"seq": seq, "filter": subject, "keep": keep}
        return await self._done(f"STREAM.PURGE.{name}", {key: value for key, value in asked.items() if value})

    async def streams_info(self, offset: int = 0) -> list[api.StreamInfo]:
        """The streams from `offset` on, one page of them."""
        return list(await self.streams_info_iterator(offset))

    async def streams_info_iterator(self, offset: int = 0) -> api.StreamsListIterator:
        """The same, made one by one."""
        found = await self._ask("STREAM.LIST", {"offset": offset})
        return api.StreamsListIterator(found["offset"], found["total"], found["streams"] or [])

    # Consumers

    async def add_consumer(
        self,
        stream: str,
        config: api.ConsumerConfig | None = None,
        timeout: float | None = None,
        **params: Any,
    ) -> api.ConsumerInfo:
        """Make a consumer, or change the one of that name."""
        _check_name(stream, "stream")
        config = (config or api.ConsumerConfig()).evolve(**params)
        for name in (config.name, config.durable_name):
            if name:
                _check_name(name, "consumer")
        subject = f"CONSUMER.CREATE.{stream}"
        if config.name:
            subject += f".{config.name}"
            only = config.filter_subject
            # Here permissions can tell who may read what; a wildcard can be published to only at will.
            if only and (not has_wildcard(only) or self._nc._native.options.skip_subject_validation):
                subject += f".{only}"
        elif config.durable_name:
            subject = f"CONSUMER.DURABLE.CREATE.{stream}.{config.durable_name}"
        body = {"stream_name": stream, "config": config.as_dict()}
        return api.ConsumerInfo.from_response(await self._ask(subject, body, timeout or None))

    async def consumer_info(
        self, stream: str, consumer: str, timeout: float | None = None
    ) -> api.ConsumerInfo:
        """A consumer's config and state."""
        _check_name(stream, "stream")
        _check_name(consumer, "consumer")
        found = await self._ask(f"CONSUMER.INFO.{stream}.{consumer}", timeout=timeout)
        return api.ConsumerInfo.from_response(found)

    async def consumers_info(self, stream: str, offset: int | None = None) -> list[api.ConsumerInfo]:
        """The consumers of a stream from `offset` on, one page of them."""
        _check_name(stream, "stream")
        found = await self._ask(f"CONSUMER.LIST.{stream}", None if offset is None else {"offset": offset})
        return [api.ConsumerInfo.from_response(each) for each in found["consumers"] or []]

    async def delete_consumer(self, stream: str, consumer: str) -> bool:
        """Delete a consumer."""
        _check_name(stream, "stream")
        _check_name(consumer, "consumer")
        return await self._done(f"CONSUMER.DELETE.{stream}.{consumer}")

    async def pause_consumer(
        self, stream: str, consumer: str, pause_until: str, timeout: float | None = None
    ) -> api.ConsumerPause:
        """Have a consumer deliver nothing until a time, as RFC 3339 writes it."""
        _check_name(stream, "stream")
        _check_name(consumer, "consumer")
        body = {"pause_until": pause_until}
        return api.ConsumerPause.from_response(
            await self._ask(f"CONSUMER.PAUSE.{stream}.{consumer}", body, timeout)
        )

    async def resume_consumer(
        self, stream: str, consumer: str, timeout: float | None = None
    ) -> api.ConsumerPause:
        """Have a paused consumer go on."""
        return await self.pause_consumer(stream, consumer, "1970-01-01T00:00:00Z", timeout)

    async def reset_consumer(
        self, stream: str, consumer: str, seq: int | None = None, timeout: float | None = None
    ) -> api.ConsumerReset:
        """Have a consumer begin again at `seq`, or behind what is acknowledged.

        Raises:
            ConsumerInvalidResetError: its deliver policy does not allow that.
        """
        _check_name(stream, "stream")
        _check_name(consumer, "consumer")
        try:
            found = await self._ask(
                f"CONSUMER.RESET.{stream}.{consumer}", {"seq": seq} if seq else None, timeout
            )
        except errors.APIError as error:
            if error.err_code != _RESET_REFUSED:
                raise
            raise errors.ConsumerInvalidResetError(error.code, error.description, error.err_code) from error
        return api.ConsumerReset.from_response(found)

    # Messages

    async def get_msg(
        self,
        stream_name: str,
        seq: int | None = None,
        subject: str | None = None,
        direct: bool | None = False,
        next: bool | None = False,
    ) -> api.RawStreamMsg:
        """A stored message: that of `seq`, the last of `subject`, or with `next` the first from `seq` on."""
        _check_name(stream_name, "stream")
        body: dict[str, Any] = {}
        if next:
            body = {"seq": seq, "next_by_subj": subject}
        elif subject:
            body = {"last_by_subj": subject}
        elif seq:
            body = {"seq": seq}
        if direct:
            at = f"{self._prefix}.DIRECT.GET.{stream_name}"
            if subject and seq is None:
                return _stored(await self._nc.request(f"{at}.{subject}", timeout=self._timeout))
            return _stored(await self._nc.request(at, json.dumps(body).encode(), timeout=self._timeout))
        found = (await self._ask(f"STREAM.MSG.GET.{stream_name}", body))["message"]
        message = api.RawStreamMsg.from_response(found)
        message.data = base64.b64decode(found["data"]) if found.get("data") else None
        if found.get("hdrs"):
            message.headers = dict(parse_headers(base64.b64decode(found["hdrs"]))[2]) or None
        return message

    async def get_last_msg(
        self, stream_name: str, subject: str, direct: bool | None = False
    ) -> api.RawStreamMsg:
        """The last message of a subject."""
        return await self.get_msg(stream_name, subject=subject, direct=direct)

    async def delete_msg(self, stream_name: str, seq: int) -> bool:
        """Delete a message."""
        _check_name(stream_name, "stream")
        return await self._done(f"STREAM.MSG.DELETE.{stream_name}", {"seq": seq})

    # Requests

    async def _done(self, subject: str, body: dict[str, Any] | None = None) -> bool:
        done: bool = (await self._ask(subject, body))["success"]
        return done

    async def _ask(
        self, subject: str, body: dict[str, Any] | None = None, timeout: float | None = None
    ) -> dict[str, Any]:
        payload = b"" if body is None else json.dumps(body).encode()
        return await self._api_request(f"{self._prefix}.{subject}", payload, timeout or self._timeout)

    async def _api_request(self, req_subject: str, req: bytes = b"", timeout: float = 5) -> dict[str, Any]:
        try:
            answer = await self._nc.request(req_subject, req, timeout=timeout)
        except core_errors.NoRespondersError as error:
            raise errors.ServiceUnavailableError from error
        found: dict[str, Any] = json.loads(answer.data)
        if "error" in found:
            errors.APIError.from_error(found["error"])
        return found


def _check_name(name: str | None, what: str) -> None:
    if not name:
        raise ValueError(f"nats: {what} name is required")
    if set(name) & set(">*. /\\\t\r\n"):
        raise ValueError(f"nats: invalid {what} name: {name!r}")


def _stored(answer: Msg) -> api.RawStreamMsg:
    """The message in the answer to a direct get."""
    headers = answer.headers or {}
    if not answer.data and (status := headers.get("Status")):
        if status == "404":
            raise errors.NotFoundError
        errors.APIError.from_msg(answer)
    seq, time = headers.get("Nats-Sequence"), headers.get("Nats-Time-Stamp")
    return api.RawStreamMsg(
        subject=headers["Nats-Subject"],
        seq=int(seq) if seq else None,
        data=answer.data or None,
        headers=headers,
        time=api.Base._parse_utc_iso(time) if time else None,
    )
