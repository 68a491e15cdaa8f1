"""The memory broker of tidings."""

from collections.abc import Callable

from tidings.brokers.memory import MemoryBroker

MODULE = "tidings.brokers.memory"


def memory(subject: str, handled: Callable[[], None]) -> MemoryBroker:
    """A broker, not started yet, whose handler calls `handled` once a message."""
    broker = MemoryBroker(logger=None)

    @broker.subscriber(subject)
    async def handler(body: bytes) -> None:
        handled()

    return broker
