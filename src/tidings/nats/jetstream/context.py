"""JetStream as its user sees it: publish, manage streams and consumers, subscribe."""

from __future__ import annotations

from tidings.nats.core.connection import Connection
from tidings.nats.jetstream.api import Api
from tidings.nats.jetstream.consumers import Consumers
from tidings.nats.jetstream.key_values import KeyValues
from tidings.nats.jetstream.object_stores import ObjectStores
from tidings.nats.jetstream.options import JetStreamOptions
from tidings.nats.jetstream.publish import Publishing
from tidings.nats.jetstream.streams import Streams
from tidings.nats.jetstream.subscribing import Subscribing

__all__ = ["JetStream"]


class JetStream(Publishing, Streams, Consumers, Subscribing, KeyValues, ObjectStores):
    """The JetStream of one domain. Made by `Client.jetstream`, which costs nothing.

    Args:
        connection: what it is reached over.
        options: see `JetStreamOptions`.

    Attributes:
        api: sends requests to the JetStream API, for what has no method here.
        options: see `JetStreamOptions`.
    """

    def __init__(self, connection: Connection, options: JetStreamOptions) -> None:
        self.options = options
        self.api = Api(connection, prefix=options.api_prefix, timeout=options.timeout)

    @property
    def connection(self) -> Connection:
        """The client that this context belongs to."""
        return self.api.connection

    def __repr__(self) -> str:
        return f"<JetStream at {self.api.prefix}>"
