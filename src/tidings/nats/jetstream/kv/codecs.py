"""Codecs: keys and values as they are stored, and as their user has them (ADR-54).

A key codec that can encode filters as well (`FilterableKeyCodec`) allows wildcards in `watch` and `keys`;
with any other one these take whole keys, or the whole bucket.
"""

from __future__ import annotations

import base64
from typing import Protocol, runtime_checkable

__all__ = [
    "Base64Keys",
    "Base64Values",
    "FilterableKeyCodec",
    "KeyChain",
    "KeyCodec",
    "PathKeys",
    "ValueChain",
    "ValueCodec",
]


class KeyCodec(Protocol):
    """Keys to what is stored and back. What it raises becomes the cause of an `InvalidKeyError`."""

    def encode(self, key: str) -> str:
        """The key as it is stored."""
        ...

    def decode(self, encoded: str) -> str:
        """The key as its user has it."""
        ...


@runtime_checkable
class FilterableKeyCodec(KeyCodec, Protocol):
    """A key codec under which wildcards match what they should."""

    def encode_filter(self, keys: str) -> str:
        """A filter as it is matched with stored keys."""
        ...


class ValueCodec(Protocol):
    """Values to what is stored and back. What it raises becomes the cause of an `InvalidValueError`."""

    def encode(self, value: bytes) -> bytes:
        """The value as it is stored."""
        ...

    def decode(self, encoded: bytes) -> bytes:
        """The value as its user has it."""
        ...


class Base64Keys:
    """Each part between dots in base64, for keys with any characters; wildcards keep working."""

    def encode(self, key: str) -> str:
        """``Acme Inc.phone`` becomes ``QWNtZSBJbmM.cGhvbmU``, without padding, as others write it."""
        return ".".join(_encode(token) for token in key.split("."))

    def decode(self, encoded: str) -> str:
        """The other way."""
        return ".".join(_decode(token.encode()).decode() for token in encoded.split("."))

    def encode_filter(self, keys: str) -> str:
        """Wildcards stay what they are."""
        return ".".join(token if token in ("*", ">") else _encode(token) for token in keys.split("."))


class Base64Values:
    """Values in base64, where something on the way takes text only."""

    def encode(self, value: bytes) -> bytes:
        """URL-safe base64 without padding."""
        return base64.urlsafe_b64encode(value).rstrip(b"=")

    def decode(self, encoded: bytes) -> bytes:
        """The other way. ValueError for what is none."""
        return _decode(encoded)


class PathKeys:
    """Keys that look like paths: ``/etc/hosts`` is stored as ``_root_.etc.hosts``.

    Args:
        separator: what stands between the parts.

    A separator at the end is left out. A key that has a dot in it is refused, as it would not come back.
    """

    _ROOT = "_root_"

    def __init__(self, separator: str = "/") -> None:
        if not isinstance(separator, str) or not separator or "." in separator:
            raise ValueError(f"separator is text without a dot, not {separator!r}")
        self._separator = separator

    def encode(self, key: str) -> str:
        """``a/b`` becomes ``a.b``."""
        if "." in key:
            raise ValueError(
                f"a path with a dot, as {key!r}, cannot be told from one with {self._separator!r}"
            )
        path = key.removesuffix(self._separator)
        if key.startswith(self._separator):
            path = f"{self._ROOT}{path}"
        elif path == self._ROOT or path.startswith(self._ROOT + self._separator):
            raise ValueError(f"{self._ROOT} at the beginning stands for {self._separator!r} there")
        return path.replace(self._separator, ".")

    def decode(self, encoded: str) -> str:
        """The other way."""
        if encoded == self._ROOT:
            return self._separator
        path = encoded.replace(".", self._separator)
        return path.removeprefix(self._ROOT) if path.startswith(self._ROOT + self._separator) else path

    def encode_filter(self, keys: str) -> str:
        """As a key: ``/etc/*`` becomes ``_root_.etc.*``."""
        return self.encode(keys)


class KeyChain:
    """Several key codecs, one after the other; decoded in reverse order.

    Filters work if each of them can encode one.
    """

    def __init__(self, *codecs: KeyCodec) -> None:
        if not codecs:
            raise ValueError("a chain has at least one codec")
        self._codecs = codecs

    def encode(self, key: str) -> str:
        """By the first codec, then by the next."""
        for codec in self._codecs:
            key = codec.encode(key)
        return key

    def decode(self, encoded: str) -> str:
        """By the last codec, then by the one before."""
        for codec in reversed(self._codecs):
            encoded = codec.decode(encoded)
        return encoded

    def encode_filter(self, keys: str) -> str:
        """By the first codec, then by the next. ValueError where one cannot."""
        for codec in self._codecs:
            if not isinstance(codec, FilterableKeyCodec):
                raise ValueError(f"{type(codec).__name__} encodes whole keys only, no wildcards")
            keys = codec.encode_filter(keys)
        return keys


class ValueChain:
    """Several value codecs, one after the other; decoded in reverse order."""

    def __init__(self, *codecs: ValueCodec) -> None:
        if not codecs:
            raise ValueError("a chain has at least one codec")
        self._codecs = codecs

    def encode(self, value: bytes) -> bytes:
        """By the first codec, then by the next."""
        for codec in self._codecs:
            value = codec.encode(value)
        return value

    def decode(self, encoded: bytes) -> bytes:
        """By the last codec, then by the one before."""
        for codec in reversed(self._codecs):
            encoded = codec.decode(encoded)
        return encoded


def _encode(token: str) -> str:
    if not token:
        raise ValueError("each dot stands between two parts that are not empty")
    return base64.urlsafe_b64encode(token.encode()).rstrip(b"=").decode()


def _decode(encoded: bytes) -> bytes:
    bare = encoded.rstrip(b"=")  # others may write the padding
    return base64.b64decode(bare + b"=" * (-len(bare) % 4), altchars=b"-_", validate=True)
