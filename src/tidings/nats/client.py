"""The client: a connection, and what is built on it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Unpack

from tidings.nats.core.connection import Connection
from tidings.nats.core.options import options_from

if TYPE_CHECKING:
    from tidings.nats.core.connect_options import ConnectOptions
    from tidings.nats.jetstream import ContextOptions, JetStream
    from tidings.nats.services import Service, ServiceOptions, Services
    from tidings.nats.system import System

__all__ = ["Client", "connect"]


class Client(Connection):
    """A NATS client, connected. Made by `connect`; an async context manager that drains at its end."""

    def jetstream(self, **options: Unpack[ContextOptions]) -> JetStream:
        """A context for JetStream; costs nothing, so make as many as there are domains or timeouts.

        Args:
            options: see `tidings.nats.jetstream.JetStreamOptions`; times in seconds.

        Raises:
            ConfigError: an option that cannot work (a ValueError).
            TypeError: an option that there is not.
        """
        # Imported here: who uses core NATS only does not load it.
        from tidings.nats.jetstream import JetStream, JetStreamOptions

        return JetStream(self, JetStreamOptions(**options))

    async def add_service(self, name: str, version: str, **options: Unpack[ServiceOptions]) -> Service:
        """Start a service, which others can find (ADR-32); endpoints are added to what it returns.

        Returns when the server knows of it, or at once while the connection is away.

        Args:
            name, version, options: see `tidings.nats.services.ServiceConfig`.

        Raises:
            ServiceConfigError: a value that a service cannot have; nothing was sent (a ValueError).
            PermissionsError: the server refuses a subscription for discovery, below ``$SRV``.
            ConnectionClosedError, ConnectionDrainingError, FlushTimeoutError: there is no server to tell.
            TypeError: an option that there is not.
        """
        from tidings.nats.services import Service, ServiceConfig

        service = Service(self, ServiceConfig(name, version, **options))
        await service.start()
        return service

    def services(self, *, prefix: str = "$SRV", timeout: float = 2.0, stall: float = 0.3) -> Services:
        """Find services and call them; costs nothing.

        Args:
            prefix, timeout, stall: see `tidings.nats.services.Services`; times in seconds.

        Raises:
            ServiceConfigError: an option that cannot work (a ValueError).
        """
        from tidings.nats.services import Services

        return Services(self, prefix=prefix, timeout=timeout, stall=stall)

    def system(self, *, timeout: float = 5.0, stall: float = 0.3, expected: int = 0) -> System:
        """Ask servers about themselves, as a user of the system account; costs nothing.

        Args:
            timeout, stall, expected: see `tidings.nats.system.System`; times in seconds.

        Raises:
            ValueError: an option that cannot work.
        """
        from tidings.nats.system import System

        return System(self, timeout=timeout, stall=stall, expected=expected)


async def connect(
    servers: str | Sequence[str] = "nats://localhost:4222",
    **options: Unpack[ConnectOptions],
) -> Client:
    """Connect to NATS.

    Args:
        servers: ``nats://user:password@host:port``, ``tls://`` for one with TLS, ``ws://`` and ``wss://`` for
            WebSocket (extra ``websocket``); several with commas between, or a sequence. Each is tried once,
            in random order unless ``no_randomize``; the rest of a cluster is discovered. What is special in
            a URL, a comma too, is percent-encoded in a user, password or token.
        options: see `Options`; times in seconds, sizes in bytes.

    Raises:
        NoServersError: no server could be reached; its cause is the last reason.
        AuthorizationError: a server refuses the credentials.
        InvalidUserCredentialsError, MissingExtraError: the credentials cannot be read, or not be used.
        SecureConnFailedError, SecureConnWantedError: there is no TLS with the server.
        ValueError, TypeError: a URL or option that is none.
    """
    client = Client(servers, options_from(options))
    await client.open()
    return client
