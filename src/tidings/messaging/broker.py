"""What all brokers do alike: their life, and what they know of handlers, around an adapter."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Generic, Protocol, Self, TypedDict, TypeVar

from .adapter import Adapter, Send
from .bodies.codec import Encoded, checked, encode
from .broker_option_types import check_broker_types
from .clock import Clock
from .context import ContextRepo
from .correlation import new_correlation_id
from .durations import check_timeout
from .endpoints import Decode, Destination, Encode
from .errors import BrokerConnectionError, BrokerRefusedError, PublishError, SetupError
from .exceptions import ExceptionMiddleware, FunctionT
from .health import Health, SubscriberHealth
from .logs import DEFAULT, logger_for
from .middleware import (
    Middleware,
    Outgoing,
    PublishMiddleware,
    check_function,
    publish_scopes,
    publish_through,
)
from .plans.handling import current_message
from .stopping import upstream_first
from .threads import Threads
from .watching import Watch

__all__ = ["Broker", "BrokerKeywords", "BrokerOptions", "Consumer", "Includable", "Output", "check_router"]

AdapterT = TypeVar("AdapterT", bound=Adapter[Any, Any])


@dataclass(frozen=True, slots=True, kw_only=True)
class BrokerOptions:
    """What every broker can be told. SetupError for a value that an option does not take.

    Attributes:
        validate: whether payloads and results are checked by the annotations of the handlers.
        decoder: reads bodies in the place of JSON and text.
        encoder: writes bodies in the place of JSON and text.
        graceful_timeout: seconds that `stop` leaves to what was delivered.
        logger: for the connection, for failures, and for the handlers that ask for one; None for
            silence.
        log_level: of the line written for each message handled; None for no such line. Whether the
            logger takes that level is asked when a subscriber starts.
        connect_attempts: tries before `connect` gives up.
        connect_wait: seconds between two tries.
        threads: how many handlers that are plain `def` run at once.
        context: where `Context("name")` looks.
        middlewares: around every handler, the first one outermost; classes with a `publish_scope` around
            every publish too.
        publish_middlewares: functions around every publish, within those classes.
        dependencies: what `Depends` returns: called for every message, their results are not used.
    """

    validate: bool = True
    decoder: Decode | None = None
    encoder: Encode | None = None
    graceful_timeout: float = 15.0
    logger: logging.Logger | None = DEFAULT
    log_level: int | None = logging.INFO
    connect_attempts: int = 5
    connect_wait: float = 1.0
    threads: int = 16
    context: ContextRepo | None = None
    middlewares: Sequence[Middleware] = ()
    publish_middlewares: Sequence[PublishMiddleware] = ()
    dependencies: Sequence[Any] = ()

    def __post_init__(self) -> None:
        check_broker_types(self)


class BrokerKeywords(TypedDict, total=False):
    """`BrokerOptions` as the keyword arguments of a broker; a test keeps the two alike."""

    validate: bool
    decoder: Decode | None
    encoder: Encode | None
    graceful_timeout: float
    logger: logging.Logger | None
    log_level: int | None
    connect_attempts: int
    connect_wait: float
    threads: int
    context: ContextRepo | None
    middlewares: Sequence[Middleware]
    publish_middlewares: Sequence[PublishMiddleware]
    dependencies: Sequence[Any]


class Consumer(Protocol):
    """What a broker knows of its subscribers."""

    async def listen(self) -> None:
        """Listen; does nothing where it listens already."""

    def feeds(self, other: Any, /) -> bool:
        """Whether its handler's results come to `other`, as far as is declared."""
        ...

    async def drain(self, timeout: float) -> int:
        """Listen no more, handle what was delivered; how many messages that left after so many seconds."""
        ...

    def closed(self) -> None:
        """The broker has closed the subscription."""

    def health(self) -> SubscriberHealth:
        """Whether it gets messages."""
        ...


class Output(Protocol):
    """What a broker knows of a publisher that decorates a handler."""

    destination: Destination
    encode: Encode | None
    """What writes its messages, in the place of the handler's or the broker's encoder."""
    encode_changed: Encode | None
    """… those that a middleware changed."""

    def sender(self) -> Send:
        """What publishes a result."""
        ...


class Includable(Protocol):
    """What a broker knows of routers."""

    def include_in(
        self,
        broker: Any,
        prefix: str = "",
        middlewares: Sequence[Middleware] = (),
        dependencies: Sequence[Any] = (),
    ) -> None:
        """Make what is declared a part of `broker`."""


def check_router(router: object) -> None:
    """Refuse what cannot be included. SetupError."""
    if isinstance(router, type):
        raise SetupError(f"include_router takes a router, not the class {router.__name__}: call it")
    if not callable(getattr(router, "include_in", None)):
        raise SetupError(f"include_router takes a router, not one of type {type(router).__name__}")


