"""App: brokers, a lifespan and hooks, started and stopped together.

The life of an App, each step undone in reverse by the step it mirrors:

    lifespan enter → on_startup → brokers start → after_startup
                                      … running …
    lifespan exit ← after_shutdown ← brokers stop ← on_shutdown

A start that fails part of the way runs the whole lower line for what was opened.
"""

import asyncio
import logging
import os
import signal
import threading
from collections import ChainMap
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import (
    AbstractAsyncContextManager,
    AsyncExitStack,
    ExitStack,
    contextmanager,
    suppress,
)
from enum import Enum
from inspect import isawaitable
from types import FrameType, TracebackType
from typing import Any, Protocol, Self, TypeVar, cast

from tidings.messaging.broker import Broker
from tidings.messaging.context import ContextRepo
from tidings.messaging.errors import ContextError, SetupError
from tidings.messaging.injection import Surroundings, payload_of, with_injection
from tidings.messaging.logs import DEFAULT, logger_for
from tidings.messaging.message import Message
from tidings.messaging.params import MISSING
from tidings.messaging.signature import describe, read_signature

__all__ = ["App"]

Hook = TypeVar("Hook", bound=Callable[..., Any])


class StartsAndStops(Protocol):
    """What an App asks of a broker.

    `drain` handles everything delivered and stays connected, so that handlers of other brokers can
    still publish; `stop` drains what was not drained and closes. Neither takes longer than the
    broker's `graceful_timeout`. `stop` may be called on a broker whose `start` failed.
    """

    def start(self) -> Awaitable[None]: ...
    def drain(self) -> Awaitable[None]: ...
    def stop(self) -> Awaitable[None]: ...


class Phase(Enum):
    """Where in its life an App is."""

    STOPPED = "stopped"
    STARTING = "starting"
    RUNNING = "running"
    STOPPING = "stopping"


