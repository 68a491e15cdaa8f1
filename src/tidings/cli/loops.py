"""Which event loop a service runs on."""

import asyncio
from collections.abc import Callable
from enum import StrEnum

from .exits import CommandError, Exit

__all__ = ["Loop", "loop_factory"]


class Loop(StrEnum):
    """What `--loop` takes; `auto` is uvloop where it is installed."""

    AUTO = "auto"
    ASYNCIO = "asyncio"
    UVLOOP = "uvloop"


def loop_factory(loop: Loop) -> Callable[[], asyncio.AbstractEventLoop]:
    """The function that makes the loop asked for; CommandError where uvloop is missing."""
    if loop is Loop.ASYNCIO:
        return asyncio.new_event_loop
    try:
        import uvloop
    except ModuleNotFoundError:
        if loop is Loop.AUTO:
            return asyncio.new_event_loop
        raise CommandError(
            Exit.NOT_INSTALLED,
            '--loop uvloop: uvloop is not installed: pip install "tidings[uvloop]"',
        ) from None
    return uvloop.new_event_loop
