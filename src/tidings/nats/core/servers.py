"""Where to connect: server URLs, and the pool of them that is tried in turn."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from urllib.parse import unquote, urlsplit

__all__ = ["DEFAULT_PORT", "Server", "ServerPool", "parse_server"]

DEFAULT_PORT = 4222


@dataclass(slots=True)
class Server:
    """One server of the pool.

    Attributes:
        host, port: its address.
        user, password, token: credentials that stood in its URL.
        failures: attempts in a row that failed.
    """

    host: str
    port: int
    user: str | None = None
    password: str | None = field(default=None, repr=False)
    token: str | None = field(default=None, repr=False)
    failures: int = 0

    @property
    def address(self) -> str:
        """``nats://host:port``, without credentials."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"nats://{host}:{self.port}"

    def __str__(self) -> str:
        return self.address


def parse_server(url: str) -> Server:
    """Read ``nats://user:password@host:port``; scheme, credentials and port may be left out.

    A user alone is a token, as in the other clients.

    Raises:
        ValueError: another scheme, no host, or a port that is none. The text never shows credentials.
    """
    if not isinstance(url, str):
        raise TypeError(f"a server is a URL in a str, not {type(url).__name__}")
    text = url.strip()
    parts = urlsplit(text if "://" in text else f"nats://{text}")
    shown = text.rpartition("@")[2]
    if parts.scheme != "nats":
        raise ValueError(f"server {shown!r}: the scheme is nats://, not {parts.scheme}://")
    try:
        port = parts.port
    except ValueError:
        raise ValueError(f"server {shown!r}: the port is a number from 1 to 65535") from None
    if not parts.hostname:
        raise ValueError(f"server {shown!r} has no host; write nats://host:port")
    if parts.path not in ("", "/") or parts.query or parts.fragment:
        raise ValueError(f"server {shown!r}: nothing stands behind the port")
    server = Server(parts.hostname, port or DEFAULT_PORT)
    if parts.username and parts.password is not None:
        server.user, server.password = unquote(parts.username), unquote(parts.password)
    elif parts.username:
        server.token = unquote(parts.username)
    return server


class ServerPool:
    """The servers of a connection, in the order in which they are tried.

    Args:
        servers: a URL, several with commas between, or a sequence of them.
        shuffle: try them in random order, so that clients spread over a cluster.

    Raises:
        ValueError: no server, or a URL that is none.
    """

    def __init__(self, servers: str | Sequence[str], *, shuffle: bool = True) -> None:
        urls = servers.split(",") if isinstance(servers, str) else list(servers)
        self._servers = [parse_server(url) for url in urls if not isinstance(url, str) or url.strip()]
        if not self._servers:
            raise ValueError("no server given; write connect('nats://localhost:4222')")
        if shuffle:
            random.shuffle(self._servers)

    def __len__(self) -> int:
        return len(self._servers)

    def __iter__(self) -> Iterator[Server]:
        return iter(list(self._servers))

    def add_discovered(self, urls: Sequence[str]) -> list[str]:
        """Add the servers that INFO ``connect_urls`` names; returns those that were new.

        They carry no credentials: the options of the connection serve for them. What cannot be read
        is passed over, since it came from outside.
        """
        known = {(server.host, server.port) for server in self._servers}
        new = []
        for url in urls:
            try:
                server = parse_server(url)
            except (TypeError, ValueError):
                continue
            if (server.host, server.port) not in known:
                known.add((server.host, server.port))
                self._servers.append(server)
                new.append(server.address)
        return new

    def move_last(self, server: Server) -> None:
        """Let every other server come before this one."""
        if server in self._servers:
            self._servers.remove(server)
            self._servers.append(server)

    def discard(self, server: Server) -> None:
        """Try this server no more."""
        if server in self._servers:
            self._servers.remove(server)
