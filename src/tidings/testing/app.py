"""`TestApp`: an App in a test."""

from types import TracebackType
from typing import Any, Generic, Protocol, TypeVar

from tidings.messaging.broker import Broker
from tidings.messaging.errors import SetupError

__all__ = ["TestApp"]


class _StartsAndStops(Protocol):
    async def start(self, **options: Any) -> None: ...
    async def stop(self) -> None: ...


AppT = TypeVar("AppT", bound=_StartsAndStops)


class TestApp(Generic[AppT]):
    """Runs an App's lifespan and hooks around a test, beside the test brokers of its brokers::

    async with TestNatsBroker(broker) as br, TestApp(app, model="small"):
        await br.publish(order, "orders")

    Args:
        app: the App.
        options: those that its hooks ask for.

    Raises:
        SetupError: it is no App.
    """

    __test__ = False

    def __init__(self, app: AppT, **options: Any) -> None:
        given: object = app
        if isinstance(given, type | Broker):
            what = (
                f"the class {given.__name__}"
                if isinstance(given, type)
                else f"one of type {type(app).__name__}"
            )
            raise SetupError(f"TestApp takes an App, not {what}")
        self.app = app
        self._options = options

    async def __aenter__(self) -> AppT:
        await self.app.start(**self._options)
        return self.app

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.app.stop()
