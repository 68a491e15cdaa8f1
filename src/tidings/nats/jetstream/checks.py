"""What callers give is looked at before a byte is sent; each refusal says what to do."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from tidings.nats.errors import BadSubjectError
from tidings.nats.jetstream.errors import BadNameError, ConfigError
from tidings.nats.jetstream.fields import SERVER_METADATA
from tidings.nats.wire import check_pattern, check_subject

__all__ = [
    "check_at_least",
    "check_literal",
    "check_metadata",
    "check_name",
    "check_patterns",
    "check_sequence",
    "check_word",
    "has_wildcard",
]

MAX_NAME = 255
_NOT_IN_NAMES = frozenset(".*>/\\ ")


def check_name(name: object, what: str) -> str:
    """Refuse a name that cannot be a token of a subject and a name of a file (ADR-6).

    Raises:
        BadNameError: it is empty, too long, or has a character that it cannot have.
    """
    if not isinstance(name, str) or not name:
        raise BadNameError(f"the name of a {what} is text, not {name!r}")
    if bad := sorted({char for char in name if char in _NOT_IN_NAMES or not char.isprintable()}):
        raise BadNameError(f"{what} name {name!r} cannot have {' '.join(map(repr, bad))}; use - or _")
    if len(name.encode(errors="surrogateescape")) > MAX_NAME:
        raise BadNameError(f"{what} name {name[:20]!r}… is longer than {MAX_NAME} bytes")
    return name


def check_word(name: str, value: object, words: Collection[str]) -> None:
    """Refuse a word that is none of `words`. Raises ConfigError."""
    if value not in words:
        raise ConfigError(f"{name} is one of {', '.join(words)}, not {value!r}")


def check_at_least(config: object, minimums: Mapping[str, int]) -> None:
    """Refuse a number below what its field may hold. Raises ConfigError."""
    for name, least in minimums.items():
        value = getattr(config, name)
        if value is not None and value < least:
            hint = "; -1 is no limit" if least == -1 else ""
            raise ConfigError(f"{name} cannot be {value!r}{hint}")


def check_sequence(name: str, value: object, least: int = 1) -> int:
    """Refuse what is no sequence number. Raises ConfigError."""
    if type(value) is not int or not least <= value < 2**64:
        raise ConfigError(f"{name} is a sequence number from {least} on, not {value!r}")
    return value


def check_patterns(name: str, subjects: Collection[Any]) -> None:
    """Refuse a subject, wildcards allowed, that is none. Raises ConfigError."""
    for subject in subjects:
        try:
            check_pattern(subject, name)
        except (BadSubjectError, TypeError) as error:
            raise ConfigError(str(error)) from None


def has_wildcard(subject: str) -> bool:
    """Whether a token of `subject` stands for others."""
    return not {"*", ">"}.isdisjoint(subject.split("."))


def check_literal(name: str, subject: Any) -> None:
    """Refuse what is no subject, or has wildcards. Raises ConfigError."""
    try:
        check_subject(subject, name)
    except (BadSubjectError, TypeError) as error:
        raise ConfigError(str(error)) from None


def check_metadata(metadata: Mapping[Any, Any]) -> None:
    """Refuse metadata that is no text, or has a name of the server's. Raises ConfigError."""
    for name, value in metadata.items():
        if not isinstance(name, str) or not isinstance(value, str):
            raise ConfigError(f"metadata is text by text, not {name!r}: {value!r}")
        if name.startswith(SERVER_METADATA):
            raise ConfigError(
                f"metadata {name!r}: names that begin with {SERVER_METADATA!r} are the server's"
            )
