"""Publishers: a declared destination, as an object and as a decorator of handlers."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any, Generic, ParamSpec, TypeVar, overload

from .adapter import Adapter, Send
from .bodies.results import encoder_for
from .broker import Broker
from .endpoints import Destination, Encode
from .errors import PublishError
from .message import Message
from .middleware import Outgoing, check_function
from .params import MISSING

__all__ = ["Publisher", "PublisherMethod"]

P = ParamSpec("P")
HandlerT = TypeVar("HandlerT", bound=Callable[..., Any])
T = TypeVar("T")
U = TypeVar("U")


class Publisher(Generic[T]):
    """Publishes to one destination::

        replies = broker.publisher("out")
        await replies.publish({"id": 1})

        @broker.subscriber("in")
        @replies                            # or: @broker.publisher("out")
        async def handler(order: Order) -> Receipt: ...

    Made by `publisher` of a broker; SetupError for an address that cannot be published to, for an option or a
    middleware that is none, and for a schema that cannot be validated. It takes any message, unless it is
    said what it publishes; that is validated then, and type checkers know it:
    ``receipts = broker.publisher("out").of(Receipt)``.

    Attributes:
        broker, destination: where it publishes to.
        encode: what writes its messages; None for the handler's or the broker's encoder.
        encode_changed: … those that a middleware changed.
    """

    def __init__(self, broker: Broker[Adapter[Any, Any]], destination: Destination) -> None:
        destination.check()
        for function in destination.middlewares:
            check_function(function)
        self.broker = broker
        self.destination = destination
        self.encode, self.encode_changed = _encoders_of(broker, destination)

    def of(self, message: type[U]) -> "Publisher[U]":
        """One that publishes messages of this type to the same destination, and nothing else.

        What it publishes, or a handler that it decorates returns, is validated by the type.

        Raises:
            SetupError: nobody can validate the type.
        """
        return Publisher(self.broker, replace(self.destination, schema=message))

    def __call__(self, handler: HandlerT) -> HandlerT:
        """Decorator: publish what `handler` returns. The function stays as it is.

        The order among other publishers and subscribers of the function does not matter. None is
        not published.
        """
        self.broker.add_output(handler, self)
        return handler

    async def publish(
        self, message: T, *, headers: Mapping[str, str] | None = None, correlation_id: str = ""
    ) -> None:
        """Publish a message.

        Args:
            message: the value; see `codec.encode` for how it becomes a body.
            headers: sent along; they win over those of the destination.
            correlation_id: by default that of the message being handled, else a new one.

        Raises:
            NotConnectedError: the broker is not connected.
            PublishError: the value is not of the publisher's type or has no JSON form, or the client refuses
                the message.
        """
        if layers := (*self.broker.publish_layers, *self.destination.middlewares):
            outgoing = Outgoing(message, self.destination.channel, dict(headers or {}), correlation_id)
            await self.broker.publish_through(
                layers, outgoing, self.sender(), self.encode, self.encode_changed
            )
            return
        await self.sender()(*self.broker.compose(message, headers, correlation_id, self.encode))

    async def request(
        self,
        message: T,
        *,
        timeout: float = 0.5,
        headers: Mapping[str, str] | None = None,
        correlation_id: str = "",
    ) -> Message[Any]:
        """Publish a message and return the answer to it; see `Adapter.request` for the errors."""
        adapter, destination = self.broker.adapter, self.destination
        if layers := (*self.broker.publish_layers, *destination.middlewares):
            outgoing = Outgoing(message, destination.channel, dict(headers or {}), correlation_id)
            ask = partial(adapter.request, destination, timeout=timeout)
            answer: Message[Any] = await self.broker.publish_through(
                layers, outgoing, ask, self.encode, self.encode_changed
            )
            return answer
        body, composed = self.broker.compose(message, headers, correlation_id, self.encode)
        return await adapter.request(destination, body, composed, timeout)

    def sender(self) -> Send:
        """What publishes a body with its headers; good for as long as the broker is connected."""
        return self.broker.adapter.sender(self.destination)


def _encoders_of(broker: Broker[Any], destination: Destination) -> tuple[Encode | None, Encode | None]:
    if destination.schema is None and destination.encoder is None:
        return None, None
    encode = partial(
        encoder_for,
        validate=broker.options.validate,
        encoder=destination.encoder or broker.options.encoder,
        what=f"the message for {destination.channel!r}",
        failure=PublishError,
    )
    untyped = encode(MISSING)
    return (untyped if destination.schema is None else encode(destination.schema)), untyped


class PublisherMethod(Generic[P]):
    """`publisher` of a broker's class: takes what the broker's destination takes.

    ``publisher = PublisherMethod(NatsDestination)`` in the class, so that the options of a
    destination are declared by its dataclass and nowhere else.
    """

    def __init__(self, declare: Callable[P, Destination]) -> None:
        self.declare = declare

    @overload
    def __get__(self, broker: None, owner: type) -> "PublisherMethod[P]": ...
    @overload
    def __get__(self, broker: Broker[Any], owner: type) -> Callable[P, Publisher[Any]]: ...
    def __get__(self, broker: Broker[Any] | None, owner: type) -> Any:
        if broker is None:
            return self

        def publisher(*args: P.args, **kwargs: P.kwargs) -> Publisher[Any]:
            return Publisher(broker, self.declare(*args, **kwargs))

        return publisher
