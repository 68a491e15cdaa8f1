"""Subscribers: a declared source, and the handler that gets its messages."""

from collections.abc import AsyncIterator, Callable
from inspect import signature
from typing import Any, Generic, ParamSpec, TypeVar, overload

from .adapter import Stop
from .broker import Broker
from .durations import check_timeout
from .endpoints import Accepts, Source
from .errors import SetupError
from .handler import Handler
from .health import SubscriberHealth
from .mailbox import Mailbox
from .message import Message
from .plans.pauses import Pauses
from .plans.plan import plan_for
from .plans.signature import describe

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

    Several handlers share the messages by `filter`: the first one that accepts a message gets it, and one
    without a filter what is left::

        orders = broker.subscriber("orders")

        @orders(filter=lambda message: message.headers.get("kind") == "return")
        async def on_return(order: Order) -> None: ...

        @orders
        async def on_order(order: Order) -> None: ...

    Without a handler its messages are taken one by one; who takes one settles it, where that is done::

        async for message in broker.subscriber("in"): ...
        message = await subscriber.get_one(timeout=5)

    Attributes:
        broker, source: whose messages, and which of them.
        outputs_of: the publishers of a handler.
    """

    def __init__(self, broker: Broker[Any], source: Source) -> None:
        self.broker = broker
        self.source = source
        self.outputs_of = broker.outputs_of
        self._functions: list[tuple[Callable[..., Any], Accepts | None]] = []
        self._stop: Stop | None = None
        self._mailbox: Mailbox | None = None
        self._pauses = Pauses()

    @overload
    def __call__(self, handler: HandlerT, /, *, filter: Accepts | None = None) -> HandlerT: ...
    @overload
    def __call__(self, /, *, filter: Accepts) -> Callable[[HandlerT], HandlerT]: ...
    def __call__(self, handler: Any = None, /, *, filter: Accepts | None = None) -> Any:
        """Decorator: call the handler with each message. The function stays as it is.

        Args:
            handler: the function.
            filter: which messages are for it, sync or async; None for that of the source, or for all that no
                other handler accepts.

        Raises:
            SetupError: it or the filter is no function, or the subscriber has a handler for all messages
                already.
        """
        if handler is None:
            return lambda function: self(function, filter=filter)
        if not callable(handler):
            kind = type(handler).__name__
            raise SetupError(f"the handler of {self.source.channel!r} is a function, not one of type {kind}")
        accepts = filter or self.source.filter
        if filter is not None or callable(accepts):  # the source's is looked at with its other options
            _check_filter(accepts, self.source.channel)
        for other, others_accepts in self._functions:
            if accepts is None and others_accepts is None:
                raise SetupError(
                    f"the subscriber of {self.source.channel!r} has the handler {describe(other)}: make a "
                    "subscriber for each handler, or give all but one of them a filter"
                )
        self._functions.append((handler, accepts))
        return handler

    @property
    def handlers(self) -> list[Handler]:
        """Its handlers, the one without a filter last."""
        functions = sorted(self._functions, key=lambda each: each[1] is None)
        return [Handler(function, self.outputs_of(function), accepts) for function, accepts in functions]

    @property
    def functions(self) -> list[Callable[..., Any]]:
        """The functions that handle its messages."""
        return [function for function, _ in self._functions]

    @property
    def is_running(self) -> bool:
        """Whether it listens."""
        return self._stop is not None

    async def start(self) -> None:
        """Listen; when it returns, the broker delivers. Raises as `listen`.

        Without a handler its messages wait for `get_one` or ``async for``, which start it too.
        """
        async with self.broker.opening:
            if self._functions:
                await self.listen()
            elif self._mailbox is None:
                await self._open_mailbox()
        await self.broker.adapter.ready()

    async def listen(self) -> None:
        """Compile the handlers and listen; does nothing where it listens, or has no handler.

        Raises:
            NotConnectedError: the broker is not connected.
            SetupError: a handler asks for something that cannot be.
        """
        handlers = self.handlers
        if self._stop is not None or not handlers:
            return
        self.source.check()  # before a store is asked for
        self._add_to_broker()
        self._pauses, first, dedupe = Pauses(), handlers[0].function, self.source.dedupe
        marks = None if dedupe is None else await self.broker.adapter.marks(dedupe.store)
        handle = plan_for(handlers, self.broker, self.source, self._pauses, marks)
        if self.broker.watch is not None:
            handle = self.broker.watch.around(self, handle)
        self._stop = await self.broker.adapter.listen(self.described(first), handle)
        for each in handlers:
            self.broker.logger.debug("%s listens to %s", describe(each.function), self.source.channel)

    def _add_to_broker(self) -> None:
        if self not in self.broker.subscribers:
            self.broker.subscribers.append(self)

    async def _open_mailbox(self) -> None:
        source, adapter = self.source, self.broker.adapter
        source.check()
        for name in ("ack_policy", "retry", "dead_letter", "batch", "dedupe"):
            if getattr(source, name) is not None:
                raise SetupError(
                    f"{name} of the subscriber of {source.channel!r} is for a handler, and it has none: who "
                    "takes a message settles it"
                )
        self._add_to_broker()
        mailbox = self._mailbox = Mailbox(adapter.message_factory(source), adapter.settler(source))
        try:
            self._stop = await adapter.listen(source, mailbox.put)
        except BaseException:
            self._mailbox = None
            mailbox.end()
            raise

    async def get_one(self, timeout: float | None = 5.0) -> Message[Any] | None:
        """The next message, of a subscriber without a handler; starts it where it does not run.

        No middlewares are around it.

        Args:
            timeout: seconds; None to wait until it stops.

        Returns:
            The message; None when none came in time, or the subscriber has stopped.

        Raises:
            SetupError: it has a handler, which gets the messages; or the timeout is no number.
            NotConnectedError: the broker is not connected.
        """
        if timeout is not None:
            check_timeout(timeout)
        return await (await self._take_from()).take(timeout)

    async def __aiter__(self) -> AsyncIterator[Message[Any]]:
        """Messages until it stops; what was delivered then still comes. Raises as `get_one`."""
        mailbox = await self._take_from()
        while (message := await mailbox.take(None)) is not None:
            yield message

    async def _take_from(self) -> Mailbox:
        if self._functions:
            handler, _ = self._functions[0]
            raise SetupError(
                f"the subscriber of {self.source.channel!r} has the handler {describe(handler)}: make "
                "another one to take messages"
            )
        if self._mailbox is None:
            await self.start()
        assert self._mailbox is not None
        return self._mailbox

    def message_factory(self) -> Callable[[Any], Message[Any]]:
        """What makes its messages out of native ones."""
        made: Callable[[Any], Message[Any]] = self.broker.adapter.message_factory(self.source)
        return made

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
        mailbox, self._mailbox = self._mailbox, None
        self._pauses.end()
        if stop is None:
            return 0
        return await (stop(timeout) if mailbox is None else mailbox.close(stop, timeout))

    def feeds(self, other: "Subscriber", /) -> bool:
        """Whether a publisher of a handler publishes to what `other` listens to."""
        outputs = [output for each in self.handlers for output in each.outputs]
        return any(other.source.takes(output.destination) for output in outputs)

    def health(self) -> SubscriberHealth:
        """Whether it gets messages, as far as the broker's client knows."""
        trouble = "it is not started" if self._stop is None else self.broker.adapter.trouble(self._stop)
        return SubscriberHealth(self.source.channel, trouble)

    def closed(self) -> None:
        """The broker closed the subscription."""
        self._stop = None
        if self._mailbox is not None:
            self._mailbox.end()
            self._mailbox = None


def _check_filter(accepts: Any, channel: str) -> None:
    if not callable(accepts):
        raise SetupError(f"filter of {channel!r} is a function, not one of type {type(accepts).__name__}")
    try:
        signature(accepts).bind(None)
    except TypeError as error:
        raise SetupError(f"filter of {channel!r} is called with the message alone: {error}") from None
    except ValueError:
        pass  # a builtin that does not say what it takes


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
        self.declare = declare
        self.make = make

    @overload
    def __get__(self, broker: None, owner: type) -> "SubscriberMethod[P]": ...
    @overload
    def __get__(self, broker: Broker[Any], owner: type) -> Callable[P, Subscriber]: ...
    def __get__(self, broker: Broker[Any] | None, owner: type) -> Any:
        if broker is None:
            return self

        def subscriber(*args: P.args, **kwargs: P.kwargs) -> Subscriber:
            made = self.make(broker, self.declare(*args, **kwargs))
            broker.subscribers.append(made)
            return made

        return subscriber
