"""The client: a connection, and what is built on it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Unpack

from tidings.nats.core.connection import Connection
from tidings.nats.core.options import options_from

if TYPE_CHECKING:
    from tidings.nats.core.connect_options import ConnectOptions
    from tidings.nats.jetstream import ContextOptions, JetStream

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
