"""The NATS adapter, over `tidings.nats`."""

from typing import TYPE_CHECKING, Any

from .broker import NatsBroker
from .endpoints import NatsEndpoint
from .message import NatsMessage
from .options import NatsDestination, NatsSource, Pull

if TYPE_CHECKING:
    from .serving import NatsRequestMessage
    from .stream_message import NatsStreamMessage

__all__ = [
    "NatsBroker",
    "NatsDestination",
    "NatsEndpoint",
    "NatsMessage",
    "NatsRequestMessage",
    "NatsSource",
    "NatsStreamMessage",
    "Pull",
]


def __getattr__(name: str) -> Any:
    # It brings JetStream with it, which who listens to plain subjects need not load.
    if name == "NatsStreamMessage":
        from .stream_message import NatsStreamMessage

        return NatsStreamMessage
    if name == "NatsRequestMessage":  # likewise with services
        from .serving import NatsRequestMessage

        return NatsRequestMessage
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
