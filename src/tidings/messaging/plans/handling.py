"""What is being handled, for whatever runs in a handler to know: publishes, log lines, dependencies.

Setting a context variable for each message would cost half of what a plain handler may cost. So a
subscriber sets it once, to a `Handling` that it updates with each message. Whoever looks it up fixes
what it found in its own context; only a task that outlives its handler and looks for the first time
when a later message is handled takes that one for its own.
"""

from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

from ..message import Message

__all__ = ["Handling", "current_message", "handling"]


class Handling:
    """The message that one subscriber handles now.

    Attributes:
        message_of: makes a message of a native one.
        native: the native message.
        made: the message around it; None until somebody asks for it.
    """

    __slots__ = ("made", "message_of", "native")

    def __init__(self, message_of: Callable[[Any], Message[Any]]) -> None:
        self.message_of = message_of
        self.native: Any = None
        self.made: Message[Any] | None = None

    def message(self) -> Message[Any]:
        """The message, made when it is first asked for."""
        if self.made is None:
            self.made = self.message_of(self.native)
        return self.made


handling: ContextVar[Handling | Message[Any] | None] = ContextVar("tidings_handling", default=None)


def current_message() -> Message[Any] | None:
    """The message that is being handled where this is called; None outside of a handler."""
    found = handling.get()
    if not isinstance(found, Handling):
        return found
    message = found.message()
    handling.set(message)
    return message
