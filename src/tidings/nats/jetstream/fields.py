"""JSON objects of the API ⇄ dataclasses.

What a newer server sends and we have no field for is kept in ``extra`` and sent back, so that an update does
not undo it.

To the server a field that is absent and one that is zero, empty or false are the same, so none of these is
sent: the API is strict, and an older server would refuse the name alone.
"""

from __future__ import annotations

import types
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from dataclasses import fields as dataclass_fields
from datetime import datetime, timedelta
from typing import (
    Any,
    ClassVar,
    Generic,
    Self,
    TypeVar,
    Union,
    cast,
    get_args,
    get_origin,
    get_type_hints,
    overload,
)

from tidings.nats.errors import ProtocolError
from tidings.nats.jetstream.errors import ConfigError
from tidings.nats.jetstream.times import (
    check_time,
    format_time,
    from_nanoseconds,
    parse_time,
    to_nanoseconds,
    to_seconds,
)

__all__ = ["Seconds", "SecondsList", "Wire", "WithMetadata"]

SERVER_METADATA = "_nats."
"""Begins the names in a config's metadata that are the server's own (ADR-44)."""

T = TypeVar("T")
G = TypeVar("G")


class _Converted(Generic[G, T]):
    """A field that is set to one type and read as another."""

    name = "field"

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    @overload
    def __get__(self, instance: None, owner: type) -> T: ...
    @overload
    def __get__(self, instance: object, owner: type) -> T: ...
    def __get__(self, instance: object | None, owner: type) -> T:
        if instance is None:  # asked by dataclass, for the default
            return self.absent()
        value: T = instance.__dict__[self.name]
        return value

    def __set__(self, instance: object, value: G) -> None:
        instance.__dict__[self.name] = self.convert(value)

    def absent(self) -> T:
        raise NotImplementedError

    def convert(self, value: G) -> T:
        raise NotImplementedError


class Seconds(_Converted[float | timedelta | None, float | None]):
    """A field that holds a duration: given as seconds or timedelta, read as seconds; None where not set."""

    def absent(self) -> float | None:
        """None: the server decides."""
        return None

    def convert(self, value: float | timedelta | None) -> float | None:
        """Seconds. Raises ConfigError."""
        return None if value is None else to_seconds(value, self.name)


class SecondsList(_Converted[Iterable[float | timedelta], list[float]]):
    """A field that holds durations: given as seconds or timedeltas, read as a list of seconds."""

    def absent(self) -> list[float]:
        """No durations; as a tuple, since dataclass takes no list for a default. `convert` makes it one."""
        return cast("list[float]", ())

    def convert(self, value: Iterable[float | timedelta]) -> list[float]:
        """A list of seconds. Raises ConfigError."""
        if isinstance(value, str | bytes | timedelta) or not isinstance(value, Iterable):
            raise ConfigError(f"{self.name} is a list of durations, not {value!r}")
        return [to_seconds(item, self.name) for item in value]


@dataclass(frozen=True, kw_only=True)
class Wire:
    """An object of the API.

    Attributes:
        extra: fields that the server sent and that have no attribute here; they are sent back.
    """

    extra: dict[str, Any] = field(default_factory=dict, repr=False, metadata={"local": True})

    levels: ClassVar[Mapping[str, int | Mapping[str, int]]] = {}
    """Field → the API level that it takes (ADR-44), or that each word of it takes; the lowest level is not
    listed."""

    unsaid: ClassVar[Mapping[str, str]] = {}
    """Field → the word for what holds when it is absent: not sent, as older servers do not know the field."""

    @classmethod
    def from_wire(cls, given: Mapping[str, Any]) -> Self:
        """Build it from a JSON object of the server.

        Raises:
            ProtocolError: a field holds what it cannot.
        """
        codecs = _codecs(cls)
        values: dict[str, Any] = {}
        extra: dict[str, Any] = {}
        for name, value in given.items():
            if (codec := codecs.get(name)) is None:
                extra[name] = value
            elif value is not None:
                values[name] = _decode(codec, value, f"{cls.__name__}.{name}")
        try:
            return cls(**values, extra=extra)
        except (ConfigError, TypeError) as error:  # a duration out of bounds, a field that must be there
            raise ProtocolError(f"the server sent {given!r:.200} for a {cls.__name__}: {error}") from None

    def to_wire(self) -> dict[str, Any]:
        """The JSON object to send; what is zero, empty, false or None is left out."""
        found: dict[str, Any] = dict(self.extra)
        for name, codec in _codecs(type(self)).items():
            value = getattr(self, name)
            if value and value != self.unsaid.get(name) and (encoded := codec.encode(value)):
                found[name] = encoded
        return found

    @property
    def needed_level(self) -> int:
        """The API level that a server must have for what is set here."""
        return max((level for _, level in self.needs()), default=0)

    def needs(self) -> Iterable[tuple[str, int]]:
        """Each field that is set and takes an API level, with that level; those of parts included."""
        for name in _codecs(type(self)):
            value = getattr(self, name)
            level = self.levels.get(name, 0)
            if isinstance(level, Mapping):
                level = level.get(value, 0)
            if level and value and value != self.unsaid.get(name):
                yield name, level
            for part in value if isinstance(value, list) else (value,):
                if isinstance(part, Wire):
                    yield from ((f"{name}.{below}", level) for below, level in part.needs())

    def differences(self, other: Self) -> dict[str, tuple[Any, Any]]:
        """Each field that is set here and that `other` has otherwise: name → (here, there).

        What is empty or None here leaves it to the server, and differs from nothing.
        """
        found = {}
        for name in _codecs(type(self)):
            here, there = getattr(self, name), getattr(other, name)
            if here and here != there:
                found[name] = (here, there)
        return found

    def __post_init__(self) -> None:
        for name, codec in _codecs(type(self)).items():
            if codec.tidy is not None and (value := getattr(self, name)) is not None:
                object.__setattr__(self, name, codec.tidy(value, name))