class App:
    """One service: brokers with the hooks around them.

        app = App(NatsBroker())
        asyncio.run(app.run())          # or: tidings run main:app

    Args:
        brokers: brokers of any kind, started in this order and stopped in reverse.
        lifespan: a function that returns an async context manager around the whole life
            (`@asynccontextmanager`).
        on_startup, after_startup, on_shutdown, after_shutdown: hooks, sync or async, called in
            this order; the methods of the same names add more as decorators.
        logger: where the App reports its start and stop; None for silence.
        context: values that hooks and the handlers of every broker find with `Context("name")`;
            a broker's own value of a name goes before.

    Hooks and the lifespan may ask for what needs no message, by the markers handlers use:
    `Depends`, `Context`, `Logger`, and by their type `ContextRepo`, the App and the brokers.
    """

    def __init__(
        self,
        *brokers: StartsAndStops,
        lifespan: Callable[..., AbstractAsyncContextManager[Any]] | None = None,
        on_startup: Iterable[Callable[..., Any]] = (),
        after_startup: Iterable[Callable[..., Any]] = (),
        on_shutdown: Iterable[Callable[..., Any]] = (),
        after_shutdown: Iterable[Callable[..., Any]] = (),
        logger: logging.Logger | None = DEFAULT,
        context: ContextRepo | None = None,
    ) -> None:
        self.brokers: list[StartsAndStops] = []
        self.logger = logger_for(logger)
        self.context = ContextRepo() if context is None else context
        self._lifespan = lifespan
        self._on_startup = list(on_startup)
        self._after_startup = list(after_startup)
        self._on_shutdown = list(on_shutdown)
        self._after_shutdown = list(after_shutdown)
        self._phase = Phase.STOPPED
        self._exits = AsyncExitStack()
        self._ask_exit: Callable[[], object] | None = None
        for broker in brokers:
            self.add_broker(broker)

    def add_broker(self, broker: StartsAndStops) -> None:
        """Add a broker, to be started with the others. RuntimeError once the App has started."""
        if self._phase is not Phase.STOPPED:
            raise RuntimeError(f"the app is {self._phase.value}: add brokers before it starts")
        if isinstance(broker, Broker):
            broker.context = _LayeredContext(broker.context, self.context)
        self.brokers.append(broker)

    def on_startup(self, hook: Hook) -> Hook:
        """Decorator: call `hook` before the brokers start."""
        self._on_startup.append(hook)
        return hook

    def after_startup(self, hook: Hook) -> Hook:
        """Decorator: call `hook` once every broker has started; publishing works in it."""
        self._after_startup.append(hook)
        return hook

    def on_shutdown(self, hook: Hook) -> Hook:
        """Decorator: call `hook` before the brokers stop; publishing still works in it."""
        self._on_shutdown.append(hook)
        return hook

    def after_shutdown(self, hook: Hook) -> Hook:
        """Decorator: call `hook` once every broker has stopped."""
        self._after_shutdown.append(hook)
        return hook

    async def run(self) -> None:
        """Start, serve until `exit()`, SIGINT or SIGTERM, then stop.

        A signal stops gracefully: what was delivered is handled first. A second one ends the
        process at once, with exit code 128 + its number. A signal while the App is still starting
        abandons the start. Errors of the start and of the stop are raised.
        """
        exit_asked = asyncio.Event()
        loop, task = asyncio.get_running_loop(), asyncio.current_task()
        assert task is not None
        interrupted = False

        def on_signal(name: str) -> None:
            nonlocal interrupted
            self.logger.info(f"{name} received, stopping; a second one ends the process at once")
            exit_asked.set()
            if self._phase is Phase.STARTING:
                interrupted = task.cancel()

        async def start() -> None:
            cancelled_by_others = task.cancelling()
            try:
                await self.start()
            except asyncio.CancelledError:
                if not interrupted or task.cancelling() > cancelled_by_others + 1:
                    raise
            finally:
                if interrupted:
                    task.uncancel()

        self._ask_exit = lambda: loop.call_soon_threadsafe(exit_asked.set)
        try:
            with _stop_signals(lambda name: loop.call_soon_threadsafe(on_signal, name)):
                await start()
                try:
                    await exit_asked.wait()
                finally:
                    await self.stop()
        finally:
            self._ask_exit = None

    def exit(self) -> None:
        """Ask a running `run()` to stop gracefully; returns at once. Callable from any thread,
        from handlers and hooks; without a `run()` it does nothing."""
        if self._ask_exit is not None:
            self._ask_exit()

    async def start(self) -> None:
        """Enter the lifespan, start the brokers, call the start hooks.

        When a step raises, what was opened is closed, the shutdown hooks are called, and the
        error goes on to the caller. RuntimeError if the App is not stopped.
        """
        if self._phase is not Phase.STOPPED:
            raise RuntimeError(f"the app is already {self._phase.value}")
        self._phase = Phase.STARTING
        self.logger.info("app starting…")
        failure: BaseException | None = None
        try:
            async with AsyncExitStack() as exits:
                try:
                    await self._open(exits)
                except BaseException as error:
                    self._phase, failure = Phase.STOPPING, error
                    raise
                self._exits, self._phase = exits.pop_all(), Phase.RUNNING
        finally:
            if self._phase is not Phase.RUNNING:
                self._phase = Phase.STOPPED
        if failure is not None:  # the lifespan suppressed it, and the App is not up all the same
            raise failure
        self.logger.info("app started, press CTRL+C to exit")

    async def stop(self) -> None:
        """Call the shutdown hooks, stop the brokers and leave the lifespan.

        Every step is taken, whatever the ones before it raised; the last error is raised at the
        end. Does nothing if the App is not running.
        """
        if self._phase is not Phase.RUNNING:
            return
        self._phase = Phase.STOPPING
        self.logger.info("app stopping…")
        try:
            await self._exits.aclose()
        finally:
            self._phase = Phase.STOPPED
        self.logger.info("app stopped")

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.stop()

    async def _open(self, exits: AsyncExitStack) -> None:
        """The upper line of the life, with each step's exit registered as it is taken."""
        if self._lifespan is not None:
            await exits.enter_async_context(await self._call(self._lifespan))
        exits.push_async_callback(self._call_every, self._after_shutdown)
        brokers = await exits.enter_async_context(AsyncExitStack())
        exits.push_async_callback(self._call_every, self._on_shutdown)
        for hook in self._on_startup:
            await self._call(hook)
        for broker in self.brokers:
            # Before the start: one that failed or was cancelled half-way has something to close.
            brokers.push_async_callback(broker.stop)
            await broker.start()
        brokers.push_async_callback(self._drain)
        for hook in self._after_startup:
            await self._call(hook)

    async def _drain(self) -> None:
        """Let every broker finish before the first one closes: its handlers may publish to another."""
        for broker in self.brokers:
            await broker.drain()

    async def _call_every(self, hooks: list[Callable[..., Any]]) -> None:
        """Call the hooks in their order; one that raises does not keep the rest from their turn."""
        async with AsyncExitStack() as calls:
            for hook in reversed(hooks):
                calls.push_async_callback(self._call, hook)

    async def _call(self, function: Callable[..., Any]) -> Any:
        """Call a hook with its parameters filled, and await what it returns if need be."""

        async def call(*args: Any, **kwargs: Any) -> Any:
            result = function(*args, **kwargs)
            return await result if isawaitable(result) else result

        signature = read_signature(function)
        surroundings = self._surroundings(function)
        if names := payload_of(signature, surroundings).names:
            raise SetupError(
                f"{surroundings.channel} is called without a message and cannot be given "
                f"{', '.join(map(repr, names))}: use Depends or Context"
            )
        return await with_injection(call, signature, surroundings)(cast(Message[Any], _NoMessage()))

    def _surroundings(self, function: Callable[..., Any]) -> Surroundings:
        given = {"app": self, "logger": self.logger, "context": self.context}
        names = ("broker", *(f"broker_{number}" for number in range(2, len(self.brokers) + 1)))
        brokers = [broker for broker in self.brokers if isinstance(broker, Broker)]
        return Surroundings(
            channel=f"the hook {describe(function)}",
            message_type=cast(type[Message[Any]], Message),
            path_names=(),
            given=given | dict(zip(names, self.brokers, strict=False)),
            resolve=self.context.resolve,
            overrides=ChainMap(*(broker.overrides for broker in brokers)),
            validate=False,
            decoder=None,
        )


