"""The NATS adapter, over `tidings.nats`."""

from typing import TYPE_CHECKING, Any

from .broker import NatsBroker
from .endpoints import NatsEndpoint
from .message import NatsMessage
from .options import NatsDestination, NatsSource
from .response import NatsResponse
from .router import NatsPublisher, NatsRoute, NatsRouter
from .ways import KvWatch, ObjWatch, Pull, Push

if TYPE_CHECKING:
    from .key_message import NatsKeyMessage
    from .marks import KvMarks
    from .object_message import NatsObjectMessage
    from .serving import NatsRequestMessage
    from .stream_message import NatsStreamMessage

__all__ = [
    "KvMarks",
    "KvWatch",
    "NatsBroker",
    "NatsDestination",
    "NatsEndpoint",
    "NatsKeyMessage",
    "NatsMessage",
    "NatsObjectMessage",
    "NatsPublisher",
    "NatsRequestMessage",
    "NatsResponse",
    "NatsRoute",
    "NatsRouter",
    "NatsSource",
    "NatsStreamMessage",
    "ObjWatch",
    "Pull",
    "Push",
]


def __getattr__(name: str) -> Any:
    # They bring JetStream with them, which who listens to plain subjects need not load.
    if name == "NatsStreamMessage":
        from .stream_message import NatsStreamMessage

        return NatsStreamMessage
    if name == "NatsKeyMessage":
        from .key_message import NatsKeyMessage

        return NatsKeyMessage
    if name == "KvMarks":
        from .marks import KvMarks

        return KvMarks
    if name == "NatsObjectMessage":
        from .object_message import NatsObjectMessage

        return NatsObjectMessage
    if name == "NatsRequestMessage":  # likewise with services
        from .serving import NatsRequestMessage

        return NatsRequestMessage
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