class Broker(Generic[AdapterT]):
    """A connection to a broker with the handlers that listen on it.

    Attributes:
        options: what it was told.
        adapter: what it works over.
        logger: the one of the options; one that writes nothing where that is None.
        context: where `Context("name")` looks.
        overrides: functions to call in the place of dependencies, for tests.
        subscribers: in the order they were made.
        publish_layers: what is around every publish; fixed when it connects.
        watch: what looks on at the handlers, from their next start on.
        clock: by which schedules go.
    """

    def __init__(self, adapter: AdapterT, options: BrokerOptions) -> None:
        self.options = options
        self.adapter = adapter
        self.logger = logger_for(options.logger)
        self.context = options.context or ContextRepo()
        self.overrides: dict[Callable[..., Any], Callable[..., Any]] = {}
        self.subscribers: list[Consumer] = []
        self.threads = Threads(options.threads)
        self.watch: Watch | None = None
        self.clock = Clock()
        self._encode = encode if options.encoder is None else checked(options.encoder)
        self._outputs: list[tuple[Callable[..., Any], Output]] = []
        self._connected = False
        self._middlewares: list[Middleware] = list(options.middlewares)
        self._exceptions = ExceptionMiddleware()
        self.publish_layers: tuple[PublishMiddleware, ...] = ()
        self._opening: tuple[asyncio.AbstractEventLoop, asyncio.Lock] | None = None

    @property
    def opening(self) -> asyncio.Lock:
        """Held by who connects or begins to listen, so that of several at once one does it."""
        loop = asyncio.get_running_loop()
        if self._opening is None or self._opening[0] is not loop:
            self._opening = loop, asyncio.Lock()
        return self._opening[1]

    @property
    def middlewares(self) -> tuple[Middleware, ...]:
        """What is around every handler, the first one outermost."""
        exceptions = (self._exceptions,) if self._exceptions.has_handlers else ()
        return (*self._middlewares, *exceptions)

    def add_middleware(self, middleware: Middleware) -> None:
        """Add one within those that are there. SetupError once the broker is connected."""
        if self._connected:
            raise SetupError(f"the broker is connected: add {middleware!r} before, to have it everywhere")
        self._middlewares.append(middleware)

    def exception_handler(self, kind: type[Exception]) -> Callable[[FunctionT], FunctionT]:
        """Decorator: answer for exceptions of a type, see `ExceptionMiddleware`; within the middlewares."""
        return self._exceptions.add_handler(kind)

    @property
    def dependency_overrides(self) -> dict[Callable[..., Any], Callable[..., Any]]:
        """Functions to call in the place of dependencies, for tests; may change at any time."""
        return self.overrides

    def include_router(
        self,
        router: "Includable",
        *,
        prefix: str = "",
        middlewares: Sequence[Middleware] = (),
        dependencies: Sequence[Any] = (),
    ) -> None:
        """Make the subscribers and publishers of a router ones of this broker.

        Args:
            router: one for brokers of this kind, or for any; later additions to it are refused.
            prefix: before the addresses, and before that of the router.
            middlewares, dependencies: outside of the router's own.

        Raises:
            SetupError: it is no router, or one for another kind of broker.
        """
        check_router(router)
        router.include_in(self, prefix, middlewares, dependencies)

    async def connect(self) -> Self:
        """Connect without starting the subscribers; does nothing where it is connected.

        Raises:
            SetupError: a publish middleware is none.
            BrokerRefusedError: the broker refuses who we are.
            BrokerConnectionError: `connect_attempts` tries failed. Each was logged.
        """
        if not self._connected:
            async with self.opening:
                if not self._connected:
                    await self._open()
        return self

    async def _open(self) -> None:
        for function in self.options.publish_middlewares:
            check_function(function)
        classes = publish_scopes(self._middlewares, self.context)
        self.publish_layers = (*classes, *self.options.publish_middlewares)
        await self._connect()
        self._connected = True

    async def _connect(self) -> None:
        address, attempts = self.adapter.address, self.options.connect_attempts
        for attempt in range(1, attempts + 1):
            try:
                await self.adapter.open()
                return
            except BrokerRefusedError:
                raise
            except BrokerConnectionError as error:
                self.logger.warning(
                    "no connection to %s, try %d of %d: %s", address, attempt, attempts, error
                )
                if attempt == attempts:
                    raise BrokerConnectionError(
                        f"no connection to {address}: {error}. {self.adapter.advice}"
                    ) from error.__cause__
            await asyncio.sleep(self.options.connect_wait)

    async def start(self) -> None:
        """Connect and start the subscribers that are not started yet.

        When it returns, the broker delivers what is published. Raises what `connect` raises, and
        SetupError for a handler that cannot work.
        """
        await self.connect()
        async with self.opening:
            for subscriber in self.subscribers:
                await subscriber.listen()
        await self.adapter.ready()

    async def drain(self) -> None:
        """Stop the inflow and handle what was delivered; publishing still works.

        Subscribers end one after the other, each after those whose results come to it. Takes
        `graceful_timeout` at most; how many messages are left then is logged.
        """
        if self._connected:
            self.log_left(await self._drain(self._deadline()))

    async def stop(self) -> None:
        """Stop the inflow, handle what was delivered, publish the results, disconnect.

        Takes `graceful_timeout` at most; then the handlers that still run are cancelled, and how
        many messages they leave is logged. Does nothing where it is not connected; after it
        `start` works again.
        """
        if not self._connected:
            return
        self._connected = False
        deadline = self._deadline()
        try:
            try:
                left = await self._drain(deadline)
            except BaseException:
                await self.adapter.close(0)
                raise
            self.log_left(left + await self.adapter.close(self._until(deadline)))
        finally:
            self.threads.close()
            for subscriber in self.subscribers:
                subscriber.closed()

    async def _drain(self, deadline: float) -> int:
        left = 0
        for subscriber in upstream_first(self.subscribers):
            if not (remaining := self._until(deadline)):
                break
            left += await subscriber.drain(remaining)
        return left

    def _deadline(self) -> float:
        return asyncio.get_running_loop().time() + self.options.graceful_timeout

    def _until(self, deadline: float) -> float:
        return max(0.0, deadline - asyncio.get_running_loop().time())

    def log_left(self, left: int) -> None:
        """Log how many delivered messages a stop left, if it did."""
        if left:
            self.logger.error(
                "stopped with %d delivered messages not handled, graceful_timeout is %s s",
                left,
                self.options.graceful_timeout,
                extra={"not_handled": left},
            )

    @property
    def is_connected(self) -> bool:
        """Whether `connect` was called, and `stop` was not."""
        return self._connected

    async def ping(self, timeout: float = 5.0) -> bool:
        """Whether the broker answers within `timeout` seconds; False when not connected.

        SetupError for a timeout that is no number.
        """
        check_timeout(timeout)
        return self._connected and await self.adapter.ping(timeout)

    async def health(self, timeout: float = 5.0) -> Health:
        """Whether the broker answers, and every subscriber gets its messages; see `Health`.

        One that was stopped by its own `stop` is not asked.

        Args:
            timeout: seconds for the broker to answer. SetupError for what is no number.
        """
        check_timeout(timeout)
        trouble = ""
        if not self._connected:
            trouble = "not connected: call `await broker.start()`"
        elif not await self.adapter.ping(timeout):
            trouble = f"no answer within {timeout:g} s"
        subscribers = tuple(subscriber.health() for subscriber in self.subscribers)
        return Health(self.adapter.address, trouble, subscribers)

    async def __aenter__(self) -> Self:
        """Connect. The subscribers wait for `start`."""
        return await self.connect()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.stop()

    def compose(
        self,
        value: Any,
        headers: Mapping[str, str] | None,
        correlation_id: str,
        encoder: Callable[[Any], Encoded] | None = None,
    ) -> tuple[bytes, dict[str, str]]:
        """The body and the headers of a message to publish.

        Without a correlation id it gets that of the message being handled, or a new one. Without an
        encoder it is the broker's. PublishError for a value without a JSON form, and for
        headers that are none.
        """
        body, content_type = (encoder or self._encode)(value)
        if not correlation_id:
            message = current_message()
            correlation_id = message.correlation_id if message else new_correlation_id()
        elif type(correlation_id) is not str or "\n" in correlation_id or "\r" in correlation_id:
            raise PublishError(f"the correlation id is a text of one line, not {correlation_id!r}")
        composed = {"correlation_id": correlation_id}
        if content_type and not (headers and "Content-Type" in headers):
            composed["content-type"] = content_type
        if headers:
            if type(headers) is not dict and not isinstance(headers, Mapping):
                raise PublishError(
                    f"headers are a dict of str to str, not one of type {type(headers).__name__}"
                )
            self.adapter.check_headers(headers)
            composed.update(headers)
        return body, composed

    async def publish_through(
        self,
        layers: Sequence[PublishMiddleware],
        outgoing: Outgoing,
        send: Callable[[bytes, Mapping[str, str]], Awaitable[Any]],
        encode: Encode | None = None,
        encode_changed: Encode | None = None,
    ) -> Any:
        """Compose and send within publish middlewares; gives what `send` gives, or one of them.

        `encode` writes the body as it is now, `encode_changed` what a middleware made of it; None for both
        is the broker's encoder.
        """
        body = outgoing.body

        async def innermost(outgoing: Outgoing) -> Any:
            chosen = encode if outgoing.body is body else encode_changed
            return await send(*self.compose(outgoing.body, outgoing.headers, outgoing.correlation_id, chosen))

        return await publish_through(layers, innermost)(outgoing)

    def add_output(self, handler: Callable[..., Any], output: Output) -> None:
        """Publish the results of `handler` to `output` too, from the next start on."""
        self._outputs.append((handler, output))

    def outputs_of(self, handler: Callable[..., Any]) -> Sequence[Output]:
        """Where the results of `handler` go, beside its requesters."""
        return [output for decorated, output in self._outputs if decorated == handler]
