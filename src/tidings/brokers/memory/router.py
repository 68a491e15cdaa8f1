"""`MemoryRouter`: handlers of the memory broker, to be included into a `MemoryBroker`."""

from tidings.messaging.router import BaseRouter, Route, RouterPublisherMethod, RouterSubscriberMethod

from .options import MemoryDestination, MemorySource

__all__ = ["MemoryPublisher", "MemoryRoute", "MemoryRouter"]


class MemoryRouter(BaseRouter):
    """Subscribers and publishers, declared without a broker; see `messaging.router`.

    `subscriber` takes what `MemorySource` takes, `publisher` what `MemoryDestination` takes.
    """

    subscriber = RouterSubscriberMethod(MemorySource)
    publisher = RouterPublisherMethod(MemoryDestination)


class MemoryRoute(Route):
    """A handler with its subject, to give to a `MemoryRouter` at once."""


MemoryPublisher = MemoryDestination
"""Where the results of a `MemoryRoute` go."""
