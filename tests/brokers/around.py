"""What is around handlers, and subscribers without one: the same with every broker."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.brokers.harness import LIMIT, Harness, Seen
from tidings import BaseMiddleware, CallNext, Message, Outgoing, PublishError, Response, Router, SetupError

__all__ = ["Around"]


class Around(Harness):
    """Middlewares, routers, filters, and messages taken by hand."""

    async def test_a_batch_is_published_in_order_and_through_middlewares(self) -> None:
        seen = Seen[tuple[int, str, str]]()

        async def stamp(outgoing: Outgoing, call_next: CallNext) -> Any:
            if outgoing.body != 3:
                outgoing.headers["stamp"] = f"s{outgoing.body}"
                return await call_next(outgoing)

        async with self.broker(publish_middlewares=[stamp]) as broker:

            @self.subscriber(broker, "in")
            async def handler(number: int, message: Message[Any]) -> None:
                seen.add((number, message.headers["stamp"], message.headers["of"]))

            await broker.start()
            batch = (1, 2, 3, Response(4, headers={"of": "one"}))
            await broker.publish_batch(*batch, subject=self.address("in"), headers={"of": "all"})
            assert await seen.until(3) == [(1, "s1", "all"), (2, "s2", "all"), (4, "s4", "one")]

    async def test_of_a_batch_nothing_is_published_if_one_cannot_be(self) -> None:
        seen = Seen[int]()
        async with self.broker() as broker:

            @self.subscriber(broker, "in")
            async def handler(number: int) -> None:
                seen.add(number)

            await broker.start()
            with pytest.raises(PublishError):
                await broker.publish_batch(1, object(), subject=self.address("in"))
            with pytest.raises(PublishError, match="there is nothing to publish"):
                await broker.publish_batch(subject=self.address("in"))
            await broker.publish_batch(2, subject=self.address("in"))
            assert await seen.until(1) == [2]

    async def test_what_cannot_be_published_is_refused(self) -> None:
        async with self.broker() as broker:
            for headers in ({"a": 3}, {"a\n": "x"}, {"a": "x\r\n"}):
                with pytest.raises(PublishError, match="header"):
                    await broker.publish(b"", self.address("in"), headers=headers)
            for subject in (3, "", f"{self.address('in')}.*"):
                with pytest.raises(PublishError, match="subject"):
                    await broker.publish(b"", subject)
        for subject in ("", "in.*"):
            with pytest.raises(SetupError, match=r"publisher: .*subject"):
                broker.publisher(subject)
        with pytest.raises(SetupError, match="takes a router, not one of type int"):
            broker.include_router(3)

    async def test_middlewares_are_around_handlers_and_publishing(self) -> None:
        noted: list[str] = []

        async def noting(message: Message[Any], call_next: CallNext) -> Any:
            noted.append("in")
            result = await call_next(message)
            noted.append("out")
            return result

        class Ended(BaseMiddleware):
            async def after_processed(self, *error: Any) -> None:
                noted.append("after")

        async def stamp(outgoing: Outgoing, call_next: CallNext) -> Any:
            outgoing.headers["Stamp"] = "s"
            return await call_next(outgoing)

        seen = Seen[tuple[int, str]]()
        async with self.broker(middlewares=[noting, Ended], publish_middlewares=[stamp]) as broker:

            @self.subscriber(broker, "in")
            @self.publisher(broker, "out")
            async def handler(number: int) -> int:
                return number + 1

            async with self.broker() as other:

                @self.subscriber(other, "out")
                async def result(number: int, message: Message[Any]) -> None:
                    seen.add((number, message.headers["Stamp"]))

                await other.start()
                await broker.start()
                await self.publish(broker, 1, "in")
                assert await seen.until(1) == [(2, "s")]
        assert noted == ["in", "out", "after"]

    async def test_an_exception_handler_gives_the_result(self) -> None:
        async with self.broker() as broker:

            @broker.exception_handler(LookupError)
            async def missing(error: LookupError, message: Message[Any]) -> Response[str]:
                return Response(f"no {message.body.decode()}", headers={"Kind": "missing"})

            @self.subscriber(broker, "in")
            @self.publisher(broker, "out")
            async def handler(number: int) -> int:
                raise KeyError(number)

            seen = Seen[tuple[str, str]]()

            @self.subscriber(broker, "out")
            async def result(text: str, message: Message[Any]) -> None:
                seen.add((text, message.headers["Kind"]))

            await broker.start()
            await self.publish(broker, 7, "in")
            assert await seen.until(1) == [("no 7", "missing")]

    async def test_a_router_is_included(self) -> None:
        router = Router()

        @self.subscriber(router, "in")
        @self.publisher(router, "out")
        async def handler(number: int) -> int:
            return number + 1

        async with self.broker() as broker:
            broker.include_router(router)
            seen = self.seen(broker, "out", int)
            await broker.start()
            await self.publish(broker, 1, "in")
            assert await seen.until(1) == [2]

    async def test_each_message_goes_to_the_first_handler_that_accepts_it(self) -> None:
        seen = Seen[tuple[str, Any]]()
        async with self.broker() as broker:
            subscriber = self.subscriber(broker, "in")

            @subscriber(filter=lambda message: message.content_type == "text/plain")
            async def text(body: str) -> None:
                seen.add(("text", body))

            @subscriber
            async def rest(body: Any) -> None:
                seen.add(("rest", body))

            await broker.start()
            await self.publish(broker, "a", "in")
            await self.publish(broker, 1, "in")
            assert await seen.until(2) == [("text", "a"), ("rest", 1)]

    async def test_messages_are_taken_one_by_one(self) -> None:
        async with self.broker() as broker:
            subscriber = self.subscriber(broker, "in")
            await subscriber.start()
            for number in range(5):
                await self.publish(broker, number, "in")
            taken = []
            for _ in range(2):
                message = await subscriber.get_one(timeout=LIMIT)
                taken.append(await message.decode(int))
                await message.ack()
            async with asyncio.timeout(LIMIT):
                async for message in subscriber:
                    taken.append(await message.decode(int))
                    await message.ack()
                    if len(taken) == 4:
                        break
            assert taken == [0, 1, 2, 3]
            assert await subscriber.get_one(timeout=LIMIT) is not None
            assert await subscriber.get_one(timeout=0.001) is None
            with pytest.raises(
                SetupError, match=r"^timeout is a number of seconds, such as 0\.5, not 'soon'"
            ):
                await subscriber.get_one(timeout="soon")

    async def test_a_stop_does_not_wait_for_messages_that_nobody_takes(self) -> None:
        async with self.broker(logger=None) as broker:
            subscriber = self.subscriber(broker, "in")
            await subscriber.start()
            for number in range(5):
                await self.publish(broker, number, "in")
            assert await subscriber.get_one(timeout=LIMIT) is not None
            async with asyncio.timeout(5):  # of the 15 s that handlers would have
                await subscriber.stop()
            assert not subscriber.is_running
