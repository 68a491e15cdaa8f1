"""Subscribers: a declared source, and the handler that gets its messages."""

from collections.abc import Callable
from typing import Any, Generic, ParamSpec, TypeVar, overload

from .adapter import Stop
from .broker import Broker
from .endpoints import Source
from .errors import SetupError
from .plan import plan_for
from .signature import describe

__all__ = ["Subscriber", "SubscriberMethod"]

P = ParamSpec("P")
HandlerT = TypeVar("HandlerT", bound=Callable[..., Any])


class Subscriber:
    """Gives the messages of one source to a handler::

        @broker.subscriber("in")
        async def handler(order: Order) -> None: ...

    Started with the broker; one made later is started by its own `start`, or by `start` of the
    broker again::

        subscriber = broker.subscriber("in")
        subscriber(handler)
        await subscriber.start()
    """

    def __init__(self, broker: Broker[Any], source: Source) -> None:
        self.broker = broker
        self.source = source
        self._handler: Callable[..., Any] | None = None
        self._stop: Stop | None = None

    def __call__(self, handler: HandlerT) -> HandlerT:
        """Decorator: call `handler` with each message. The function stays as it is.

        Raises:
            SetupError: the subscriber has a handler.
        """
        if self._handler is not None:
            raise SetupError(
                f"the subscriber of {self.source.channel!r} has the handler "
                f"{describe(self._handler)}: make a subscriber for each handler"
            )
        self._handler = handler
        return handler

    @property
    def functions(self) -> list[Callable[..., Any]]:
        """The functions that handle its messages."""
        return [] if self._handler is None else [self._handler]

    @property
    def is_running(self) -> bool:
        """Whether it listens."""
        return self._stop is not None

    async def start(self) -> None:
        """Listen; when it returns, the broker delivers. Raises as `listen`."""
        await self.listen()
        await self.broker.adapter.ready()

    async def listen(self) -> None:
        """Compile the handler and listen; does nothing where it listens, or has no handler.

        Raises:
            NotConnectedError: the broker is not connected.
            SetupError: the handler asks for something that cannot be.
        """
        if self._stop is not None or self._handler is None:
            return
        if self not in self.broker.subscribers:
            self.broker.subscribers.append(self)
        handle = plan_for(self._handler, self.broker, self.source)
        if self.broker.watch is not None:
            handle = self.broker.watch.around(self, handle)
        self._stop = await self.broker.adapter.listen(self.described(self._handler), handle)
        self.broker.logger.debug("%s listens to %s", describe(self._handler), self.source.channel)

    def described(self, handler: Callable[..., Any]) -> Source:
        """The source, as the adapter is to know it; a subclass adds what the handler says of it."""
        return self.source

    async def stop(self) -> None:
        """Stop listening; what was delivered is handled first.

        The broker starts it no more; its own `start` works again.
        """
        if self in self.broker.subscribers:
            self.broker.subscribers.remove(self)  # so that those of a run time do not pile up
        self.broker.log_left(await self.drain(self.broker.options.graceful_timeout))

    async def drain(self, timeout: float) -> int:
        """Stop listening; the broker's next start listens again.

        Args:
            timeout: seconds to handle what was delivered.

        Returns:
            How many delivered messages were not handled in that time.
        """
        stop, self._stop = self._stop, None
        return 0 if stop is None else await stop(timeout)

    def feeds(self, other: "Subscriber", /) -> bool:
        """Whether a publisher of the handler publishes to what `other` listens to."""
        if self._handler is None:
            return False
        outputs = self.broker.outputs_of(self._handler)
        return any(other.source.takes(output.destination) for output in outputs)

    def closed(self) -> None:
        """The broker closed the subscription."""
        self._stop = None


class SubscriberMethod(Generic[P]):
    """`subscriber` of a broker's class: takes what the broker's source takes.

    ``subscriber = SubscriberMethod(NatsSource)`` in the class, so that the options of a source are
    declared by its dataclass and nowhere else.

    Args:
        declare: makes a source of the options.
        make: makes a subscriber of it.
    """

    def __init__(
        self, declare: Callable[P, Source], make: Callable[[Broker[Any], Any], Subscriber] = Subscriber
    ) -> None:
        self._declare = declare
        self._make = make

    @overload
    def __get__(self, broker: None, owner: type) -> "SubscriberMethod[P]": ...
    @overload
    def __get__(self, broker: Broker[Any], owner: type) -> Callable[P, Subscriber]: ...
    def __get__(self, broker: Broker[Any] | None, owner: type) -> Any:
        if broker is None:
            return self

        def subscriber(*args: P.args, **kwargs: P.kwargs) -> Subscriber:
            made = self._make(broker, self._declare(*args, **kwargs))
            broker.subscribers.append(made)
            return made

        return subscriber
