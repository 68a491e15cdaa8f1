"""Publishers: a declared destination, as an object and as a decorator of handlers."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Generic, ParamSpec, TypeVar, overload

from .adapter import Adapter, Send
from .broker import Broker
from .endpoints import Destination
from .message import Message
from .middleware import Outgoing, check_function

__all__ = ["Publisher", "PublisherMethod"]

P = ParamSpec("P")
HandlerT = TypeVar("HandlerT", bound=Callable[..., Any])
T = TypeVar("T")


class Publisher(Generic[T]):
    """Publishes to one destination::

        replies = broker.publisher("out")
        await replies.publish({"id": 1})

        @broker.subscriber("in")
        @replies                            # or: @broker.publisher("out")
        async def handler(order: Order) -> Receipt: ...

    Made by `publisher` of a broker; SetupError for a middleware that is none. Type checkers take any message
    for it, unless it is declared what it publishes: ``out: Publisher[Receipt] = broker.publisher("out")``.
    """

    def __init__(self, broker: Broker[Adapter[Any, Any]], destination: Destination) -> None:
        for function in destination.middlewares:
            check_function(function)
        self.broker = broker
        self.destination = destination

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
            PublishError: the value has no JSON form, or the client refuses the message.
        """
        if layers := (*self.broker.publish_layers, *self.destination.middlewares):
            outgoing = Outgoing(message, self.destination.channel, dict(headers or {}), correlation_id)
            await self.broker.publish_through(layers, outgoing, self.sender())
            return
        await self.sender()(*self.broker.compose(message, headers, correlation_id))

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
            answer: Message[Any] = await self.broker.publish_through(layers, outgoing, ask)
            return answer
        body, composed = self.broker.compose(message, headers, correlation_id)
        return await adapter.request(destination, body, composed, timeout)

    def sender(self) -> Send:
        """What publishes a body with its headers; good for as long as the broker is connected."""
        return self.broker.adapter.sender(self.destination)


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
