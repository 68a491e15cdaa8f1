"""nats-py's driver as it is, on `tidings.nats.compat`: what changing the import alone does for a program."""

from tidings.nats import compat

compat.install()

from bench.drivers.nats_py_client import (  # noqa: E402
    acknowledged,
    address,
    connect,
    consumer,
    fetch,
    jetstream,
    messages,
    on_message,
    read_in_order,
    serve,
)

__all__ = [
    "MODULE",
    "acknowledged",
    "address",
    "connect",
    "consumer",
    "fetch",
    "jetstream",
    "messages",
    "on_message",
    "read_in_order",
    "serve",
]

MODULE = "tidings.nats.compat"
