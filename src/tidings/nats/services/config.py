"""What an endpoint is made of, and the names of a service, checked before anything is sent."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TypeAlias

from tidings.nats.core.options import DEFAULT_LIMITS
from tidings.nats.errors import BadSubjectError
from tidings.nats.services.errors import ServiceConfigError
from tidings.nats.services.request import Request
from tidings.nats.wire import check_pattern, check_queue

__all__ = [
    "EndpointConfig",
    "Handler",
    "check_group",
    "check_name",
    "check_prefix",
    "frozen",
]

Payload: TypeAlias = bytes | bytearray | memoryview | str
Handler: TypeAlias = Callable[[Request], Awaitable[Payload | None] | Payload | None]
"""Called with each request; plain or async. What it returns, unless None, is the answer."""

_NAME = re.compile(r"[A-Za-z0-9_-]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointConfig:
    """An endpoint, before it listens: what `add_endpoint` is given, with the subject and group that hold.

    Raises:
        ServiceConfigError: a value that an endpoint cannot have.
    """

    name: str
    handler: Handler
    subject: str
    queue_group: str
    metadata: Mapping[str, str]
    workers: int
    pending_msgs_limit: int = DEFAULT_LIMITS.msgs
    pending_bytes_limit: int = DEFAULT_LIMITS.bytes

    def __post_init__(self) -> None:
        check_name(self.name, "an endpoint")
        if not callable(self.handler):
            raise ServiceConfigError(
                f"the handler of endpoint {self.name!r} is a function of one request, not {self.handler!r}"
            )
        try:
            check_pattern(self.subject, f"subject of endpoint {self.name!r}")
        except (BadSubjectError, TypeError) as error:
            raise ServiceConfigError(str(error)) from None
        check_group(self.queue_group)
        object.__setattr__(self, "metadata", frozen(self.metadata))
        for name, least in (("workers", 1), ("pending_msgs_limit", 0), ("pending_bytes_limit", 0)):
            value = getattr(self, name)
            if type(value) is not int or value < least:
                raise ServiceConfigError(f"{name} is a whole number, at least {least}, not {value!r}")


def check_name(name: object, what: str) -> None:
    """Refuse a name that ADR-32 does not allow. Raises ServiceConfigError."""
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise ServiceConfigError(
            f"the name of {what} has letters, digits, '-' and '_' of ASCII, and one at least: not {name!r}"
        )


def check_prefix(prefix: object) -> str:
    """Refuse a group's name that cannot begin a subject. Raises ServiceConfigError."""
    try:
        check_pattern(prefix, "name of a group")  # type: ignore[arg-type]  # it is looked at
        if str(prefix).endswith(">"):
            raise BadSubjectError(
                f"name of a group {prefix!r}: a subject follows it, so it cannot end in '>'"
            )
    except (BadSubjectError, TypeError) as error:
        raise ServiceConfigError(str(error)) from None
    return str(prefix)


def check_group(group: str | None) -> None:
    """Refuse what is no queue group; None and an empty text are welcome. Raises ServiceConfigError."""
    if group is None or group == "":
        return
    try:
        check_queue(group)
    except (BadSubjectError, TypeError) as error:
        raise ServiceConfigError(str(error)) from None


def frozen(metadata: object) -> Mapping[str, str]:
    """A copy that does not change. Raises ServiceConfigError for what is not text by text."""
    if not isinstance(metadata, Mapping):
        raise ServiceConfigError(f"metadata is a mapping, text by text, not {metadata!r}")
    for name, value in metadata.items():
        if not isinstance(name, str) or not isinstance(value, str):
            raise ServiceConfigError(f"metadata is text by text, not {name!r}: {value!r}")
    return MappingProxyType(dict(metadata))
