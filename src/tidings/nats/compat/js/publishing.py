"""The part of nats-py's JetStream that publishes, over our context."""

from __future__ import annotations

import asyncio
import builtins
from collections.abc import Mapping
from typing import Any

from tidings.nats.compat.border import translated, translates
from tidings.nats.compat.js import api, errors
from tidings.nats.compat.js.connection import JetStreamConnection
from tidings.nats.compat.js.manager import JetStreamManager
from tidings.nats.errors import Error
from tidings.nats.jetstream import PubAck as NativeAck

__all__ = ["Publishing"]


class Publishing(JetStreamManager):
    """Manages, and publishes to streams. See `JetStreamContext` for the arguments."""

    def __init__(
        self,
        conn: JetStreamConnection,
        prefix: str = api.DEFAULT_PREFIX,
        domain: str | None = None,
        timeout: float = 5,
        publish_async_max_pending: int = 4000,
    ) -> None:
        super().__init__(conn, prefix if domain is None else f"$JS.{domain}.API", timeout)
        self._max_pending = publish_async_max_pending
        self._context = conn._native.jetstream(
            prefix=self._prefix, timeout=timeout, publish_async_max_pending=publish_async_max_pending
        )

    async def publish(
        self,
        subject: str,
        payload: bytes = b"",
        timeout: float | None = None,
        stream: str | None = None,
        headers: Mapping[str, Any] | None = None,
        msg_ttl: float | None = None,
    ) -> api.PubAck:
        """Publish a message and wait until its stream has it; `msg_ttl` in seconds."""
        if stream is not None or msg_ttl is not None:
            headers = _with_options(headers, stream, msg_ttl)
        try:
            ack = await self._context.publish(subject, payload, headers=headers, timeout=timeout)
        except Error as error:
            raise translated(error) from error
        return _ack_of(ack)

    async def publish_async(
        self,
        subject: str,
        payload: bytes = b"",
        wait_stall: float | None = None,
        stream: str | None = None,
        headers: Mapping[str, Any] | None = None,
        msg_ttl: float | None = None,
    ) -> asyncio.Future[api.PubAck]:
        """Publish a message; the future is that of the acknowledgement.

        Raises:
            TooManyStalledMsgsError: for `wait_stall` seconds too many waited for theirs.
        """
        if stream is not None or msg_ttl is not None:
            headers = _with_options(headers, stream, msg_ttl)
        is_full = self._context.publish_async_pending >= self._max_pending
        patience = asyncio.timeout(wait_stall if is_full else None)
        try:
            async with patience:
                inner = await self._context.publish_async(subject, payload, headers=headers)
        except Error as error:
            raise translated(error) from error
        except builtins.TimeoutError as error:
            if not patience.expired():
                raise
            raise errors.TooManyStalledMsgsError from error
        outer: asyncio.Future[api.PubAck] = asyncio.get_running_loop().create_future()

        def settle(inner: asyncio.Future[NativeAck]) -> None:
            if outer.done():
                return
            error = inner.exception()
            if error is None:
                outer.set_result(_ack_of(inner.result()))
            else:
                outer.set_exception(translated(error) if isinstance(error, Exception) else error)

        inner.add_done_callback(settle)
        return outer

    def publish_async_pending(self) -> int:
        """How many async publishes wait for their acknowledgement."""
        return self._context.publish_async_pending

    @translates
    async def publish_async_completed(self) -> None:
        """Wait until none does."""
        await self._context.publish_async_completed()
        await asyncio.sleep(0)  # the futures are done in the same turn of the loop


def _with_options(headers: Mapping[str, Any] | None, stream: str | None, ttl: float | None) -> dict[str, Any]:
    added = dict(headers or {})
    if stream is not None:
        added["Nats-Expected-Stream"] = stream
    if ttl is not None:
        added["Nats-TTL"] = str(int(ttl))
    return added


def _ack_of(ack: NativeAck) -> api.PubAck:
    return api.PubAck(
        ack.stream,
        ack.seq,
        ack.domain,
        ack.duplicate or None,
        ack.batch_id,
        ack.batch_size,
        None if ack.val is None else str(ack.val),
    )
