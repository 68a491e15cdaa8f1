"""Consumers of streams: made, changed, found, listed, paused, deleted."""

from __future__ import annotations

from tidings.nats.jetstream.api import Part

__all__ = ["Consumers"]


class Consumers(Part):
    """The part of `JetStream` that manages consumers."""
