"""What a test sees of handlers: their calls, their failures, and when all is done."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from contextvars import ContextVar
from typing import Any
from unittest.mock import MagicMock

from tidings.messaging.adapter import Handle
from tidings.messaging.durations import check_timeout
from tidings.messaging.message import Message
from tidings.messaging.plans.handling import current_message

from .server import TestServer

__all__ = ["Watched", "Watching"]

_ENDLESS = 20  # failures of one publish after which no more are waited for
_GLANCE = 0.01  # seconds between two looks for what tells nobody that it is done


class _Look:
    """What is seen of one message."""

    def __init__(self) -> None:
        self.failures: list[BaseException] = []
        self.is_passed_over = False


_look: ContextVar[_Look | None] = ContextVar("tidings_testing_look", default=None)


class Watched:
    """The calls of one handler.

    Attributes:
        mock: called with the decoded body of each message, or a list of them for a batch, before the handler
            is; what is not valid counts too. With a `dedupe` it is called when the handler has ended, and not
            for a duplicate.
    """

    def __init__(self) -> None:
        self.mock = MagicMock()
        self._ended: asyncio.Queue[BaseException | None] = asyncio.Queue()

    async def wait_call(self, timeout: float = 5.0) -> None:
        """Wait until a call has ended that nobody waited for yet, and raise what it failed with.

        Args:
            timeout: seconds. TimeoutError after that; SetupError for what is no number.
        """
        check_timeout(timeout)
        try:
            async with asyncio.timeout(timeout):
                error = await self._ended.get()
        except TimeoutError:
            raise TimeoutError(f"the handler was not called within {timeout} s") from None
        if error is not None:
            raise error

    def ended(self, failures: list[BaseException]) -> None:
        """Note the end of a call."""
        self._ended.put_nowait(failures[0] if failures else None)


class Watching:
    """Looks on at the handlers of one broker; a `messaging.watching.Watch`.

    Args:
        server: where the messages are; None on a real server.
        wait: seconds that publishing waits for the handlers; None is not at all.
        raises: whether publishing raises what a handler failed with.
    """

    def __init__(self, server: TestServer | None, wait: float | None, raises: bool) -> None:
        self._server = server
        self._wait = wait
        self._raises = raises
        self._watched: dict[Callable[..., Any], Watched] = {}
        self._busy = 0
        self._unraised: list[BaseException] = []
        self._news = asyncio.Event()

    def of(self, handler: Callable[..., Any]) -> Watched:
        """What is seen of a handler, which shows it too: ``handler.mock``, ``handler.wait_call``."""
        watched = self._watched.get(handler)
        if watched is None:
            watched = self._watched[handler] = Watched()
            with suppress(AttributeError):  # a bound method has no attributes of its own
                vars(handler).update(mock=watched.mock, wait_call=watched.wait_call)
        return watched

    def leave(self) -> None:
        """Take from the handlers what they showed."""
        for handler in self._watched:
            for name in ("mock", "wait_call"):
                vars(handler).pop(name, None)

    def around(self, subscriber: Any, handle: Handle) -> Handle:
        """`handle`, looked on at."""
        watched = [self.of(function) for function in subscriber.functions]
        message_of = subscriber.message_factory()
        is_deduped = subscriber.source.dedupe is not None

        async def look_on(native: Any) -> object:
            look = _Look()
            _look.set(look)
            self._busy += 1
            try:
                natives = native if isinstance(native, list) else [native]
                bodies = [await _decoded(message_of(each)) for each in natives]
                if not is_deduped:
                    _call(watched, bodies if isinstance(native, list) else bodies[0])
                done = await handle(native)
                if is_deduped and not look.is_passed_over:
                    _call(watched, bodies[0])
                return done
            finally:
                self._busy -= 1
                if not look.is_passed_over:
                    for each in watched:
                        each.ended(look.failures)
                self._news.set()

        return look_on

    def failed(self, message: Message[Any], error: BaseException) -> None:
        """Note a failure: for `wait_call`, and for who publishes."""
        look = _look.get()
        if look is not None:
            look.failures.append(error)
        self._unraised.append(error)
        self._news.set()

    def passed_over(self) -> None:
        """Note a duplicate: its handler is not called."""
        look = _look.get()
        if look is not None:
            look.is_passed_over = True

    async def settle(self) -> None:
        """Wait until what was published is handled, and raise what failed. In a handler do nothing.

        TimeoutError when it takes too long.
        """
        if self._server is None or self._wait is None or current_message() is not None:
            return
        try:
            async with asyncio.timeout(self._wait):
                while not (self._busy == 0 and self._server.is_idle):
                    if self._raises and len(self._unraised) >= _ENDLESS:
                        break
                    self._news.clear()
                    with suppress(TimeoutError):
                        async with asyncio.timeout(_GLANCE):
                            await self._news.wait()
        except TimeoutError:
            raise TimeoutError(
                f"handlers are at work after {self._wait} s: give the test broker another wait=, or "
                "wait=None so that publishing does not wait for them"
            ) from None
        if (error := self.take_failure()) is not None and self._raises:
            raise error

    def take_failure(self) -> BaseException | None:
        """The first failure that nobody was told of; the others are forgotten."""
        error = self._unraised[0] if self._unraised else None
        self._unraised.clear()
        return error


def _call(watched: list[Watched], body: Any) -> None:
    for each in watched:
        each.mock(body)


async def _decoded(message: Message[Any]) -> Any:
    try:
        return await message.decode()
    except ValueError:
        return message.body
