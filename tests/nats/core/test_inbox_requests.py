"""Requests whose replies come on a subscription of their own: old style, and many replies to one."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pytest
from tests.nats.core.gathering import Gathered, eventually, leaves_nothing

from tidings.nats import (
    BadSubjectError,
    Client,
    ConnectionClosedError,
    Msg,
    NoRespondersError,
    TimeoutError,
    connect,
)


@contextlib.asynccontextmanager
async def client_and_answers(url: str, *answers: str) -> AsyncIterator[Client]:
    """A client, and one that gives these answers to what is asked on ``ask``."""
    async with await connect(url) as service, await connect(url) as client:

        async def answer(message: Msg) -> None:
            for text in answers:
                await message.respond(text, headers={"Seen": message.headers.get("Key", "")})

        await service.subscribe("ask", cb=answer)
        await service.flush()
        yield client
        assert len(client._subscriptions) == 0


async def texts(replies: Any) -> list[str]:
    return [reply.data.decode() async for reply in replies]


class TestOldStyle:
    async def test_a_reply_with_headers_both_ways(self, nats_url: str) -> None:
        async with client_and_answers(nats_url, "here") as client:
            reply = await client.request("ask", b"?", timeout=20, headers={"Key": "7"}, old_style=True)
            assert (reply.data, reply.headers["Seen"]) == (b"here", "7")
            assert client._replies is None

    async def test_nobody_there(self, nats_url: str) -> None:
        async with client_and_answers(nats_url) as client:
            with pytest.raises(NoRespondersError, match="nobody is subscribed to 'nobody'"):
                await client.request("nobody", timeout=20, old_style=True)

    async def test_no_reply_in_time(self, nats_url: str) -> None:
        async with client_and_answers(nats_url) as client:
            with pytest.raises(TimeoutError, match=r"no reply from 'ask' within 0\.01 s"):
                await client.request("ask", timeout=0.01, old_style=True)

    async def test_refused_as_given(self, nats_url: str) -> None:
        async with client_and_answers(nats_url) as client:
            with pytest.raises(BadSubjectError):
                await client.request("a b", old_style=True)

    async def test_cancelled(self, nats_url: str) -> None:
        async with client_and_answers(nats_url) as client:
            asking = asyncio.create_task(client.request("ask", timeout=None, old_style=True))
            await eventually(lambda: len(client._subscriptions))
            asking.cancel()
            await asyncio.wait([asking])
            assert asking.cancelled()

    async def test_the_client_closes(self, nats_url: str) -> None:
        async with leaves_nothing(), client_and_answers(nats_url) as client:
            asking = asyncio.create_task(client.request("ask", timeout=None, old_style=True))
            await eventually(lambda: len(client._subscriptions))
            await client.close()
            with pytest.raises(ConnectionClosedError):
                await asking
            with pytest.raises(ConnectionClosedError):
                await client.request("ask", old_style=True)


class TestMany:
    async def test_until_an_empty_one(self, nats_url: str) -> None:
        async with client_and_answers(nats_url, "1", "2", "3", "", "4") as client:
            assert await texts(client.request_many("ask", timeout=20)) == ["1", "2", "3"]

    async def test_until_a_sentinel_of_ones_own(self, nats_url: str) -> None:
        async with client_and_answers(nats_url, "1", "", "end", "2") as client:
            replies = client.request_many("ask", timeout=20, sentinel=lambda reply: reply.data == b"end")
            assert await texts(replies) == ["1", ""]

    async def test_so_many(self, nats_url: str) -> None:
        async with client_and_answers(nats_url, "1", "2", "3", "4") as client:
            assert await texts(client.request_many("ask", timeout=20, max_msgs=3)) == ["1", "2", "3"]

    async def test_until_it_stalls(self, nats_url: str) -> None:
        async with client_and_answers(nats_url, "1", "2") as client:
            assert await texts(client.request_many("ask", timeout=None, stall=0.05)) == ["1", "2"]

    async def test_until_its_time_is_over(self, nats_url: str) -> None:
        async with client_and_answers(nats_url, "1", "", "2") as client:
            assert await texts(client.request_many("ask", timeout=0.2, sentinel=None)) == ["1", "", "2"]

    async def test_what_came_in_time_is_given(self, nats_url: str) -> None:
        async with client_and_answers(nats_url, "1", "2", "3") as client:
            replies = client.request_many("ask", timeout=0.1, sentinel=None)
            seen = [await anext(replies)]
            await asyncio.wait([asyncio.create_task(replies._sub.closed())])  # type: ignore[union-attr]
            assert [seen[0].data.decode(), *await texts(replies)] == ["1", "2", "3"]

    async def test_from_several(self, nats_url: str) -> None:
        async with contextlib.AsyncExitStack() as stack:
            for name in "abc":
                service = await stack.enter_async_context(await connect(nats_url))
                await service.subscribe("who", cb=lambda message, name=name: message.respond(name))
                await service.flush()
            client = await stack.enter_async_context(await connect(nats_url))
            assert sorted(await texts(client.request_many("who", max_msgs=3, timeout=20))) == ["a", "b", "c"]

    async def test_headers_both_ways(self, nats_url: str) -> None:
        async with client_and_answers(nats_url, "1") as client:
            replies = client.request_many("ask", headers={"Key": "7"}, max_msgs=1, timeout=20)
            assert [reply.headers["Seen"] async for reply in replies] == ["7"]

    async def test_nobody_there(self, nats_url: str) -> None:
        async with client_and_answers(nats_url) as client:
            replies = client.request_many("nobody", timeout=20)
            with pytest.raises(NoRespondersError, match="nobody"):
                await anext(replies)
            assert await texts(replies) == []

    async def test_not_a_single_reply_in_time(self, nats_url: str) -> None:
        async with client_and_answers(nats_url) as client:
            with pytest.raises(TimeoutError, match="no reply from 'ask' within 0.01 s"):  # noqa: RUF043
                await texts(client.request_many("ask", timeout=0.01))

    @pytest.mark.parametrize("name", ["max_msgs", "stall", "timeout"])
    async def test_a_negative_number(self, nats_url: str, name: str) -> None:
        async with client_and_answers(nats_url) as client:
            with pytest.raises(ValueError, match=name):
                client.request_many("ask", **{name: -1})  # type: ignore[arg-type]

    async def test_refused_as_given(self, nats_url: str) -> None:
        async with client_and_answers(nats_url) as client:
            with pytest.raises(BadSubjectError):
                await anext(client.request_many("a b"))

    @pytest.mark.parametrize("how", ["break", "aclose", "async with", "never begun"])
    async def test_leaving_it_leaves_nothing_behind(self, nats_url: str, how: str) -> None:
        async with leaves_nothing(), client_and_answers(nats_url, "1", "2") as client:
            replies = client.request_many("ask", timeout=20)
            if how == "break":
                async for _ in replies:
                    break
            elif how == "aclose":
                await anext(replies)
                await replies.aclose()
                assert await texts(replies) == []
            elif how == "async with":
                async with replies:
                    await anext(replies)
            del replies

    async def test_cancelled(self, nats_url: str) -> None:
        async with leaves_nothing(), client_and_answers(nats_url, "1") as client:
            seen = Gathered()

            async def read() -> None:
                async for reply in client.request_many("ask", timeout=None):
                    seen(reply)

            reading = asyncio.create_task(read())
            await seen.reach()
            reading.cancel()
            await asyncio.wait([reading])
            assert reading.cancelled()

    async def test_the_client_closes(self, nats_url: str) -> None:
        async with leaves_nothing(), client_and_answers(nats_url, "1") as client:
            replies = client.request_many("ask", timeout=20)
            await anext(replies)
            await client.close()
            with pytest.raises(ConnectionClosedError):
                await anext(replies)
            with pytest.raises(ConnectionClosedError):
                client.request_many("ask")
