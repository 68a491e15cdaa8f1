"""What is no timeout is refused before anything is sent or ended."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from tidings.nats import Client, Subscription, connect

CALLS: dict[str, Callable[[Client, Subscription, Any], Awaitable[object]]] = {
    "request": lambda client, sub, timeout: client.request("x", b"", timeout),
    "old request": lambda client, sub, timeout: client.request("x", b"", timeout, old_style=True),
    "flush": lambda client, sub, timeout: client.flush(timeout),
    "rtt": lambda client, sub, timeout: client.rtt(timeout),
    "next_msg": lambda client, sub, timeout: sub.next_msg(timeout),
    "drain of a subscription": lambda client, sub, timeout: sub.drain(timeout),
    "drain": lambda client, sub, timeout: client.drain(timeout),
    "publish": lambda client, sub, timeout: client.jetstream().publish("x", timeout=timeout),
}


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("timeout", ["1", [1], True], ids=repr)
async def test_what_is_no_timeout(nats_url: str, call: str, timeout: Any) -> None:
    async with await connect(nats_url) as client:
        sub = await client.subscribe("a")
        with pytest.raises(TypeError, match="a timeout is a number of seconds, or None, not"):
            await CALLS[call](client, sub, timeout)
        await client.publish("a", b"still here")
        assert (await sub.next_msg(20)).data == b"still here"


@pytest.mark.parametrize("limit", ["pending_msgs_limit", "pending_bytes_limit"])
async def test_what_is_no_limit(nats_url: str, limit: str) -> None:
    async with await connect(nats_url) as client:
        with pytest.raises(TypeError, match=f"{limit} is a whole number, not '5'"):
            await client.subscribe("a", **{limit: "5"})  # type: ignore[arg-type]