class _NoMessage:
    """Stands where handlers have their message."""

    def __getattr__(self, name: str) -> Any:
        raise ContextError(f"there is no message to take {name!r} of: hooks are called without one")


class _LayeredContext(ContextRepo):
    """A broker's context, with the App's behind it."""

    def __init__(self, own: ContextRepo, behind: ContextRepo) -> None:
        super().__init__()
        self._own, self._behind = own, behind

    def set_global(self, key: str, value: Any) -> None:
        self._own.set_global(key, value)

    def reset_global(self, key: str) -> None:
        self._own.reset_global(key)

    def get(self, key: str, default: Any = None) -> Any:
        found = self._own.get(key, MISSING)
        return self._behind.get(key, default) if found is MISSING else found

    def resolve(self, name: str) -> Any:
        key = name.partition(".")[0]
        layer = self._behind if self._own.get(key, MISSING) is MISSING else self._own
        return layer.resolve(name)


@contextmanager
def _stop_signals(on_first: Callable[[str], object]) -> Iterator[None]:
    """Give the first SIGINT or SIGTERM of the block to `on_first`; the second ends the process.

    Not by way of the event loop: a second signal must work while a handler blocks the loop too.
    Outside the main thread, where Python allows no signal handlers, this does nothing.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    signalled = False

    def handle(number: int, frame: FrameType | None) -> None:
        nonlocal signalled
        if signalled:
            with suppress(OSError):  # a closed stderr is no reason to stay
                os.write(2, b"second signal: ended before the stop was complete\n")
            os._exit(128 + number)
        signalled = True
        on_first(signal.Signals(number).name)

    with ExitStack() as restore:
        for number in (signal.SIGINT, signal.SIGTERM):
            before = signal.signal(number, handle)
            restore.callback(signal.signal, number, signal.SIG_DFL if before is None else before)
        yield
