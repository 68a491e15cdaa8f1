"""How each client is driven: one module a library, the same names in each.

The functions hand out the library's own objects, so that the timed loops call its `publish`,
`flush` and `request` with nothing in between. A driver holds only what differs.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from importlib import import_module
from typing import Any, Protocol, cast


class ClientDriver(Protocol):
    """The shape of the client modules of this folder."""

    MODULE: str  # what a user imports

    async def connect(self, url: str) -> Any:
        """A connected client with the library's `publish`, `request` and `flush`."""

    def address(self, subject: str) -> Any:
        """The subject in the form that the library publishes fastest."""

    async def on_message(self, client: Any, subject: str, handle: Callable[[Any], None]) -> None:
        """Subscribe with the cheapest callback that the library knows, calling `handle(msg)`."""

    async def messages(self, client: Any, subject: str) -> AsyncIterator[Any]:
        """Subscribe and return what `async for` runs over."""

    async def serve(self, client: Any, subject: str) -> None:
        """Answer each request on the subject with its own payload."""

    def jetstream(self, client: Any) -> Any:
        """The library's JetStream context, with its `publish` and `publish_async`; not every one has it."""

    async def acknowledged(self, js: Any) -> None:
        """Wait until every `publish_async` is acknowledged."""

    async def consumer(self, js: Any, stream: str) -> Any:
        """A new pull consumer of the stream, which begins at its first message."""

    def fetch(self, consumer: Any, count: int) -> Awaitable[list[Any]]:
        """So many messages, each with an `ack`."""

    def read(self, consumer: Any) -> AbstractAsyncContextManager[AsyncIterator[Any]]:
        """The messages as an iterator that goes on; each has an `ack`."""

    def read_in_order(self, js: Any, stream: str) -> AbstractAsyncContextManager[AsyncIterator[Any]]:
        """The messages of the stream through an ordered consumer, from the first one."""


def load(name: str) -> ClientDriver:
    """The driver module of that name."""
    return cast(ClientDriver, import_module(f"{__name__}.{name}"))