@dataclass(frozen=True, kw_only=True)
class WithMetadata(Wire):
    """A config with metadata, of ours and of the server's.

    Attributes:
        metadata: text by text, for whoever asks.
        server_metadata: what the server wrote beside it: its version and API levels (ADR-44). It is
            neither sent nor compared.
    """

    metadata: dict[str, str] = field(default_factory=dict)
    server_metadata: dict[str, str] = field(
        default_factory=dict, compare=False, repr=False, metadata={"local": True}
    )

    @classmethod
    def from_wire(cls, given: Mapping[str, Any]) -> Self:
        """Build it from a JSON object of the server. Raises ProtocolError."""
        config = super().from_wire(given)
        for name in [name for name in config.metadata if name.startswith(SERVER_METADATA)]:
            config.server_metadata[name] = config.metadata.pop(name)
        return config


@dataclass(frozen=True, slots=True)
class _Codec:
    """How one field goes to the wire and back, and what a caller may give for it."""

    decode: Callable[[Any], Any]
    encode: Callable[[Any], Any]
    tidy: Callable[[Any, str], Any] | None = None


def _decode(codec: _Codec, value: Any, name: str) -> Any:
    try:
        return codec.decode(value)
    except (TypeError, ValueError, ProtocolError) as error:
        raise ProtocolError(f"the server sent {value!r:.80} for {name}: {error}") from None


def _same(value: Any) -> Any:
    return value


def _exactly(*kinds: type) -> Callable[[Any], Any]:
    def decode(value: Any) -> Any:
        if type(value) not in kinds:
            raise TypeError(f"{' or '.join(kind.__name__ for kind in kinds)} was expected")
        return value

    return decode


def _list_of(decode: Callable[[Any], Any]) -> Callable[[Any], Any]:
    check = _exactly(list)
    return lambda value: [decode(item) for item in check(value)]


def _dict_of(decode: Callable[[Any], Any]) -> Callable[[Any], Any]:
    check = _exactly(dict)
    return lambda value: {name: decode(item) for name, item in check(value).items()}


def _tidy_list(part: _Codec) -> Callable[[Any, str], Any]:
    def tidy(value: Any, name: str) -> Any:
        if isinstance(value, str | bytes | Mapping) or not isinstance(value, Iterable):
            raise ConfigError(f"{name} is a list, not {value!r}")
        return [part.tidy(item, f"each of {name}") if part.tidy else item for item in value]

    return tidy


def _tidy_dict(value: Any, name: str) -> Any:
    if not isinstance(value, Mapping):
        raise ConfigError(f"{name} is a dict, not {value!r}")
    return dict(value)


def _tidy(*kinds: type) -> Callable[[Any, str], Any]:
    def tidy(value: Any, name: str) -> Any:
        if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
            raise ConfigError(f"{name} is {' or '.join(kind.__name__ for kind in kinds)}, not {value!r}")
        return value

    return tidy


def _tidy_time(value: Any, name: str) -> Any:
    check_time(value, name)
    return value


def _nanoseconds(value: Any) -> float | None:
    """Seconds; the server says -1 for what has not happened yet."""
    return from_nanoseconds(value) if _exactly(int)(value) >= 0 else None


def _optional(codec: _Codec) -> _Codec:
    """What may be None is None where the server sends an empty object."""
    return replace(codec, decode=lambda value: None if value == {} else codec.decode(value))


_TIME = _Codec(lambda value: parse_time(_exactly(str)(value)), format_time, _tidy_time)
_SECONDS = _Codec(_nanoseconds, to_nanoseconds)
_SECONDS_LIST = _Codec(_list_of(_nanoseconds), lambda value: [to_nanoseconds(item) for item in value])
_ANY = _Codec(_same, _same)


_known: dict[type[Any], dict[str, _Codec]] = {}


def _codecs(cls: type[Any]) -> dict[str, _Codec]:
    """The codec of each field of `cls` that goes to the wire."""
    if (codecs := _known.get(cls)) is None:
        hints = get_type_hints(cls)
        codecs = _known[cls] = {
            item.name: _codec_of(hints[item.name])
            for item in dataclass_fields(cls)
            if not item.metadata.get("local")
        }
    return codecs


def _codec_of(hint: Any) -> _Codec:
    """The codec for a field that is annotated so."""
    if get_origin(hint) in (Union, types.UnionType):
        kinds = [kind for kind in get_args(hint) if kind is not type(None)]
        return _optional(_codec_of(kinds[0])) if len(kinds) == 1 else _ANY
    if hint is Seconds:
        return _SECONDS
    if hint is SecondsList:
        return _SECONDS_LIST
    if hint is datetime:
        return _TIME
    if get_origin(hint) is list:
        part = _codec_of(get_args(hint)[0])
        return _Codec(
            _list_of(part.decode), lambda value: [part.encode(item) for item in value], _tidy_list(part)
        )
    if isinstance(hint, type) and issubclass(hint, Wire):
        return _Codec(lambda value: hint.from_wire(_exactly(dict)(value)), hint.to_wire, _tidy(hint))
    if hint in (int, str, bool):
        return _Codec(_exactly(hint), _same, _tidy(hint))
    if get_origin(hint) is dict:
        decode = _codec_of(get_args(hint)[1]).decode
        return _Codec(_dict_of(decode), _same, _tidy_dict)
    return _ANY  # a Literal: a newer server may know other words
