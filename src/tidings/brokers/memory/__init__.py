"""The broker within the process: what NATS does, at the speed of an event loop and without a server."""

from tidings.messaging.response import Response as MemoryResponse

from .broker import MemoryBroker
from .message import MemoryMessage, MemoryMsg
from .options import MemoryDestination, MemorySource
from .router import MemoryPublisher, MemoryRoute, MemoryRouter
from .server import MemoryServer

__all__ = [
    "MemoryBroker",
    "MemoryDestination",
    "MemoryMessage",
    "MemoryMsg",
    "MemoryPublisher",
    "MemoryResponse",
    "MemoryRoute",
    "MemoryRouter",
    "MemoryServer",
    "MemorySource",
]
