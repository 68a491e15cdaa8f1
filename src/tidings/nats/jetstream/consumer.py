"""A consumer: what reads messages from a stream."""

from __future__ import annotations

from tidings.nats.jetstream.api import Api
from tidings.nats.jetstream.infos import ConsumerInfo

__all__ = ["Consumer"]


class Consumer:
    """A pull consumer of a stream.

    Attributes:
        stream_name: the stream that it reads from.
        name: its name.
        cached_info: what the server told last, see `info`.
    """

    def __init__(self, api: Api, info: ConsumerInfo) -> None:
        self.api = api
        self.stream_name = info.stream_name
        self.name = info.name
        self.cached_info = info
