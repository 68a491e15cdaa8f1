"""What may look on while handlers work: a seam for tests, which costs nothing where nobody does."""

from typing import Any, Protocol

from .adapter import Handle
from .message import Message

__all__ = ["Watch"]


class Watch(Protocol):
    """Looks on at a broker's handlers."""

    def around(self, subscriber: Any, handle: Handle) -> Handle:
        """What is called with each native message of a subscriber, in the place of `handle`."""
        ...

    def failed(self, message: Message[Any], error: BaseException) -> None:
        """A handler, or what is done with its result, failed; in the task of `handle`."""
        ...

    def passed_over(self) -> None:
        """The message was handled before, so no handler is called; in the task of `handle`."""
        ...
