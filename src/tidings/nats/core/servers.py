"""Where to connect: server URLs, and the pool of them that is tried in turn."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from urllib.parse import SplitResult

__all__ = ["DEFAULT_PORT", "Server", "ServerPool", "parse_server"]

DEFAULT_PORT = 4222
# Scheme → port where the URL names none; those of WebSocket are HTTP's, as in nats.go.
_PORTS = {"nats": DEFAULT_PORT, "tls": DEFAULT_PORT, "ws": 80, "wss": 443}
_WITH_TLS = {"nats": "tls", "ws": "wss"}
# What may stand in the path of a request as it is: RFC 3986, section 3.3.
_PATH_CHARACTERS = "/%:@!$&'()*+,;=~"


class Server:
    """One server of the pool.

    Attributes:
        host, port: its address.
        user, password, token: credentials that stood in its URL.
        scheme: "nats", or "ws" for WebSocket; "tls" or "wss" for a connection that must be encrypted; one
            that once was stays so.
        tls_name: what its certificate is checked for, where that is not `host`.
        refusal: the text with which it refused our credentials at the last attempt.
        failures: attempts in a row that failed.
        is_discovered: whether another server named it, not the user.
        path: what a WebSocket is asked for, such as "/nats" behind a proxy; empty for "/".
    """

    __slots__ = (
        "failures",
        "host",
        "is_discovered",
        "password",
        "path",
        "port",
        "refusal",
        "scheme",
        "tls_name",
        "token",
        "user",
    )

    def __init__(
        self,
        host: str,
        port: int,
        *,
        scheme: str = "nats",
        user: str | None = None,
        password: str | None = None,
        token: str | None = None,
        tls_name: str | None = None,
        path: str = "",
    ) -> None:
        self.host = host
        self.port = port
        self.scheme = scheme
        self.user = user
        self.password = password
        self.token = token
        self.tls_name = tls_name
        self.path = path
        self.refusal: str | None = None
        self.failures = 0
        self.is_discovered = False

    @property
    def address(self) -> str:
        """``nats://host:port``, without credentials."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}{self.path}"

    @property
    def is_websocket(self) -> bool:
        """Whether it is spoken to through WebSocket."""
        return self.scheme in ("ws", "wss")

    @property
    def must_be_secure(self) -> bool:
        """Whether it is spoken to through TLS or not at all."""
        return self.scheme in ("tls", "wss")

    def insist_on_tls(self) -> None:
        """From now on it is spoken to through TLS or not at all."""
        self.scheme = _WITH_TLS.get(self.scheme, self.scheme)

    @property
    def certificate_name(self) -> str:
        """What the server's certificate must be for."""
        return self.tls_name or self.host

    def without_credentials(self) -> Server:
        """A copy to show to others."""
        copy = Server(self.host, self.port, scheme=self.scheme, tls_name=self.tls_name, path=self.path)
        copy.failures = self.failures
        copy.is_discovered = self.is_discovered
        return copy

    def __str__(self) -> str:
        return self.address

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.address} failures={self.failures}>"


def parse_server(url: str) -> Server:
    """Read ``nats://user:password@host:port``; scheme, credentials and port may be left out.

    ``tls://`` is a server that is spoken to through TLS or not at all; ``ws://host:port/path`` and ``wss://``
    are its WebSocket, whose port is 80 or 443 where none is given.

    A user alone is a token, as in the other clients. Credentials may be percent-encoded.

    Raises:
        ValueError: another scheme, no host, or a port that is none. The text never shows credentials.
    """
    from urllib.parse import quote, unquote  # here, because it takes a tenth of the client's import

    if not isinstance(url, str):
        raise TypeError(f"a server is a URL in a str, not {type(url).__name__}")
    text = url.strip()
    shown = _without_credentials(text)
    parts = _split(text if "://" in text else f"nats://{text}")
    if parts is None:
        raise ValueError(f"server {shown!r} cannot be read; write nats://host:port")
    if parts.scheme not in _PORTS:
        raise ValueError(
            f"server {shown!r}: the scheme is nats://, tls://, ws:// or wss://, not {parts.scheme}://"
        )
    try:
        port = parts.port
    except ValueError:
        port = 0
    if port == 0:
        raise ValueError(f"server {shown!r}: the port is a number from 1 to 65535")
    if not parts.hostname:
        raise ValueError(f"server {shown!r} has no host; write nats://host:port")
    server = Server(parts.hostname, port or _PORTS[parts.scheme], scheme=parts.scheme)
    if server.is_websocket and not parts.query and not parts.fragment:
        server.path = quote(parts.path, safe=_PATH_CHARACTERS) if parts.path != "/" else ""
    elif parts.path not in ("", "/") or parts.query or parts.fragment:
        behind = "a path" if server.is_websocket else "nothing"
        raise ValueError(f"server {shown!r}: {behind} stands behind the port, and nothing more")
    if parts.username and parts.password is not None:
        server.user, server.password = unquote(parts.username), unquote(parts.password)
    elif parts.username:
        server.token = unquote(parts.username)
    return server


