"""The header block of a message (ADR-4), and the status line that may head it.

::

    NATS/1.0 503 No Responders\\r\\n      version, and on a status message its code and description
    Nats-Subject: orders.new\\r\\n
    \\r\\n

Names are case-preserving and case-sensitive, may repeat, and keep their order.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, MutableMapping, Sequence
from typing import Any, TypeAlias, cast

from tidings.nats.errors import BadHeaderError, ProtocolError

__all__ = ["HeaderInput", "Headers", "encode_headers", "parse_headers"]

HeaderInput: TypeAlias = Mapping[str, "str | Sequence[str]"]
"""What `publish` takes as headers: a name, and one value or several."""

_VERSION = b"NATS/1.0"


class Headers(MutableMapping[str, str]):
    """Headers in the order they came; reads as a ``dict[str, str]`` of first values.

    Names are case-sensitive. `get_all` gives every value of a name, `add` appends one,
    ``headers[name] = value`` replaces all, `pairs` lists everything.
    """

    __slots__ = ("_pairs",)

    def __init__(self, headers: HeaderInput | Iterable[tuple[str, str]] = ()) -> None:
        self._pairs: list[tuple[str, str]] = header_pairs(headers)

    def __getitem__(self, name: str) -> str:
        for key, value in self._pairs:
            if key == name:
                return value
        raise KeyError(name)

    def __setitem__(self, name: str, value: str) -> None:
        first = next((i for i, (key, _) in enumerate(self._pairs) if key == name), None)
        if first is None:
            self._pairs.append((name, value))
            return
        rest = [pair for pair in self._pairs[first + 1 :] if pair[0] != name]
        self._pairs[first:] = [(name, value), *rest]

    def __delitem__(self, name: str) -> None:
        left = [pair for pair in self._pairs if pair[0] != name]
        if len(left) == len(self._pairs):
            raise KeyError(name)
        self._pairs = left

    def __iter__(self) -> Iterator[str]:
        return iter(dict.fromkeys(key for key, _ in self._pairs))

    def __len__(self) -> int:
        return len({key for key, _ in self._pairs})

    def __bool__(self) -> bool:
        return bool(self._pairs)

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Headers):
            return self._pairs == other._pairs
        if isinstance(other, Mapping):
            return dict(self) == dict(other)
        return NotImplemented

    __hash__ = None  # type: ignore[assignment]  # mutable, as a dict is

    def __repr__(self) -> str:
        return f"Headers({self._pairs!r})"

    def get_all(self, name: str) -> list[str]:
        """Every value of `name` in order; empty when there is none."""
        return [value for key, value in self._pairs if key == name]

    def add(self, name: str, value: str) -> None:
        """Append one more value for `name`."""
        self._pairs.append((name, value))

    def copy(self) -> Headers:
        """Headers of their own with the same pairs."""
        return Headers(self._pairs)

    __copy__ = copy

    def pairs(self) -> list[tuple[str, str]]:
        """Every (name, value) in order, repeats included."""
        return list(self._pairs)


def header_pairs(headers: HeaderInput | Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """Flatten what a caller gave into (name, value) pairs; nothing is checked."""
    if isinstance(headers, Headers):
        return headers.pairs()
    if not isinstance(headers, Mapping):
        return list(headers)
    pairs: list[tuple[str, str]] = []
    for name, value in cast("Mapping[str, Any]", headers).items():
        if isinstance(value, str):
            pairs.append((name, value))
        elif isinstance(value, Sequence) and not isinstance(value, bytes | bytearray):
            pairs.extend((name, each) for each in value)
        else:
            raise BadHeaderError(f"header {name!r}: a value is a str or a sequence of str, not {value!r:.60}")
    return pairs


def encode_headers(headers: HeaderInput) -> bytes:
    """The header block for `headers`, from the version line to the empty line.

    Raises:
        BadHeaderError: a name that is not printable ASCII without colon, or a value with CR, LF or a
            lone surrogate.
    """
    lines = [_VERSION]
    for name, value in header_pairs(headers):
        if not _is_name(name):
            raise BadHeaderError(
                f"header name {name!r} must be printable ASCII without space or colon (ADR-4)"
            )
        lines.append(f"{name}: ".encode() + _encoded_value(name, value))
    return b"\r\n".join(lines) + b"\r\n\r\n"


def _is_name(name: object) -> bool:
    """Printable ASCII, 33 to 126, without the colon (ADR-4)."""
    return (
        isinstance(name, str)
        and name.isascii()
        and name.isprintable()
        and name != ""
        and " " not in name
        and ":" not in name
    )


def _encoded_value(name: str, value: object) -> bytes:
    if isinstance(value, str) and "\r" not in value and "\n" not in value:
        try:
            return value.encode("utf-8", "surrogateescape")
        except UnicodeEncodeError:
            pass
    raise BadHeaderError(f"header {name!r}: a value is a str without CR, LF or lone surrogate")


def parse_headers(block: bytes) -> tuple[int, str, list[tuple[str, str]]]:
    """Split a header block into status code (0 when none), its description, and the pairs.

    Raises:
        ProtocolError: no version line, a line without colon, a space before the colon, or no empty
            line at the end.
    """
    if not block.startswith(_VERSION) or not block.endswith(b"\r\n\r\n"):
        raise ProtocolError(
            f"a header block begins with NATS/1.0 and ends with an empty line, not {block[:40]!r}"
        )
    first, *lines = block[:-4].split(b"\r\n")
    pairs: list[tuple[str, str]] = []
    for line in lines:
        name, colon, value = line.decode("utf-8", "surrogateescape").partition(":")
        if not colon or not name or name[-1] in " \t":
            raise ProtocolError(f"a header line is 'name: value', not {line[:40]!r}")
        pairs.append((name, value.strip(" \t")))
    status, description = _parse_status(first[len(_VERSION) :])
    return status, description, pairs


def _parse_status(rest: bytes) -> tuple[int, str]:
    """The inline status after the version: nothing, or a code of three digits and maybe a text."""
    if rest and rest[:1] != b" ":
        raise ProtocolError(f"unknown header version {_VERSION + rest[:40]!r}")
    text = rest.strip(b" ")
    if not text:
        return 0, ""
    code, _, description = text.partition(b" ")
    if len(code) != 3 or not (code.isascii() and code.isdigit()):
        raise ProtocolError(f"a status is three digits, not {code[:20]!r}")
    return int(code), description.strip().decode("utf-8", "surrogateescape")
