"""`NatsRouter`: handlers of NATS, to be included into a `NatsBroker`."""

from tidings.messaging.router import BaseRouter, Route, RouterPublisherMethod, RouterSubscriberMethod

from .options import NatsDestination, NatsSource

__all__ = ["NatsPublisher", "NatsRoute", "NatsRouter"]


class NatsRouter(BaseRouter):
    """Subscribers and publishers of NATS, declared without a broker; see `messaging.router`.

    `subscriber` takes what `NatsSource` takes, `publisher` what `NatsDestination` takes.
    """

    subscriber = RouterSubscriberMethod(NatsSource)
    publisher = RouterPublisherMethod(NatsDestination)


class NatsRoute(Route):
    """A handler with its subject, to give to a `NatsRouter` at once."""


NatsPublisher = NatsDestination
"""Where the results of a `NatsRoute` go."""
