"""The talk's tests of a service: its incoming contract, its outgoing one, and end to end."""

import pytest

from tidings.brokers.nats import NatsBroker
from tidings.testing import TestNatsBroker

from .model import LIMIT


@pytest.fixture
def broker() -> NatsBroker:
    broker = NatsBroker()

    @broker.subscriber("input-subject")
    async def handler(username: str, user_id: int):  # type: ignore[no-untyped-def]
        if user_id < 1:
            raise ValueError()
        return f"User {username} created!"

    return broker


async def test_the_function_that_is_tested() -> None:
    broker = NatsBroker()

    @broker.subscriber("input-subject")
    async def handler(username: str, user_id: int):  # type: ignore[no-untyped-def]
        if user_id < 1:
            raise ValueError()
        return f"User {username} created!"

    assert await handler("Nikita", 1) == "User Nikita created!"
    with pytest.raises(ValueError, match=r"^$"):
        await handler("Nikita", 0)


async def test_incorrect(broker: NatsBroker) -> None:
    async with TestNatsBroker(broker) as test_broker:
        with pytest.raises(ValueError, match=r"^$"):
            await test_broker.publish(
                {"username": "Nikita", "user_id": 0},
                subject="input-subject",
            )


async def test_correct(broker: NatsBroker) -> None:
    async with TestNatsBroker(broker) as test_broker:
        result = await test_broker.request(
            {"username": "Nikita", "user_id": 1},
            subject="input-subject",
        )

        assert result.body == b"User Nikita created!"


async def test_end_to_end() -> None:
    broker = NatsBroker()

    @broker.subscriber("input-subject")
    async def handler(username: str, user_id: int) -> None: ...

    testing = TestNatsBroker(broker, with_real=True)
    async with testing as test_broker:
        await test_broker.publish({"username": "Nikita", "user_id": 1}, "input-subject")
        watched = testing.of(handler)
        await watched.wait_call(LIMIT)
        watched.mock.assert_called_once_with({"username": "Nikita", "user_id": 1})
