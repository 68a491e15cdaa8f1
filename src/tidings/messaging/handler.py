"""What a subscriber knows of each of its handlers."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

from .broker import Output
from .endpoints import Accepts
from .errors import HandlerTimeoutError
from .plans.signature import describe

__all__ = ["Handler", "in_time"]


@dataclass(frozen=True, slots=True)
class Handler:
    """A function for messages of a source.

    Attributes:
        function: what is called.
        outputs: what publishes its results.
        accepts: which messages are for it; None for all that no other one takes.
    """

    function: Callable[..., Any]
    outputs: Sequence[Output] = ()
    accepts: Accepts | None = None


def in_time(call: Callable[..., Awaitable[Any]], function: Callable[..., Any], timeout: float) -> Any:
    """`call` of `function` as one that takes at most so many seconds, or raises HandlerTimeoutError."""

    async def call_in_time(*args: Any, **kwargs: Any) -> Any:
        limit = asyncio.timeout(timeout)
        try:
            async with limit:
                return await call(*args, **kwargs)
        except TimeoutError as error:
            if not limit.expired():
                raise  # its own
            raise HandlerTimeoutError(f"{describe(function)} took longer than {timeout:g} s") from error

    return call_in_time
