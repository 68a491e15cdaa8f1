"""JetStream: streams, consumers, acknowledged publishing, over a `tidings.nats.Client`.

::

    js = client.jetstream()
    stream = await js.create_stream(name="ORDERS", subjects=["orders.>"])
    await js.publish("orders.new", b"two shirts")
"""

from tidings.nats.jetstream.context import JetStream
from tidings.nats.jetstream.options import ContextOptions, JetStreamOptions

__all__ = [
    "ContextOptions",
    "JetStream",
    "JetStreamOptions",
]
