"""Configs: which keys there are, how each is read from a variable, and what each may be."""

from __future__ import annotations

import ast
import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from tidings.pubsub.errors import ConfigError

__all__ = [
    "COMMON",
    "COUNT",
    "FLAG",
    "MOST_SECONDS",
    "NUMBER",
    "PATH",
    "SECONDS",
    "SERVERS",
    "TEXT",
    "Key",
    "Kind",
    "Settings",
    "check_config",
    "choice",
    "read_mapping",
    "read_texts",
    "read_variables",
]

Settings: TypeAlias = Mapping[str, Any]
"""A config that was checked: every key is there."""

MOST_SECONDS = 1_000_000
"""No timeout is longer: every system can count so far."""


@dataclass(frozen=True)
class Kind:
    """What a key may be.

    Attributes:
        what: in words, for errors.
        check: returns the value as it is used; raises ValueError or TypeError when it cannot be.
        read: the value from the text of a variable; raises likewise.
    """

    what: str
    check: Callable[[Any], Any]
    read: Callable[[str], Any]


@dataclass(frozen=True)
class Key:
    """One key of a config.

    Attributes:
        name: of the key.
        variable: what follows ``TIDINGS_NATS_`` in the variable it is read from.
        kind: what it may be.
        default: where it is not given.
        is_secret: whether no error may show the value.
    """

    name: str
    variable: str
    kind: Kind
    default: Any = None
    is_secret: bool = False


def check_config(backend: str, keys: Sequence[Key], config: Mapping[str, Any]) -> Settings:
    """`config` with the defaults of what it leaves out; a key that is None counts as left out.

    Raises:
        ConfigError: a key that there is not, or whose value cannot work; the text names it.
    """
    if not isinstance(config, Mapping):
        raise ConfigError(
            f"the config of {backend} is a dict, as get_…_config() returns, not {type(config).__name__}; "
            "for a URL there is tidings.pubsub.pubsub(url)"
        )
    names = [key.name for key in keys]
    unknown = [name for name in config if name not in names]
    if unknown:
        raise ConfigError(
            f"{backend} knows no key {', '.join(map(repr, unknown))}; its keys are {', '.join(names)}"
        )
    found = _Checked()
    for key in keys:
        value = config.get(key.name)
        if value is None:
            found[key.name] = key.default
            continue
        try:
            found[key.name] = key.kind.check(value)
        except (TypeError, ValueError) as error:
            raise ConfigError(f"{backend}: key {key.name!r} {_complaint(key, value, error)}") from None
    return found


class _Checked(dict[str, Any]):
    """A checked config, which tools that show variables, for a traceback say, show without its secrets."""

    def __repr__(self) -> str:
        return f"<the config of a backend: {', '.join(self)}>"


def read_variables(
    prefix: str, system: str, keys: Sequence[Key], environ: Mapping[str, str]
) -> dict[str, Any]:
    """The keys whose variable is set; an empty variable counts as unset.

    Raises:
        ConfigError: a value that cannot work; the text names the variable.
    """
    found = {}
    for key in keys:
        name = f"{prefix}_{system}_{key.variable}" if prefix else f"{system}_{key.variable}"
        text = environ.get(name, "").strip()
        if not text:
            continue
        try:
            found[key.name] = key.kind.check(key.kind.read(text))
        except _REFUSALS as error:
            raise ConfigError(f"variable {name} {_complaint(key, text, error)}") from None
    return found


def read_texts(source: str, keys: Sequence[Key], texts: Mapping[str, str]) -> dict[str, Any]:
    """The keys of `texts`, read as those of variables are.

    Raises:
        ConfigError: a key that there is not, or a value that cannot work; the text names it.
    """
    found = {}
    known = {key.name: key for key in keys}
    for name, text in texts.items():
        if (key := known.get(name)) is None:
            raise ConfigError(f"{source} has {name!r}, which is no key; the keys are {', '.join(known)}")
        try:
            found[name] = key.kind.check(key.kind.read(text))
        except _REFUSALS as error:
            raise ConfigError(f"{source}: key {name!r} {_complaint(key, text, error)}") from None
    return found


# `ast.literal_eval` raises all of them.
_REFUSALS = (TypeError, ValueError, SyntaxError, RecursionError, MemoryError)


def _complaint(key: Key, value: object, error: Exception) -> str:
    shown = f"{type(value).__name__} that is not shown" if key.is_secret else repr(value)
    why = f" ({error})" if isinstance(error, _Reason) else ""
    return f"is {key.kind.what}, not {shown}{why}"


class _Reason(ValueError):
    """A reason that may be shown."""


def _text(value: Any) -> str:
    if not isinstance(value, str) or not value:
        raise TypeError
    return value


def _path(value: Any) -> str:
    return _text(os.fspath(value))


def _flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise TypeError
    return value


def _read_flag(text: str) -> bool:
    found = _FLAGS.get(text.lower())
    if found is None:
        raise ValueError
    return found


_FLAGS = {
    **dict.fromkeys(("true", "1", "yes", "on"), True),
    **dict.fromkeys(("false", "0", "no", "off"), False),
}


def _seconds(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= MOST_SECONDS:
        raise TypeError
    return float(value)


def _count(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise TypeError
    return value


def _number(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise TypeError
    return value


def _servers(value: Any) -> list[str]:
    found = value.split(",") if isinstance(value, str) else list(value)
    if not found or not all(isinstance(each, str) and each.strip() for each in found):
        raise _Reason("no server may be empty")
    return [each.strip() for each in found]


def _read_list(text: str) -> Any:
    """A Python or JSON list, or what stands between commas."""
    if not text.startswith(("[", "(")):
        return text
    try:
        return json.loads(text)
    except ValueError:
        value = ast.literal_eval(text)
    if not isinstance(value, list | tuple):
        raise TypeError
    return value


def read_mapping(text: str) -> Any:
    """A JSON object."""
    return json.loads(text)


def choice(*values: str) -> Kind:
    """One of some words."""

    def check(value: Any) -> str:
        if value not in values:
            raise ValueError
        return str(value)

    return Kind(f"one of {', '.join(values)}", check, str)


TEXT = Kind("a text", _text, str)
PATH = Kind("the path of a file", _path, str)
FLAG = Kind("true or false", _flag, _read_flag)
SECONDS = Kind(f"a number of seconds above 0, at most {MOST_SECONDS}", _seconds, float)
COUNT = Kind("a whole number from 1", _count, int)
NUMBER = Kind("a whole number from 0", _number, int)
SERVERS = Kind("a list of servers, or a text with commas between them", _servers, _read_list)

COMMON = (
    Key("group_id", "GROUP_ID", TEXT),
    Key("buffer_messages", "BUFFER_MESSAGES", COUNT, 65_536),
    Key("buffer_bytes", "BUFFER_BYTES", COUNT, 64 * 1024 * 1024),
    Key("buffer_policy", "BUFFER_POLICY", choice("block", "drop_oldest", "error"), "block"),
    Key("connect_timeout", "CONNECT_TIMEOUT", SECONDS, 5.0),
    Key("reconnect_timeout", "RECONNECT_TIMEOUT", SECONDS, 60.0),
    Key("publish_timeout", "PUBLISH_TIMEOUT", SECONDS, 30.0),
)
"""What every backend has: see docs/pubsub for what each key does."""
