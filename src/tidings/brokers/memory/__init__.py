"""The broker within the process: what NATS does, at the speed of an event loop and without a server."""

from .broker import MemoryBroker
from .message import MemoryMessage, MemoryMsg
from .options import MemoryDestination, MemorySource
from .server import MemoryServer

__all__ = [
    "MemoryBroker",
    "MemoryDestination",
    "MemoryMessage",
    "MemoryMsg",
    "MemoryServer",
    "MemorySource",
]
