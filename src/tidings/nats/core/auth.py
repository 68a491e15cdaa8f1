"""Who we are: the credentials in CONNECT."""

from __future__ import annotations

from tidings.nats.core.options import Options
from tidings.nats.core.servers import Server

__all__ = ["credentials"]


def credentials(server: Server, options: Options) -> dict[str, str]:
    """The fields of CONNECT that authenticate us; those of the server's URL come first."""
    if server.user is not None:
        return {"user": server.user, "pass": server.password or ""}
    if server.token is not None:
        return {"auth_token": server.token}
    fields = {}
    if options.user is not None:
        fields["user"] = options.user
        fields["pass"] = options.password or ""
    if options.token is not None:
        fields["auth_token"] = options.token
    return fields
