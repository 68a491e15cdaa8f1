"""What a connection tells of itself in numbers, and of the server at its other end."""

from __future__ import annotations

from typing import Any

from tidings.nats.core.link import Link
from tidings.nats.core.requests import Replies
from tidings.nats.core.stats import ConnectedServer, Stats
from tidings.nats.core.writer import Writer

__all__ = ["Status"]


class Status:
    """The figures of a connection; the connection sets what stands here without a value."""

    _info: dict[str, Any]
    _link: Link | None
    _replies: Replies | None
    _writer: Writer
    _reconnects = 0
    _errors = 0
    _late_replies = 0  # of those replies that the server refused us
    _past_msgs = 0  # what came over the links before this one
    _past_bytes = 0

    @property
    def stats(self) -> Stats:
        """Counters since the client was made, as they are now."""
        encoder, link, replies = self._writer.encoder, self._link, self._replies
        msgs, size = link.received if link is not None else (0, 0)
        return Stats(
            in_msgs=self._past_msgs + msgs,
            in_bytes=self._past_bytes + size,
            out_msgs=encoder.messages,
            out_bytes=encoder.message_bytes,
            reconnects=self._reconnects,
            errors=self._errors,
            late_replies=self._late_replies + (replies.late if replies is not None else 0),
        )

    @property
    def client_id(self) -> int | None:
        """Our number at the server; None while there is none."""
        number = self._info.get("client_id")
        return number if self._link is not None and isinstance(number, int) else None

    @property
    def client_ip(self) -> str | None:
        """Our address as the server sees it; None while there is none."""
        address = self._info.get("client_ip")
        return address if self._link is not None and isinstance(address, str) else None

    @property
    def connected_server(self) -> ConnectedServer | None:
        """The server at the other end; None while there is none."""
        if self._link is None:
            return None

        def told(name: str) -> str:
            return str(self._info.get(name) or "")

        return ConnectedServer(
            id=told("server_id"), name=told("server_name"), version=told("version"), cluster=told("cluster")
        )

    def _count_past(self, link: Link) -> None:
        """`link` is over: keep what came over it."""
        msgs, size = link.received
        self._past_msgs += msgs
        self._past_bytes += size
