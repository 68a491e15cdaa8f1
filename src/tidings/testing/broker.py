"""What the test brokers of all brokers do alike."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from types import TracebackType
from typing import Any, Generic, TypeVar

from tidings.messaging.bodies.codec import decode_any
from tidings.messaging.broker import Broker
from tidings.messaging.durations import check_timeout
from tidings.messaging.errors import SetupError

from .faults import Faults
from .server import TestServer
from .watching import Watched, Watching

__all__ = ["TestBroker"]

BrokerT = TypeVar("BrokerT", bound=Broker[Any])


class TestBroker(ABC, Generic[BrokerT]):
    """A broker in a test, started, with the production path of its messages over another transport::

        async with TestNatsBroker(broker) as br:
            await br.publish({"id": 1}, "orders")

    Publishing returns when the handlers are done with what was published and what followed from it, and
    raises the first thing that one of them failed with. What shall come again after a delay comes at once.

    Args:
        broker: one that is not connected; it gets another adapter until the end of the ``with``.
        with_real: run on the server that the broker is for. Then publishing waits for nothing; what a handler
            fails with comes from `wait_call`.
        wait: seconds that publishing waits for the handlers; None is not at all.
        raises: whether it raises what they fail with; False for tests of retries and dead letters.
        faults: what happens to messages on their way to the handlers.
        server: shared by the brokers of a test; by default each has its own.

    Raises:
        SetupError: the broker is of another kind, or none; the faults are none.
    """

    __test__ = False
    takes: type[Broker[Any]]
    """The kind of broker that it is for."""

    def __init__(
        self,
        broker: BrokerT,
        *,
        with_real: bool = False,
        wait: float | None = 5.0,
        raises: bool = True,
        faults: Faults | None = None,
        server: TestServer | None = None,
    ) -> None:
        if not isinstance(broker, self.takes):
            what = (
                f"the class {broker.__name__}"
                if isinstance(broker, type)
                else f"one of type {type(broker).__name__}"
            )
            raise SetupError(f"{type(self).__name__} takes a {self.takes.__name__}, not {what}")
        if faults is not None and not isinstance(faults, Faults):
            raise SetupError(f"faults is a Faults(…), not {faults!r}")
        if wait is not None:
            check_timeout(wait, "wait")
        if with_real and (faults is not None or server is not None):
            raise ValueError("faults and server are for tests in memory: leave them out, or with_real")
        if server is not None and faults is not None:
            raise ValueError("faults belong to the server: TestServer(faults)")
        self.broker = broker
        self.server = None if with_real else server or TestServer(faults)
        self._wait = wait
        self._raises = raises
        self._watching: Watching | None = None
        self._own_adapter = broker.adapter

    @abstractmethod
    def adapter(self, server: TestServer, watching: Watching) -> Any:
        """What the broker works over meanwhile."""

    async def __aenter__(self) -> BrokerT:
        broker = self.broker
        if broker.is_connected:
            raise SetupError("the broker is connected: a test starts it, so leave that to the test broker")
        watching = self._watching = Watching(self.server, self._wait, self._raises)
        self._own_adapter, broker.watch = broker.adapter, watching
        if self.server is not None:
            broker.adapter = self.adapter(self.server, watching)
        try:
            await broker.start()
        except BaseException:
            await self._leave()
            raise
        return broker

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        faults = None if self.server is None else self.server.faults
        if error is not None and faults is not None:
            error.add_note(f"It failed with {faults}; the same seed brings the same faults.")
        await self._leave()

    async def _leave(self) -> None:
        try:
            await self.broker.stop()
        finally:
            self.broker.adapter, self.broker.watch = self._own_adapter, None
            if self._watching is not None:
                self._watching.leave()

    def of(self, handler: Callable[..., Any]) -> Watched:
        """The calls of a handler, typed: the same as its ``handler.mock`` and ``handler.wait_call``."""
        if self._watching is None:
            raise RuntimeError("nothing is seen before the `async with`")
        return self._watching.of(handler)

    def published(self, address: str) -> list[Any]:
        """The decoded bodies of what was published to an address, by whomever, in order."""
        if self.server is None:
            raise RuntimeError("what is published on a real server is seen by a subscriber only")
        return [
            decode_any(each.data, each.headers.get("content-type", ""))
            for each in self.server.published
            if each.subject == address
        ]
