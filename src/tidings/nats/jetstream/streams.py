"""Streams: made, changed, found, listed, deleted."""

from __future__ import annotations

from tidings.nats.jetstream.api import Part

__all__ = ["Streams"]


class Streams(Part):
    """The part of `JetStream` that manages streams."""
