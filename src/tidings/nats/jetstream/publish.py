"""Publishing to streams."""

from __future__ import annotations

from tidings.nats.jetstream.api import Part

__all__ = ["Publishing"]


class Publishing(Part):
    """The part of `JetStream` that publishes."""
