"""How messages of the memory broker are settled."""

from collections.abc import Mapping

from tidings.messaging.acks import Settler
from tidings.messaging.errors import NoRespondersError

from .message import MemoryMsg
from .server import MemoryServer

__all__ = ["MemorySettler"]


class MemorySettler(Settler):
    """Settles messages; dead letters go to whoever listens to their address."""

    def __init__(self, server: MemoryServer) -> None:
        self._server = server

    def ack(self, native: MemoryMsg) -> None:
        """It is done. No coroutine, since it is called for every message."""
        native.inbox = None

    async def nack(self, native: MemoryMsg, delay: float | None) -> None:
        """It shall come again."""
        await native.nack(delay)

    async def reject(self, native: MemoryMsg, reason: str) -> None:
        """It shall not come again."""
        await native.reject(reason)

    def is_settled(self, native: MemoryMsg) -> bool:
        """Whether it is settled."""
        return native.is_settled

    def deliveries(self, native: MemoryMsg) -> int:
        """How often it was delivered."""
        return native.deliveries

    async def bury(self, native: MemoryMsg, address: str, headers: Mapping[str, str]) -> None:
        """Publish it to the address. NoRespondersError where nobody is there to keep it."""
        if not self._server.publish(address, native.data, {**native.headers, **headers}):
            raise NoRespondersError(f"nobody listens to {address!r}")
