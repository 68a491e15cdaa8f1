"""The contexts of the ``nats`` command line: named ways to connect, kept in files (ADR-21).

::

    client = await contexts.connect("production")        # ~/.config/nats/context/production.json
    js = client.jetstream(**contexts.load("production").jetstream_options())

They lie in ``$XDG_CONFIG_HOME/nats``, or else in ``~/.config/nats``.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Unpack

from tidings.nats.client import Client
from tidings.nats.client import connect as connect_client
from tidings.nats.core.record import Record
from tidings.nats.core.tls import TLSOptions
from tidings.nats.errors import Error

if TYPE_CHECKING:
    from tidings.nats.core.connect_options import ConnectOptions
    from tidings.nats.jetstream import ContextOptions

__all__ = ["Context", "ContextError", "connect", "folder", "load", "names", "save", "select", "selected"]

DEFAULT_URL = "nats://localhost:4222"
CONTEXT_VARIABLE = "NATS_CONTEXT"

_VARIABLE = re.compile(r"\$(?:\{(\w+)\}|(\w+))", re.ASCII)
# What says who we are: given to `connect`, it takes the place of all that the context has of them.
_CREDENTIALS = frozenset(
    ("user", "password", "token", "user_credentials", "nkeys_seed", "nkeys_seed_str", "signature_cb")
)


class ContextError(Error):
    """There is no such context, its file cannot be read, or it asks for what we cannot do."""


class Context(Record):
    """A context. The fields are those of the file; paths as they are written there.

    Attributes:
        name: of the context.
        description: for people.
        url: of the servers, with commas between; empty is ``nats://localhost:4222``.
        user, password, token: credentials.
        creds: path of a creds file; environment variables in it are filled in.
        nkey: path of the file of a user's seed.
        user_jwt: the JWT that goes with the seed, or a bearer's.
        cert, key, ca: paths of files in PEM, for TLS.
        tls_first: TLS before the server's INFO.
        inbox_prefix: first tokens of the subjects on which replies come.
        jetstream_domain, jetstream_api_prefix: where JetStream is, see `jetstream_options`.
        socks_proxy, nsc, windows_cert_store: what we cannot do; a context that has one cannot be connected.
        others: everything else that the file has, such as colours; kept when it is saved.
    """

    hidden = frozenset(("url", "user", "password", "token", "user_jwt", "socks_proxy", "others"))

    name: str
    description: str = ""
    url: str = ""
    user: str = ""
    password: str = ""
    token: str = ""
    creds: str = ""
    nkey: str = ""
    user_jwt: str = ""
    cert: str = ""
    key: str = ""
    ca: str = ""
    tls_first: bool = False
    inbox_prefix: str = ""
    jetstream_domain: str = ""
    jetstream_api_prefix: str = ""
    socks_proxy: str = ""
    nsc: str = ""
    windows_cert_store: str = ""
    others: Mapping[str, Any] = MappingProxyType({})

    def _check(self) -> None:
        for name in self.fields:
            value = getattr(self, name)
            wanted = type(_FIELDS.get(name, ""))
            if name != "others" and not isinstance(value, wanted):
                # The value may be a secret, so only its type is told.
                raise ContextError(
                    f"{name} of context {self.name!r} is a {wanted.__name__}, not {type(value).__name__}"
                )

    @property
    def servers(self) -> str:
        """The URLs to connect to, with commas between; there may be secrets in them."""
        return self.url or DEFAULT_URL

    def connect_options(self) -> ConnectOptions:
        """What `tidings.nats.connect` is to be told. Raises ContextError."""
        self._check_supported()
        options: ConnectOptions = {}
        if self.user:
            options["user"] = self.user
            options["password"] = self.password
        elif self.creds:
            options["user_credentials"] = _home(self._filled(self.creds))
        elif self.nkey or self.user_jwt:
            if self.nkey:
                options["nkeys_seed"] = _home(self.nkey)
            if jwt := self.user_jwt:  # without a seed it is a bearer's
                options["user_jwt_cb"] = lambda: jwt
        if self.token:
            options["token"] = self.token
        if self.cert or self.ca:
            options["tls"] = TLSOptions(
                ca_file=_home(self.ca) or None,
                cert_file=_home(self.cert) or None,
                key_file=(_home(self.key) or None) if self.cert else None,
            )
        if self.tls_first:
            options["tls_handshake_first"] = True
        if self.inbox_prefix:
            options["inbox_prefix"] = self.inbox_prefix
        return options

    def jetstream_options(self) -> ContextOptions:
        """What `Client.jetstream` is to be told: the domain, or the prefix of the API."""
        if self.jetstream_domain:
            return {"domain": self.jetstream_domain}
        return {"prefix": self.jetstream_api_prefix} if self.jetstream_api_prefix else {}

    async def connect(
        self, servers: str | Sequence[str] | None = None, **options: Unpack[ConnectOptions]
    ) -> Client:
        """Connect as it says.

        Args:
            servers: in the place of its own.
            options: of `tidings.nats.connect`, over its own; credentials take the place of all that it has.

        Raises:
            ContextError: it asks for what we cannot do.
            NoServersError, AuthorizationError, ValueError, TypeError: as `tidings.nats.connect`.
        """
        own = self.connect_options()
        if options.keys() & _CREDENTIALS:
            for name in (*_CREDENTIALS, "user_jwt_cb"):
                own.pop(name, None)  # type: ignore[misc]
        merged: ConnectOptions = {**own, **options}
        return await connect_client(self.servers if servers is None else servers, **merged)

    def _check_supported(self) -> None:
        if self.socks_proxy:
            raise ContextError(
                f"context {self.name!r} has a socks_proxy, which we do not speak: take it out, and "
                "give connect() a transport= that goes through the proxy"
            )
        if self.nsc:
            raise ContextError(
                f"context {self.name!r} takes its credentials from nsc: write them to a file with "
                "'nsc generate creds', and name that as creds"
            )
        if self.windows_cert_store:
            raise ContextError(f"context {self.name!r} has a windows_cert_store: name files as cert, key, ca")
        for name in ("user", "password", "token", "creds", "nkey"):
            if getattr(self, name).startswith("op://"):
                raise ContextError(
                    f"{name} of context {self.name!r} lies in 1Password: give it itself, or a file"
                )
        if self.jetstream_domain and self.jetstream_api_prefix:
            raise ContextError(
                f"context {self.name!r} has a jetstream_domain and a jetstream_api_prefix, and each "
                "says where the API is"
            )

    def _filled(self, path: str) -> str:
        def value(found: re.Match[str]) -> str:
            variable = found[1] or found[2]
            if variable not in os.environ:
                raise ContextError(
                    f"creds of context {self.name!r} names {variable}, a variable that is not set"
                )
            return os.environ[variable]

        return _VARIABLE.sub(value, path)


_FIELDS: Mapping[str, Any] = {name: getattr(Context, name, "") for name in Context.fields}


def folder() -> Path:
    """Where contexts lie: ``$XDG_CONFIG_HOME/nats``, or else ``~/.config/nats``."""
    return Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "nats"


def names() -> list[str]:
    """The contexts that there are, sorted."""
    files = (folder() / "context").glob("*.json")
    return sorted(path.stem for path in files if path.is_file() and path.stat().st_size)


def selected() -> str:
    """The one for who names none: of the variable NATS_CONTEXT, or as `select` said; empty for none."""
    if name := os.environ.get(CONTEXT_VARIABLE):
        return name
    try:
        return (folder() / "context.txt").read_text().strip()
    except FileNotFoundError:
        return ""
    except (OSError, ValueError) as error:
        raise ContextError(f"what context is selected cannot be read: {error}") from error


def load(name: str = "") -> Context:
    """A context.

    Args:
        name: of the context, or the absolute path of its file; empty for the one that is selected.

    Raises:
        ContextError: there is none of the name, or its file cannot be read.
    """
    name = name or selected()
    if not name:
        raise ContextError("no context is named, and none selected: run 'nats context select', or name one")
    path = Path(name)
    if not path.is_absolute():
        path = _path_of(name)
    try:
        said = json.loads(path.read_text())
    except FileNotFoundError:
        known = ", ".join(names()) or "none"
        raise ContextError(f"there is no context {name!r} ({path}); there is {known}") from None
    except (OSError, ValueError) as error:
        # Without its cause: that holds the text of the file.
        raise ContextError(f"context {name!r} ({path}) cannot be read: {error}") from None
    if not isinstance(said, dict):
        raise ContextError(f"context {name!r} ({path}) is no JSON object")
    fields = {key: value for key, value in said.items() if key in _FIELDS and value is not None}
    fields.pop("others", None)
    others = {key: value for key, value in said.items() if key not in _FIELDS or key == "others"}
    return Context(**{**fields, "name": path.stem, "others": others})


def save(context: Context, name: str = "") -> Path:
    """Write a context to its file, readable for the user only; returns the path.

    Args:
        name: another one than its own.

    Raises:
        ContextError: a name that cannot be, or a folder that cannot be written to.
    """
    path = _path_of(name or context.name)
    fields = {key: getattr(context, key) for key in Context.fields if key not in ("name", "others")}
    _write(path, json.dumps({**context.others, **fields}, indent=2))
    return path


def select(name: str) -> None:
    """Have a context used when none is named. Raises ContextError where there is none of the name."""
    if not _path_of(name).is_file():
        raise ContextError(f"there is no context {name!r} to select; there is {', '.join(names()) or 'none'}")
    _write(folder() / "context.txt", name)


async def connect(
    context: str = "", /, *, servers: str | Sequence[str] | None = None, **options: Unpack[ConnectOptions]
) -> Client:
    """Connect as a context says.

    Args:
        context: the name of one, as `load` takes it.
        servers, options: as `Context.connect`.

    Raises:
        ContextError: there is no such context, or it asks for what we cannot do.
        NoServersError, AuthorizationError, ValueError, TypeError: as `tidings.nats.connect`.
    """
    loaded = await asyncio.to_thread(load, context)
    return await loaded.connect(servers, **options)


def _path_of(name: str) -> Path:
    if not name or ".." in name or "/" in name or os.sep in name or "\0" in name:
        raise ContextError(f"{name!r} is no name of a context: text without '..' and '/'")
    return folder() / "context" / f"{name}.json"


def _write(path: Path, text: str) -> None:
    """Whole or not at all, and not readable by others at any time."""
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        handle, made = tempfile.mkstemp(dir=path.parent)  # of mode 0600
        try:
            with os.fdopen(handle, "w") as file:
                file.write(text)
            Path(made).replace(path)
        except BaseException:
            Path(made).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise ContextError(f"{path} cannot be written: {error}") from error


def _home(path: str) -> str:
    return str(Path.home()) + path[1:] if path.startswith("~") else path
