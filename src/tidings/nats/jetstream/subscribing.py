"""Subscriptions to streams, in one step."""

from __future__ import annotations

from tidings.nats.jetstream.api import Part

__all__ = ["Subscribing"]


class Subscribing(Part):
    """The part of `JetStream` that finds the stream of a subject, makes a consumer and reads from it."""
