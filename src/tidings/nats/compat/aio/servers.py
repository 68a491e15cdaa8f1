"""Servers as nats-py shows them: parsed URLs, and a version that can be asked for its parts."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import ParseResult, urlparse

from tidings.nats.core.servers import Server as NativeServer

__all__ = ["Server", "ServerVersion", "Srv", "shown"]

_VERSION = re.compile(r"(\d+)\.(\d+)\.(\d+)(?:-([0-9A-Za-z.-]+))?(?:\+([0-9A-Za-z.-]+))?")


@dataclass
class Server:
    """A server of the pool, and how often in a row it could not be reached."""

    uri: ParseResult
    reconnects: int = 0


@dataclass
class Srv(Server):
    """A server of the pool, with what nats-py keeps of it."""

    last_attempt: float | None = None
    did_connect: bool = False
    discovered: bool = False
    tls_name: str | None = None
    server_version: str | None = None


def shown(server: NativeServer) -> Srv:
    """`server` as nats-py has it, without credentials."""
    return Srv(
        urlparse(server.address),
        server.failures,
        discovered=server.is_discovered,
        tls_name=server.tls_name,
    )


class ServerVersion:
    """The version of a server. Raises ValueError when it is none."""

    def __init__(self, server_version: str) -> None:
        self._server_version = server_version

    def _part(self, number: int) -> str:
        match = _VERSION.fullmatch(self._server_version)
        if match is None:
            raise ValueError(f"{self._server_version} is not a valid Semantic Version")
        return match[number] or ""

    @property
    def major(self) -> int:
        """The first number."""
        return int(self._part(1))

    @property
    def minor(self) -> int:
        """The second number."""
        return int(self._part(2))

    @property
    def patch(self) -> int:
        """The third number."""
        return int(self._part(3))

    @property
    def prerelease(self) -> str:
        """What stands behind a hyphen."""
        return self._part(4)

    @property
    def build(self) -> str:
        """What stands behind a plus."""
        return self._part(5)

    @property
    def dev(self) -> str:
        """Both together."""
        return "+".join(part for part in (self.prerelease, self.build) if part)

    def __repr__(self) -> str:
        return f"<nats server v{self._server_version}>"
