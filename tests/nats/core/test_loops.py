"""A client lives in one event loop; used in another it says so, where it would else wait for ever."""

from __future__ import annotations

import asyncio
import gc
import threading
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest

from tidings.nats import Client, Subscription, connect
from tidings.nats.core.inbox_requests import ReplyStream

USES: dict[str, Callable[[Client, Subscription], Awaitable[Any]]] = {
    "publish": lambda client, sub: client.publish("loops"),
    "request": lambda client, sub: client.request("loops", timeout=None),
    "request, old style": lambda client, sub: client.request("loops", timeout=None, old_style=True),
    "request_many": lambda client, sub: anext(client.request_many("loops", timeout=None)),
    "subscribe": lambda client, sub: client.subscribe("loops"),
    "next_msg": lambda client, sub: sub.next_msg(None),
    "unsubscribe": lambda client, sub: sub.unsubscribe(),
    "flush": lambda client, sub: client.flush(),
    "drain": lambda client, sub: client.drain(),
    "close": lambda client, sub: client.close(),
}


async def use(name: str, client: Client, sub: Subscription) -> None:
    async with asyncio.timeout(20):
        await USES[name](client, sub)


@pytest.mark.parametrize("name", USES)
@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")
def test_a_loop_that_is_over(nats_url: str, name: str) -> None:
    async def begin() -> tuple[Client, Subscription]:
        client = await connect(nats_url)
        return client, await client.subscribe("read")

    client, sub = asyncio.run(begin())
    for _ in range(2):  # also when it was said before
        with pytest.raises(RuntimeError, match=r"event loop that is closed|different loop|loop is closed"):
            asyncio.run(use(name, client, sub))
    del client, sub
    gc.collect()


@pytest.fixture
def abroad(nats_url: str) -> Iterator[tuple[Client, Subscription]]:
    """A client in the loop of another thread."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()

    async def begin() -> tuple[Client, Subscription]:
        client = await connect(nats_url)
        return client, await client.subscribe("read")

    client, sub = asyncio.run_coroutine_threadsafe(begin(), loop).result(20)
    yield client, sub
    assert asyncio.run_coroutine_threadsafe(client.request("$SYS.REQ.USER.INFO", timeout=20), loop).result(20)
    asyncio.run_coroutine_threadsafe(client.close(), loop).result(20)
    loop.call_soon_threadsafe(loop.stop)
    thread.join(20)
    loop.close()


@pytest.mark.parametrize("name", USES)
def test_the_loop_of_another_thread(abroad: tuple[Client, Subscription], name: str) -> None:
    client, sub = abroad
    with pytest.raises(RuntimeError, match=r"belongs to another event loop|different loop"):
        asyncio.run(use(name, client, sub))


@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")
def test_replies_that_are_let_go_of_behind_the_end(nats_url: str) -> None:
    async def begin() -> ReplyStream:
        client = await connect(nats_url)
        await client.subscribe("many", cb=lambda message: message.respond(b"1"))
        replies = client.request_many("many", timeout=20)
        await anext(replies)
        return replies

    replies = asyncio.run(begin())
    del replies
    gc.collect()


async def test_one_that_is_closed_may_be_closed_anywhere(nats_url: str) -> None:
    client = await connect(nats_url)
    await client.close()
    await asyncio.to_thread(lambda: asyncio.run(client.close()))
