"""Several messages that are published with one call."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .broker import Broker
from .errors import PublishError
from .middleware import Outgoing
from .response import Response

__all__ = ["Composed", "composed"]


@dataclass(frozen=True, slots=True)
class Composed:
    """A message that waits for the others.

    Attributes:
        response: what it was made of.
        body, headers: what is to be sent.
    """

    response: Response[Any]
    body: bytes
    headers: Mapping[str, str]


async def composed(
    broker: Broker[Any],
    messages: Sequence[Any],
    channel: str,
    headers: Mapping[str, str] | None,
    correlation_id: str,
) -> list[Composed]:
    """Messages through the publish middlewares and the encoder, before the first of them is sent.

    Args:
        broker: whose.
        messages: values, or a `Response` for one that has headers or a correlation id of its own.
        channel: the address, for middlewares.
        headers, correlation_id: of all of them.

    Raises:
        NotConnectedError: it is not connected.
        PublishError: there is none, or one has no JSON form.
    """
    _ = broker.adapter.client
    if not messages:
        raise PublishError("there is nothing to publish: give publish_batch a message at least")
    found: list[Composed] = []
    for message in messages:
        response = message if isinstance(message, Response) else Response(message)
        merged = {**(headers or {}), **(response.headers or {})}
        outgoing = Outgoing(response.body, channel, merged, response.correlation_id or correlation_id)

        async def keep(body: bytes, headers: Mapping[str, str], response: Response[Any] = response) -> None:
            found.append(Composed(response, body, headers))

        await broker.publish_through(broker.publish_layers, outgoing, keep)
    return found
