"""What a connection has done so far, in numbers."""

from __future__ import annotations

from collections.abc import Iterator

from tidings.nats.core.record import Record

__all__ = ["ConnectedServer", "Stats"]


class Stats(Record):
    """Counters of a client since it was made; ``dict(stats)`` and ``stats["in_msgs"]`` work too.

    Attributes:
        in_msgs: messages that came, dropped ones included.
        in_bytes: of their headers and payloads.
        out_msgs: messages published; those that were lost with a connection are counted.
        out_bytes: of their headers and payloads.
        reconnects: how often the connection came back.
        errors: errors reported, to the error callback or the logger.
        late_replies: replies that came when their request was over; they were dropped.
        possibly_lost_msgs: published messages that no server confirmed, by a PONG, before its connection
            was lost. They may have arrived. `Client.flush` makes the server confirm.
        dropped_publishes: messages dropped because the reconnect buffer was full.
    """

    in_msgs: int
    in_bytes: int
    out_msgs: int
    out_bytes: int
    reconnects: int
    errors: int
    late_replies: int
    possibly_lost_msgs: int
    dropped_publishes: int

    def keys(self) -> Iterator[str]:
        """The names of the counters."""
        return iter(self.fields)

    def __getitem__(self, name: str) -> int:
        if name not in self.fields:
            raise KeyError(name)
        value: int = getattr(self, name)
        return value


class ConnectedServer(Record):
    """The server at the other end, as its INFO tells.

    Attributes:
        id: its public key, new at each start.
        name: as configured, or the id.
        version: of nats-server.
        cluster: name of its cluster; empty when it is in none.
        domain: its JetStream domain; empty when it has none.
        has_jetstream: whether JetStream is on.
        api_level: of its JetStream API (ADR-44); 0 when it does not say.
    """

    id: str
    name: str
    version: str
    cluster: str
    domain: str = ""
    has_jetstream: bool = False
    api_level: int = 0
