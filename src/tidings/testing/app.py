"""`TestApp`: an App in a test."""

from contextlib import AbstractAsyncContextManager
from types import TracebackType
from typing import Any, Generic, TypeVar

__all__ = ["TestApp"]

AppT = TypeVar("AppT", bound=AbstractAsyncContextManager[Any])


class TestApp(Generic[AppT]):
    """Runs an App's lifespan and hooks around a test, beside the test brokers of its brokers::

    async with TestNatsBroker(broker) as br, TestApp(app):
        await br.publish(order, "orders")
    """

    __test__ = False

    def __init__(self, app: AppT) -> None:
        self.app = app

    async def __aenter__(self) -> AppT:
        await self.app.__aenter__()
        return self.app

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.app.__aexit__(kind, error, trace)
