"""tidings.pubsub, as a thread uses it."""

from collections.abc import Iterator

from tidings.pubsub import NATSPubSub

MODULE = "tidings.pubsub"


class Threaded:
    """A backend; a topic is given by its name."""

    def __init__(self, url: str) -> None:
        self._pubsub = NATSPubSub({"servers": [url]})
        self.flush = self._pubsub.flush
        self.publish = self._pubsub.publish

    def subscribe(self, subject: str) -> None:
        self._pubsub.subscribe(subject)

    def listen(self) -> Iterator[bytes]:
        return self._pubsub.listen()


def threaded(url: str) -> Threaded:
    return Threaded(url)
