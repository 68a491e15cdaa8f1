"""What follows a handler's call where publishing is more than to send a body: middlewares are around it, or a
publisher has a type or an encoder of its own."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from ..adapter import Send
from ..broker import Broker, Output
from ..endpoints import Encode
from ..middleware import Outgoing, PublishMiddleware
from ..response import Response
from .handling import Handling
from .outcome import Encoders, Outcome

__all__ = ["outcome_for"]


def outcome_for(
    broker: Broker[Any],
    encoders: Encoders,
    outputs: Sequence[Output],
    here: Handling,
    *,
    replies: bool,
    reply_layers: Sequence[PublishMiddleware],
) -> Outcome:
    """An `Outcome`, which knows of middlewares and encoders of publishers only where there are some.

    Args:
        broker, encoders, here, replies: as `Outcome` takes them.
        outputs: the publishers of the handler.
        reply_layers: publish middlewares for answers to requesters, within the broker's.
    """
    of_broker = broker.publish_layers
    ways = [_Way.of(output, of_broker) for output in outputs]
    if not of_broker and not reply_layers and all(way.is_plain for way in ways):
        return Outcome(broker, encoders, [way.send for way in ways], here, replies=replies)
    return _ScopedOutcome(
        broker, encoders, here, replies=replies, reply_layers=(*of_broker, *reply_layers), ways=ways
    )


@dataclass(frozen=True, slots=True)
class _Way:
    """How a result goes to one publisher of the handler, or to its requester."""

    send: Send
    channel: str
    layers: Sequence[PublishMiddleware]
    encode: Encode | None = None
    """In the place of the handler's."""
    encode_changed: Encode | None = None

    @classmethod
    def of(cls, output: Output, layers: Sequence[PublishMiddleware]) -> "_Way":
        destination = output.destination
        return cls(
            output.sender(),
            destination.channel,
            (*layers, *destination.middlewares),
            output.encode,
            output.encode_changed,
        )

    @property
    def is_plain(self) -> bool:
        return not self.layers and self.encode is None


class _ScopedOutcome(Outcome):
    """Publishes results through middlewares. Each gets the value, which is encoded at last."""

    def __init__(
        self,
        broker: Broker[Any],
        encoders: Encoders,
        here: Handling,
        *,
        replies: bool,
        reply_layers: Sequence[PublishMiddleware],
        ways: Sequence[_Way],
    ) -> None:
        super().__init__(broker, encoders, [way.send for way in ways], here, replies=replies)
        self._reply_layers = reply_layers
        self._ways = ways

    async def deliver(self, result: Any) -> None:
        """Publish a result to those who want it; None only to a requester, as an empty body."""
        message = self.here.message()
        response = result if isinstance(result, Response) else Response(result)
        if response is result:
            encode = self._encoders.of_response(response)
        else:
            encode = self._encoders.untyped if result is None else self._encode
        publishes = response.publish and result is not None
        sends = [response.sender(way.send) for way in self._ways] if publishes else []
        if response.reply and self.replies and message.reply_to:
            reply = partial(self._adapter.reply, message)
            to_requester = _Way(reply, message.reply_to, self._reply_layers)
            await self._publish(to_requester, reply, response, encode)
            message.replied = True
        for way, send in zip(self._ways, sends, strict=False):
            await self._publish(way, send, response, encode)

    async def _publish(self, way: _Way, send: Send, response: Response[Any], encode: Encode) -> None:
        correlation_id = response.correlation_id or self.here.message().correlation_id
        outgoing = Outgoing(response.body, way.channel, dict(response.headers or {}), correlation_id)
        await self._broker.publish_through(
            way.layers,
            outgoing,
            send,
            way.encode or encode,
            way.encode_changed or self._encoders.untyped,  # what a middleware made, no annotation speaks of
        )
