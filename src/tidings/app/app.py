"""App: brokers, a lifespan and hooks, started and stopped together.

The life of an App, each step undone in reverse by the step it mirrors:

    lifespan enter → on_startup → brokers start → after_startup
                                      … running …
    lifespan exit ← after_shutdown ← brokers stop ← on_shutdown

A start that fails part of the way runs the whole lower line for what was opened.
"""

import logging
import signal
from collections import ChainMap
from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, suppress
from enum import Enum
from types import MappingProxyType, TracebackType
from typing import Any, Protocol, Self, TypeVar, cast

from tidings.messaging.broker import Broker
from tidings.messaging.context import ContextRepo
from tidings.messaging.logs import DEFAULT, logger_for
from tidings.messaging.message import Message
from tidings.messaging.plans.injection import Surroundings
from tidings.messaging.plans.signature import describe

from .checks import check_broker, check_hook, check_options_of_app, entered_by, hooks_of
from .context import LayeredContext
from .hooks import Hook, check_options
from .run import Run
from .signals import stop_signals

__all__ = ["App"]

HookT = TypeVar("HookT", bound=Callable[..., Any])

_NO_OPTIONS: Mapping[str, Any] = MappingProxyType({})


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
    `Depends`, `Context`, `Logger`, and by their type `ContextRepo`, the App and the brokers. Any other
    parameter is an option of the start, validated by its annotation: ``app.start(model="small")``, or
    ``tidings run main:app --model small``. ``**options`` takes all that are given.

    Raises:
        SetupError: one of these is of another type.

    Attributes:
        brokers: those it starts and stops.
        logger: where it reports; one that writes nothing for None.
        context: what hooks and handlers find with `Context`.
        stopped_by: the signal that ended the last `run()`; None where it was not one.
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
        check_options_of_app(lifespan, logger, context)
        self.brokers: list[StartsAndStops] = []
        self.logger = logger_for(logger)
        self.context = ContextRepo() if context is None else context
        self._lifespan = lifespan
        self._on_startup = hooks_of(on_startup, "on_startup")
        self._after_startup = hooks_of(after_startup, "after_startup")
        self._on_shutdown = hooks_of(on_shutdown, "on_shutdown")
        self._after_shutdown = hooks_of(after_shutdown, "after_shutdown")
        self._phase = Phase.STOPPED
        self._exits = AsyncExitStack()
        self._options: Mapping[str, Any] = _NO_OPTIONS
        self._run: Run | None = None
        self.stopped_by: signal.Signals | None = None
        for broker in brokers:
            self.add_broker(broker)

    def add_broker(self, broker: StartsAndStops) -> None:
        """Add a broker, to be started with the others. RuntimeError once the App has started.

        SetupError for what is none.
        """
        check_broker(broker)
        if self._phase is not Phase.STOPPED:
            raise RuntimeError(f"the app is {self._phase.value}: add brokers before it starts")
        if isinstance(broker, Broker):
            broker.context = LayeredContext(broker.context, self.context)
        self.brokers.append(broker)

    def on_startup(self, hook: HookT) -> HookT:
        """Decorator: call `hook` before the brokers start."""
        check_hook(hook, "on_startup")
        self._on_startup.append(hook)
        return hook

    def after_startup(self, hook: HookT) -> HookT:
        """Decorator: call `hook` once every broker has started; publishing works in it."""
        check_hook(hook, "after_startup")
        self._after_startup.append(hook)
        return hook

    def on_shutdown(self, hook: HookT) -> HookT:
        """Decorator: call `hook` before the brokers stop; publishing still works in it."""
        check_hook(hook, "on_shutdown")
        self._on_shutdown.append(hook)
        return hook

    def after_shutdown(self, hook: HookT) -> HookT:
        """Decorator: call `hook` once every broker has stopped."""
        check_hook(hook, "after_shutdown")
        self._after_shutdown.append(hook)
        return hook

    async def run(self, **options: Any) -> None:
        """Start, serve until `exit()`, SIGINT or SIGTERM, then stop.

        A signal stops gracefully: what was delivered is handled first. A second one ends the
        process at once, with exit code 128 + its number. A signal while the App is still starting
        abandons the start. A broker whose connection is lost for good stops the App as well.

        Args:
            options: those of `start`.

        Raises:
            ConnectionLostError: a connection was lost for good; a BrokerConnectionError.
            Exception: whatever the start or the stop raised.
        """
        run = self._run = Run(lambda: self._phase is Phase.STARTING, self.logger)
        adapters = (broker.adapter for broker in self.brokers if isinstance(broker, Broker))
        try:
            with stop_signals(run.loop, run.on_signal), run.watching(adapters):
                await run.start(self.start(**options))
                try:
                    await run.asked.wait()
                finally:
                    await self.stop()
        finally:
            self._run, self.stopped_by = None, run.stopped_by
        if run.lost is not None:
            raise run.lost

    def exit(self, *, abandon_start: bool = False) -> None:
        """Ask a running `run()` to stop gracefully; returns at once. Callable from any thread,
        from handlers and hooks; without a `run()` it does nothing.

        Args:
            abandon_start: whether an App that is still starting stops at once, as a signal has it; or
                else when it has started.
        """
        if (run := self._run) is not None:
            with suppress(RuntimeError):  # of a loop that was closed meanwhile: nothing runs any more
                run.loop.call_soon_threadsafe(run.ask_stop, abandon_start)

    async def start(self, **options: Any) -> None:
        """Enter the lifespan, start the brokers, call the start hooks.

        When a step raises, what was opened is closed, the shutdown hooks are called, and the
        error goes on to the caller.

        Args:
            options: what hooks and the lifespan get for parameters of these names.

        Raises:
            OptionError: an option is missing, not valid, or asked for by no hook; nothing was opened.
            RuntimeError: the App is not stopped.
        """
        if self._phase is not Phase.STOPPED:
            raise RuntimeError(f"the app is already {self._phase.value}")
        check_options(map(self._hook, self._hooks()), options)
        self._options = options
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
            lifespan = entered_by(self._lifespan, await self._call(self._lifespan))
            await exits.enter_async_context(lifespan)
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

    def _hooks(self) -> list[Callable[..., Any]]:
        hooks = (*self._on_startup, *self._after_startup, *self._on_shutdown, *self._after_shutdown)
        return [*((self._lifespan,) if self._lifespan is not None else ()), *hooks]

    def _hook(self, function: Callable[..., Any]) -> Hook:
        return Hook.read(function, self._surroundings(function))

    async def _call(self, function: Callable[..., Any]) -> Any:
        return await self._hook(function).call(self._options)

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
