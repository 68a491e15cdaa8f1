"""`TestMemoryBroker`: a service of the memory broker in a test."""

from collections.abc import Mapping
from logging import Logger

from tidings.brokers.memory.adapter import MemoryAdapter
from tidings.brokers.memory.broker import MemoryBroker
from tidings.brokers.memory.message import MemoryMessage
from tidings.brokers.memory.options import MemoryDestination
from tidings.messaging.errors import RemoteError

from .broker import TestBroker
from .server import TestServer
from .watching import Watching

__all__ = ["TestMemoryBroker", "WatchedMemoryAdapter"]


class WatchedMemoryAdapter(MemoryAdapter):
    """A memory adapter whose publishing waits for the handlers."""

    def __init__(self, server: TestServer, watching: Watching, logger: Logger) -> None:
        super().__init__(server, logger)
        self._watching = watching

    async def publish(
        self, subject: str, body: bytes, headers: Mapping[str, str], reply_to: str = "", delay: float = 0.0
    ) -> None:
        """Publish, at once whatever the delay, and wait for what follows."""
        await super().publish(subject, body, headers, reply_to)
        await self._watching.settle()

    async def request(
        self, destination: MemoryDestination, body: bytes, headers: Mapping[str, str], timeout: float
    ) -> MemoryMessage:
        """Ask; an error of the other side has what its handler failed with as its cause."""
        try:
            return await super().request(destination, body, headers, timeout)
        except RemoteError as error:
            raise error from self._watching.take_failure()


class TestMemoryBroker(TestBroker[MemoryBroker]):
    """A `MemoryBroker` in a test; see `TestBroker`."""

    __test__ = False
    takes = MemoryBroker

    def adapter(self, server: TestServer, watching: Watching) -> MemoryAdapter:
        """A memory adapter over the test's server."""
        return WatchedMemoryAdapter(server, watching, self.broker.logger)