def _split(url: str) -> SplitResult | None:
    """The parts of `url`; None where Python's parser gives up, with an error that may show a password."""
    from urllib.parse import urlsplit

    try:
        return urlsplit(url)
    except ValueError:
        return None


def _without_credentials(url: str) -> str:
    """The host of a URL, for an error message.

    What follows a colon is left out: a URL cut in two at a comma ends in the middle of a password.
    """
    before, found, behind = url.partition("://")  # the first: a password may hold another
    scheme = before if found and before.isalnum() else "nats"
    host = (behind if found else url).rpartition("@")[2]
    return f"{scheme}://{host if host.startswith('[') else host.partition(':')[0]}"


def _inherited_name(server: Server, source: Server) -> str | None:
    """The name that the certificate of `server` is checked for, if it is not the server's own.

    Certificates are rarely made for addresses, so one that `source` named by its address is checked for
    the name by which the user dialled `source`, as in the other clients.
    """
    if not _is_address(server.host):
        return None
    return source.tls_name or (None if _is_address(source.host) else source.host)


def _shuffle(servers: list[Server]) -> None:
    if len(servers) > 1:
        import random  # here, because most programs name one server

        random.shuffle(servers)


def _is_address(host: str) -> bool:
    import ipaddress  # here, because only discovery needs it

    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


class ServerPool:
    """The servers of a connection, in the order in which they are tried.

    Args:
        servers: a URL, several with commas between, or a sequence of them.
        shuffle: try them in random order, so that clients spread over a cluster.

    Raises:
        ValueError: no server, or a URL that is none.
    """

    def __init__(self, servers: str | Sequence[str], *, shuffle: bool = True) -> None:
        self._shuffle = shuffle
        self._servers: list[Server] = []
        self.replace(servers)

    def replace(self, servers: str | Sequence[str]) -> None:
        """Hold these servers instead, none of which failed yet. Raises ValueError; nothing changes then."""
        urls = servers.split(",") if isinstance(servers, str) else list(servers)
        parsed = [parse_server(url) for url in urls if not isinstance(url, str) or url.strip()]
        if not parsed:
            raise ValueError("no server given; write connect('nats://localhost:4222')")
        if self._shuffle:
            _shuffle(parsed)
        self._servers = parsed

    def __len__(self) -> int:
        return len(self._servers)

    def __iter__(self) -> Iterator[Server]:
        return iter(list(self._servers))

    def discover(self, urls: object, source: Server) -> list[str]:
        """Take the servers that INFO ``connect_urls`` names, and let go of those it names no more.

        They carry no credentials, so they get those of `source`, the server that named them, and its
        scheme and path; one named by an IP address is known by the certificate of `source`'s name. What
        cannot be read is passed over, since it came from outside.

        Returns:
            The addresses that were new.
        """
        named = self._named(urls, source.scheme)
        if not named:
            return []
        self._servers = [
            server
            for server in self._servers
            if not server.is_discovered or server is source or (server.host, server.port) in named
        ]
        known = {(server.host, server.port) for server in self._servers}
        new = [server for where, server in named.items() if where not in known]
        for server in new:
            server.user, server.password, server.token = source.user, source.password, source.token
            server.tls_name = _inherited_name(server, source)
            server.path = source.path
            server.is_discovered = True
        if self._shuffle:
            _shuffle(new)
        self._servers += new
        return [server.address for server in new]

    @staticmethod
    def _named(urls: object, scheme: str) -> dict[tuple[str, int], Server]:
        named = {}
        for url in urls if isinstance(urls, list) else ():
            try:
                server = parse_server(
                    url if not isinstance(url, str) or "://" in url else f"{scheme}://{url}"
                )
            except (TypeError, ValueError):
                continue
            if server.is_websocket is (scheme in ("ws", "wss")):
                if not server.must_be_secure:
                    server.scheme = scheme
                named[server.host, server.port] = server
        return named

    def get(self, server: Server) -> Server | None:
        """The server of the pool that has this one's address."""
        return next((mine for mine in self._servers if mine.address == server.address), None)

    def shown(self) -> list[Server]:
        """Copies to show to the user, in order, without credentials."""
        return [server.without_credentials() for server in self._servers]

    def move_last(self, server: Server) -> None:
        """Let every other server come before this one."""
        mine = self.get(server)
        if mine is not None:
            self._servers.remove(mine)
            self._servers.append(mine)

    def discard(self, server: Server) -> None:
        """Try this server no more."""
        mine = self.get(server)
        if mine is not None:
            self._servers.remove(mine)
