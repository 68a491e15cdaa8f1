"""The NATS adapter, over `tidings.nats`."""

from .broker import NatsBroker
from .message import NatsMessage
from .options import NatsDestination, NatsSource

__all__ = ["NatsBroker", "NatsDestination", "NatsMessage", "NatsSource"]
