"""Health within the process."""

from tests.brokers.harness import soon
from tidings.brokers.memory import MemoryBroker


async def test_a_worker_that_has_ended_is_told() -> None:
    class Ended(GeneratorExit):
        """As what closes a coroutine: no failure of a handler."""

    async with MemoryBroker() as broker:

        @broker.subscriber("in", workers=2)
        async def handler(body: bytes) -> None:
            raise Ended

        await broker.start()
        assert (await broker.health()).is_healthy
        (subscriber,) = broker.subscribers
        tasks = list(broker.adapter._listenings[0].tasks)
        await broker.publish(b"", "in")
        await soon(lambda: not subscriber.health().is_healthy)
        assert [str(task.exception()) for task in tasks if task.done()] == [""]
        assert (await broker.health()).reasons == ["'in': 1 of its 2 workers have ended"]
        assert await broker.ping()
