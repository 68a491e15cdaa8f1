"""What a connection tells of itself in numbers, and of the server at its other end."""

from __future__ import annotations

import ssl
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
    _lost_msgs = 0  # perhaps
    _lost_bytes = 0
    _past_msgs = 0  # what came over the links before this one
    _past_bytes = 0

    @property
    def stats(self) -> Stats:
        """Counters since the client was made, as they are now."""
        published, link, replies = self._writer.gathered, self._link, self._replies
        msgs, size = link.received if link is not None else (0, 0)
        return Stats(
            in_msgs=self._past_msgs + msgs,
            in_bytes=self._past_bytes + size,
            out_msgs=published[0],
            out_bytes=published[1],
            reconnects=self._reconnects,
            errors=self._errors,
            late_replies=self._late_replies + (replies.late if replies is not None else 0),
            possibly_lost_msgs=self._lost_msgs,
            dropped_publishes=self._writer.dropped,
        )

    @property
    def possibly_lost_bytes(self) -> int:
        """Bytes of the headers and payloads of `Stats.possibly_lost_msgs`."""
        return self._lost_bytes

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

        level = self._info.get("api_lvl")
        return ConnectedServer(
            id=told("server_id"),
            name=told("server_name"),
            version=told("version"),
            cluster=told("cluster"),
            domain=told("domain"),
            has_jetstream=self._info.get("jetstream") is True,
            api_level=level if isinstance(level, int) else 0,
        )

    @property
    def account(self) -> str | None:
        """The account that the server put us into; None while there is none, or it does not say."""
        name = self._info.get("remote_account")
        return name if self._link is not None and isinstance(name, str) else None

    @property
    def is_system_account(self) -> bool:
        """Whether that is the system account, which may ask servers about themselves."""
        return self._link is not None and self._info.get("acc_is_sys") is True

    @property
    def is_secure(self) -> bool:
        """Whether there is a server at the other end, and TLS between."""
        return self._link is not None and self._link.is_secure

    @property
    def ssl_object(self) -> ssl.SSLObject | None:
        """The TLS of the connection: its ``version()``, ``cipher()``, ``getpeercert()``; None without."""
        return self._link.ssl_object if self._link is not None else None

    def _count_past(self, link: Link) -> None:
        """`link` is over: keep what came over it."""
        msgs, size = link.received
        self._past_msgs += msgs
        self._past_bytes += size
