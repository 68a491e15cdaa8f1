"""What a server is asked to be, and the config file that says so to nats-server."""

from __future__ import annotations

import os
import re
import shutil
import sys
import sysconfig
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from tidings.nats.server.errors import BinaryNotFoundError

__all__ = ["HOST", "Durability", "ServerOptions", "config_text", "find_binary", "quoted"]

HOST = "127.0.0.1"
BINARY_VARIABLE = "TIDINGS_NATS_SERVER"

Durability = Literal["sync", "fast"]

_INSTALL = 'pip install "tidings[server]"'
_OWN_AUTH = re.compile(r"^[ \t]*(authorization|accounts|operator)\b", re.MULTILINE)
_INNER_BLOCK = re.compile(r"\{[^{}]*\}")


@dataclass(frozen=True, kw_only=True)
class ServerOptions:
    """The options of one server; their defaults stand at `NatsServer`.

    Raises:
        ValueError: a value is out of range, or both ``config`` and ``token`` say who may connect.
    """

    store_dir: Path | None
    """Folder for JetStream, config and log; None for a private temporary one, removed at stop."""
    port: int
    """Port on 127.0.0.1; 0 picks a free one."""
    binary: str | os.PathLike[str] | None
    """The nats-server to run; None looks for it (`find_binary`)."""
    jetstream: bool
    """Whether JetStream is on."""
    durability: Durability
    """"sync": JetStream syncs to disk before it acknowledges. "fast": every two minutes."""
    token: str | None = field(repr=False)
    """The token that clients must show; None asks for none."""
    config: str = field(repr=False)
    """More nats-server config, put after ours; a key given twice counts as given last."""

    def __post_init__(self) -> None:
        if not 0 <= self.port <= 65535:
            raise ValueError(f"port must be 0 to 65535, not {self.port}")
        if self.durability not in ("sync", "fast"):
            raise ValueError(f'durability must be "sync" or "fast", not {self.durability!r}')
        if self.token is not None and not (self.token and self.token.isprintable()):
            raise ValueError("token must be printable and not empty; token=False asks for none")
        if self.token is not None and (own := _own_auth(self.config)):
            raise ValueError(f"config has {own!r} of its own: pass token=False with it")


def _own_auth(config: str) -> str | None:
    """The top-level key of ``config`` that decides who may connect, if there is one."""
    outermost = config
    while (stripped := _INNER_BLOCK.sub("", outermost)) != outermost:
        outermost = stripped
    found = _OWN_AUTH.search(outermost)
    return found[1] if found else None


def quoted(text: str) -> str:
    """``text`` as a string of the nats-server config language."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def config_text(options: ServerOptions, folder: Path, port: int) -> str:
    """The nats-server config for ``options``; all its files go into ``folder``."""
    lines = [
        f"listen: {quoted(f'{HOST}:{port}')}",
        f"ports_file_dir: {quoted(str(folder))}",
        f"log_file: {quoted(str(folder / 'nats-server.log'))}",
        "logfile_size_limit: 10MB",
        "logfile_max_num: 2",
    ]
    if options.token is not None:
        lines.append(f"authorization {{ token: {quoted(options.token)} }}")
    if options.jetstream:
        # The server's own default, every two minutes, loses what it acknowledged in a power cut.
        sync = ", sync_interval: always" if options.durability == "sync" else ""
        lines.append(f"jetstream {{ store_dir: {quoted(str(folder))}{sync} }}")
    return "\n".join([*lines, options.config, ""])


def find_binary(given: str | os.PathLike[str] | None = None) -> Path:
    """The nats-server to run.

    ``given``, else the variable TIDINGS_NATS_SERVER, decides where it is set (a path, or a name on
    PATH); else it is looked for beside the interpreter, among the environment's scripts, on PATH.

    Raises:
        BinaryNotFoundError: there is none, or what was asked for cannot be run.
    """
    asked = os.fspath(given) if given is not None else os.environ.get(BINARY_VARIABLE)
    if asked:
        if found := shutil.which(asked):
            return Path(found).absolute()
        source = f"{BINARY_VARIABLE}=" if given is None else ""
        raise BinaryNotFoundError(
            f"{source}{asked} is not a program that can be run; "
            f"give the path of a nats-server binary, or install one with: {_INSTALL}"
        )
    folders = _script_folders()
    for path in (*folders, None):
        if found := shutil.which("nats-server", path=path):
            return Path(found).absolute()
    raise BinaryNotFoundError(
        f"no nats-server in {', '.join(folders)} nor on PATH; install it with: {_INSTALL}, "
        f"or name a binary in the variable {BINARY_VARIABLE}"
    )


def _script_folders() -> Sequence[str]:
    """Where a wheel of this environment puts its programs."""
    candidates = [os.path.dirname(sys.executable or ""), sysconfig.get_path("scripts")]
    return list(dict.fromkeys(folder for folder in candidates if folder))
