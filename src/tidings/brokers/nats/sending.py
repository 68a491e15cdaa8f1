"""Publishing into a stream."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from .options import NatsDestination

if TYPE_CHECKING:  # JetStream is loaded by who uses it
    from tidings.nats.jetstream import PubAck, PublishOptions

__all__ = ["StreamSend"]


@dataclass(frozen=True, slots=True)
class StreamSend:
    """Publishes a body with its headers to the stream of a destination, and waits until it has them.

    Attributes:
        publish: `NatsAdapter.publish_to_stream`.
        destination: one with a stream.
        options: what is asked of the stream beside that.
    """

    publish: Callable[..., Awaitable[PubAck]]
    destination: NatsDestination
    options: PublishOptions

    async def __call__(self, body: bytes, headers: Mapping[str, str]) -> PubAck:
        """The acknowledgement of the stream. PublishError, BrokerConnectionError."""
        of_all = self.destination.headers
        merged = {**of_all, **headers} if of_all else headers
        return await self.publish(
            self.destination.subject, body, merged, self.destination.stream, None, self.options
        )

    def asking(self, options: PublishOptions) -> StreamSend:
        """One that asks for these options."""
        return replace(self, options=options)
