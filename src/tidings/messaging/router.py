"""Routers: subscribers and publishers declared without a broker, and included into one or more of them::

    orders = NatsRouter(prefix="orders.", middlewares=[timed])

    @orders.subscriber("new")               # orders.new
    @orders.publisher("taken")              # orders.taken
    async def take(order: Order) -> Taken: ...

    broker.include_router(orders)

What is included is a subscriber like any other: prefix, middlewares and dependencies of its routers are put
into its own options once, and nothing is looked up when a message comes.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Generic, ParamSpec, TypeVar, cast, overload

from .broker import Broker, Includable, Output, check_router
from .endpoints import Accepts, Destination, Source
from .errors import SetupError
from .exceptions import ExceptionMiddleware, FunctionT
from .message import Message
from .middleware import Middleware, publish_scopes
from .option_types import DEPENDENCIES, MIDDLEWARES, TEXT, OptionTypes
from .publisher import Publisher
from .schedules.schedule import ScheduleSource
from .schedules.scheduling import Scheduling
from .subscriber import Subscriber

__all__ = [
    "BaseRouter",
    "Route",
    "RoutedPublisher",
    "RoutedSubscriber",
    "Router",
    "RouterPublisherMethod",
    "RouterSubscriberMethod",
]

P = ParamSpec("P")
HandlerT = TypeVar("HandlerT", bound=Callable[..., Any])
T = TypeVar("T")
U = TypeVar("U")
SourceT = TypeVar("SourceT", bound=Source)
DeclareSource = Callable[[Broker[Any]], Source]
DeclareDestination = Callable[[Broker[Any]], Destination]


class Route:
    """A handler with its source, to give to a router at once::

        NatsRouter(handlers=[NatsRoute(take, "new", publishers=[NatsPublisher("taken")], queue="workers")])

    Args:
        handler: the function.
        args, options: what `subscriber` of the router takes.
        publishers: where its results go; for a router of any broker, addresses.

    Raises:
        SetupError: `publishers` is one, and no list of them.
    """

    def __init__(
        self,
        handler: Callable[..., Any],
        *args: Any,
        publishers: Iterable[Destination | str] = (),
        **options: Any,
    ) -> None:
        if isinstance(publishers, str | Destination):
            raise SetupError(f"publishers of a route is a list, not {publishers!r} alone")
        self.handler = handler
        self.publishers = tuple(publishers)
        self.args = args
        self.options = options


class RoutedSubscriber:
    """A subscriber of a router: decorates handlers as `Subscriber` does."""

    def __init__(self, declare: DeclareSource) -> None:
        self.declare = declare
        self.functions: list[tuple[Callable[..., Any], Accepts | None]] = []

    @overload
    def __call__(self, handler: HandlerT, /, *, filter: Accepts | None = None) -> HandlerT: ...
    @overload
    def __call__(self, /, *, filter: Accepts) -> Callable[[HandlerT], HandlerT]: ...
    def __call__(self, handler: Any = None, /, *, filter: Accepts | None = None) -> Any:
        """Decorator: call the handler with each message; see `Subscriber`."""
        if handler is None:
            return lambda function: self(function, filter=filter)
        self.functions.append((handler, filter))
        return handler


class RoutedPublisher(Generic[T]):
    """A publisher of a router; publishes by itself once the router is included into one broker."""

    def __init__(self, router: "BaseRouter", declare: DeclareDestination) -> None:
        self.declare = declare
        self.included: list[Publisher[T]] = []
        self._router = router

    def of(self, message: type[U]) -> "RoutedPublisher[U]":
        """One that publishes messages of this type to the same destination; see `Publisher.of`."""
        declare = self.declare
        made = self._router.add_publisher(lambda broker: replace(declare(broker), schema=message))
        return cast("RoutedPublisher[U]", made)

    def __call__(self, handler: HandlerT) -> HandlerT:
        """Decorator: publish what `handler` returns; see `Publisher`."""
        self._router.add_output(handler, self)
        return handler

    async def publish(
        self, message: T, *, headers: Mapping[str, str] | None = None, correlation_id: str = ""
    ) -> None:
        """Publish a message; see `Publisher.publish`. SetupError where the router has not one broker."""
        await self._one().publish(message, headers=headers, correlation_id=correlation_id)

    async def request(
        self,
        message: T,
        *,
        timeout: float = 0.5,
        headers: Mapping[str, str] | None = None,
        correlation_id: str = "",
    ) -> Message[Any]:
        """Publish a message and return the answer; see `Publisher.request`. SetupError as `publish`."""
        return await self._one().request(
            message, timeout=timeout, headers=headers, correlation_id=correlation_id
        )

    def _one(self) -> Publisher[T]:
        if len(self.included) == 1:
            return self.included[0]
        what = "more than once" if self.included else "nowhere: call broker.include_router"
        raise SetupError(f"the router of this publisher is included {what}")


@dataclass(frozen=True, slots=True)
class _Around:
    """What the routers around a subscriber add to it."""

    broker: Broker[Any]
    prefix: str
    middlewares: tuple[Middleware, ...]
    dependencies: tuple[Any, ...]

    def source(self, declared: SourceT) -> SourceT:
        return replace(
            declared.prefixed(self.prefix),
            middlewares=(*self.middlewares, *declared.middlewares),
            dependencies=(*self.dependencies, *declared.dependencies),
        )

    def destination(self, declared: Destination) -> Destination:
        layers = publish_scopes(self.middlewares, self.broker.context)
        return replace(declared.prefixed(self.prefix), middlewares=(*layers, *declared.middlewares))


class BaseRouter(Scheduling):
    """What routers of all brokers do alike. A broker's own adds `subscriber` and `publisher`.

    Args:
        prefix: before the addresses of its subscribers and publishers, as it is: "orders.".
        handlers: handlers with their sources.
        middlewares: around its handlers, within those of the broker; classes with a `publish_scope` around
            what its publishers and its handlers' answers publish.
        dependencies: what `Depends` returns: called for every message.
        routers: routers to include.

    Raises:
        SetupError: one of these is of another type.
    """

    def __init__(
        self,
        prefix: str = "",
        handlers: Iterable[Route] = (),
        *,
        middlewares: Sequence[Middleware] = (),
        dependencies: Sequence[Any] = (),
        routers: Iterable[Includable] = (),
    ) -> None:
        _check_options(prefix, middlewares, dependencies)
        self.prefix = prefix
        self._middlewares = list(middlewares)
        self._dependencies = tuple(dependencies)
        self._exceptions = ExceptionMiddleware()
        self._subscribers: list[RoutedSubscriber] = []
        self._schedules: list[tuple[ScheduleSource, Callable[..., Any]]] = []
        self._publishers: list[RoutedPublisher[Any]] = []
        self._outputs: list[tuple[Callable[..., Any], RoutedPublisher[Any]]] = []
        self._routers: list[tuple[Includable, str, Sequence[Middleware], Sequence[Any]]] = []
        self._is_included = False
        for router in routers:
            self.include_router(router)
        for route in handlers:
            if not isinstance(route, Route):
                raise SetupError(
                    f"handlers of a router are routes, such as Route(handler, address), not {route!r}"
                )
            cast(Any, self).subscriber(*route.args, **route.options)(route.handler)
            for destination in route.publishers:
                self.add_publisher(partial(_destination_in, destination))(route.handler)

    def include_router(
        self,
        router: Includable,
        *,
        prefix: str = "",
        middlewares: Sequence[Middleware] = (),
        dependencies: Sequence[Any] = (),
    ) -> None:
        """Include another router; see `Broker.include_router`."""
        self._check_open()
        check_router(router)
        _check_options(prefix, middlewares, dependencies)
        if router is self or (isinstance(router, BaseRouter) and router.includes(self)):
            raise SetupError("a router cannot include itself, nor one that includes it")
        self._routers.append((router, prefix, middlewares, dependencies))

    def includes(self, other: Includable) -> bool:
        """Whether `other` is among the routers that were included, or those that they include."""
        return any(
            each is other or (isinstance(each, BaseRouter) and each.includes(other))
            for each, *_ in self._routers
        )

    def add_middleware(self, middleware: Middleware) -> None:
        """Add one within those that are there. SetupError once the router is included."""
        self._check_open()
        self._middlewares.append(middleware)

    def exception_handler(self, kind: type[Exception]) -> Callable[[FunctionT], FunctionT]:
        """Decorator: answer for exceptions of a type, see `ExceptionMiddleware`."""
        self._check_open()
        return self._exceptions.add_handler(kind)

    def add_subscriber(self, declare: DeclareSource) -> RoutedSubscriber:
        """A subscriber whose source is declared when the router is included."""
        self._check_open()
        made = RoutedSubscriber(declare)
        self._subscribers.append(made)
        return made

    def add_schedule(
        self,
        source: ScheduleSource,
        function: Callable[..., Any],
        outputs_of: Callable[[Callable[..., Any]], Sequence[Output]] | None = None,
    ) -> None:
        """See `Scheduling.add_schedule`."""
        self._check_open()
        self._schedules.append((source, function))

    def add_publisher(self, declare: DeclareDestination) -> RoutedPublisher[Any]:
        """A publisher whose destination is declared when the router is included."""
        self._check_open()
        made: RoutedPublisher[Any] = RoutedPublisher(self, declare)
        self._publishers.append(made)
        return made

    def add_output(self, handler: Callable[..., Any], publisher: RoutedPublisher[Any]) -> None:
        """Publish the results of `handler` there too."""
        self._check_open()
        self._outputs.append((handler, publisher))

    def _check_open(self) -> None:
        if self._is_included:
            raise SetupError(
                "the router is included, and what is added now would be missing there: import the modules "
                "that add to it before include_router"
            )

    def include_in(
        self,
        broker: Any,
        prefix: str = "",
        middlewares: Sequence[Middleware] = (),
        dependencies: Sequence[Any] = (),
    ) -> None:
        """Make what is declared a part of `broker`: what `Broker.include_router` does."""
        _check_options(prefix, middlewares, dependencies)
        self._is_included = True
        exceptions = (self._exceptions,) if self._exceptions.has_handlers else ()
        around = _Around(
            broker,
            prefix + self.prefix,
            (*middlewares, *self._middlewares, *exceptions),
            (*dependencies, *self._dependencies),
        )
        publishers = {each: self._publisher_in(around, each) for each in self._publishers}
        outputs = [(handler, publishers[each]) for handler, each in self._outputs]

        def outputs_of(handler: Callable[..., Any]) -> list[Publisher[Any]]:
            own = [publisher for decorated, publisher in outputs if decorated == handler]
            return [*own, *broker.outputs_of(handler)]

        for routed in self._subscribers:
            source = around.source(routed.declare(broker))
            made: Subscriber = type(broker).subscriber.make(broker, source)
            made.outputs_of = outputs_of
            for function, accepts in routed.functions:
                made(function, filter=accepts)
            broker.subscribers.append(made)
        for schedule, function in self._schedules:
            broker.add_schedule(around.source(schedule), function, outputs_of)
        for router, nested_prefix, *more in self._routers:
            router.include_in(
                broker,
                around.prefix + nested_prefix,
                (*around.middlewares, *more[0]),
                (*around.dependencies, *more[1]),
            )

    def _publisher_in(self, around: _Around, routed: RoutedPublisher[Any]) -> Publisher[Any]:
        made: Publisher[Any] = Publisher(around.broker, around.destination(routed.declare(around.broker)))
        routed.included.append(made)
        return made


def _check_options(prefix: Any, middlewares: Any, dependencies: Any) -> None:
    given = {"prefix": prefix, "middlewares": middlewares, "dependencies": dependencies}
    for name, (takes, fits) in _OPTIONS.items():
        if not fits(given[name]):
            raise SetupError(f"{name} of a router is {takes}, not one of type {type(given[name]).__name__}")


_OPTIONS: OptionTypes = {"prefix": TEXT, "middlewares": MIDDLEWARES, "dependencies": DEPENDENCIES}


@dataclass(frozen=True, slots=True)
class _Options:
    """What `subscriber` or `publisher` of a broker will be given."""

    address: str
    options: Mapping[str, Any]


def _declared_in(declared: Any, declare: Callable[..., Any], broker: Any) -> Any:
    if isinstance(declared, _Options):
        return declare(declared.address, **declared.options)
    if isinstance(declared, str):
        return declare(declared)
    if isinstance(declare, type) and not isinstance(declared, declare):
        raise SetupError(
            f"{declared.channel!r} is a {type(declared).__name__}, and a {type(broker).__name__} takes a "
            f"{declare.__name__}: include the router into a broker of its kind"
        )
    return declared


def _source_in(declared: Any, broker: Any) -> Source:
    source: Source = _declared_in(declared, type(broker).subscriber.declare, broker)
    return source


def _destination_in(declared: Any, broker: Any) -> Destination:
    destination: Destination = _declared_in(declared, type(broker).publisher.declare, broker)
    return destination


class Router(BaseRouter):
    """A router for any broker: its subscribers and publishers name an address, and options that all have."""

    def subscriber(self, address: str, /, **options: Any) -> RoutedSubscriber:
        """A subscriber of the address; what a broker does not know of the options it refuses."""
        return self.add_subscriber(partial(_source_in, _Options(address, options)))

    def publisher(self, address: str, /, **options: Any) -> RoutedPublisher[Any]:
        """A publisher to the address, likewise."""
        return self.add_publisher(partial(_destination_in, _Options(address, options)))


class RouterSubscriberMethod(Generic[P]):
    """`subscriber` of a broker's router: takes what the broker's source takes, as `SubscriberMethod`."""

    def __init__(self, declare: Callable[P, Source]) -> None:
        self._declare = declare

    @overload
    def __get__(self, router: None, owner: type) -> "RouterSubscriberMethod[P]": ...
    @overload
    def __get__(self, router: BaseRouter, owner: type) -> Callable[P, RoutedSubscriber]: ...
    def __get__(self, router: BaseRouter | None, owner: type) -> Any:
        if router is None:
            return self

        def subscriber(*args: P.args, **kwargs: P.kwargs) -> RoutedSubscriber:
            return router.add_subscriber(partial(_source_in, self._declare(*args, **kwargs)))

        return subscriber


class RouterPublisherMethod(Generic[P]):
    """`publisher` of a broker's router: takes what the broker's destination takes, as `PublisherMethod`."""

    def __init__(self, declare: Callable[P, Destination]) -> None:
        self._declare = declare

    @overload
    def __get__(self, router: None, owner: type) -> "RouterPublisherMethod[P]": ...
    @overload
    def __get__(self, router: BaseRouter, owner: type) -> Callable[P, RoutedPublisher[Any]]: ...
    def __get__(self, router: BaseRouter | None, owner: type) -> Any:
        if router is None:
            return self

        def publisher(*args: P.args, **kwargs: P.kwargs) -> RoutedPublisher[Any]:
            return router.add_publisher(partial(_destination_in, self._declare(*args, **kwargs)))

        return publisher
