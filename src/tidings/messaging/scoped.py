"""What follows a handler's call where middlewares are around publishing."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from .adapter import Send
from .broker import Broker, Output
from .codec import Encoded
from .handling import Handling
from .middleware import Outgoing, PublishMiddleware, publish_through
from .outcome import Outcome
from .response import Response

__all__ = ["outcome_for"]


def outcome_for(
    broker: Broker[Any],
    encode: Callable[[Any], Encoded],
    outputs: Sequence[Output],
    here: Handling,
    *,
    replies: bool,
    encode_untyped: Callable[[Any], Encoded] | None,
    reply_layers: Sequence[PublishMiddleware],
) -> Outcome:
    """An `Outcome`, which knows of publish middlewares only where there are some.

    Args:
        broker, encode, here, replies, encode_untyped: as `Outcome` takes them.
        outputs: the publishers of the handler.
        reply_layers: publish middlewares for answers to requesters, within the broker's.
    """
    sends = [output.sender() for output in outputs]
    of_broker = broker.publish_layers
    if not of_broker and not reply_layers and not any(each.destination.middlewares for each in outputs):
        return Outcome(broker, encode, sends, here, replies=replies, encode_untyped=encode_untyped)
    layers = [(*of_broker, *output.destination.middlewares) for output in outputs]
    channels = [output.destination.channel for output in outputs]
    return _ScopedOutcome(
        broker,
        encode,
        here,
        replies=replies,
        encode_untyped=encode_untyped,
        reply_layers=(*of_broker, *reply_layers),
        outputs=list(zip(sends, channels, layers, strict=True)),
    )


class _ScopedOutcome(Outcome):
    """Publishes results through middlewares. Each gets the value, which is encoded at last."""

    def __init__(
        self,
        broker: Broker[Any],
        encode: Callable[[Any], Encoded],
        here: Handling,
        *,
        replies: bool,
        encode_untyped: Callable[[Any], Encoded] | None,
        reply_layers: Sequence[PublishMiddleware],
        outputs: Sequence[tuple[Send, str, Sequence[PublishMiddleware]]],
    ) -> None:
        sends = [send for send, _, _ in outputs]
        super().__init__(broker, encode, sends, here, replies=replies, encode_untyped=encode_untyped)
        self._reply_layers = reply_layers
        self._outputs = outputs

    async def deliver(self, result: Any) -> None:
        """Publish a result to those who want it; None only to a requester, as an empty body."""
        message = self.here.message()
        response = result if isinstance(result, Response) else Response(result)
        typed = None if response is result else result
        if response.reply and self.replies and message.reply_to:
            reply = partial(self._adapter.reply, message)
            await self._publish(reply, message.reply_to, self._reply_layers, response, typed)
            message.replied = True
        if response.publish and result is not None:
            for send, channel, layers in self._outputs:
                await self._publish(send, channel, layers, response, typed)

    async def _publish(
        self,
        send: Send,
        channel: str,
        layers: Sequence[PublishMiddleware],
        response: Response[Any],
        typed: Any,
    ) -> None:
        async def innermost(outgoing: Outgoing) -> Any:
            body, headers = self._broker.compose(
                outgoing.body,
                outgoing.headers,
                outgoing.correlation_id,
                # What a middleware made is not what the handler's annotation speaks of.
                self._encode if typed is not None and outgoing.body is typed else self._encode_untyped,
            )
            return await send(body, headers)

        correlation_id = response.correlation_id or self.here.message().correlation_id
        outgoing = Outgoing(response.body, channel, dict(response.headers or {}), correlation_id)
        await publish_through(layers, innermost)(outgoing)
