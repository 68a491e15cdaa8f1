"""What a service tells of itself, and what discovery reads of others (ADR-32).

Times of processing are whole nanoseconds, as on the wire.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, ClassVar, TypeVar

from tidings.nats.errors import ProtocolError

__all__ = ["EndpointInfo", "EndpointStats", "ServiceInfo", "ServicePing", "ServiceStats"]

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class ServicePing:
    """An instance of a service.

    Attributes:
        name: what kind of service it is.
        id: of the instance.
        version: of the service.
        metadata: as it was started with.
        rtt: seconds from our request to this answer; 0 where nobody asked.
    """

    wire_type: ClassVar[str] = "io.nats.micro.v1.ping_response"

    name: str
    id: str
    version: str
    metadata: Mapping[str, str] = field(default_factory=dict)
    rtt: float = field(default=0.0, compare=False)

    def to_wire(self) -> dict[str, Any]:
        """The object as it is sent."""
        return {
            "type": self.wire_type,
            "name": self.name,
            "id": self.id,
            "version": self.version,
            "metadata": dict(self.metadata),
        }

    @classmethod
    def from_wire(cls, said: Mapping[str, Any], rtt: float = 0.0) -> ServicePing:
        """Of what was received. Raises ProtocolError."""
        return cls(**_identity(said, cls.wire_type), rtt=rtt)


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointInfo:
    """An endpoint of a service: the subject it listens to, in which queue group; empty for none."""

    name: str
    subject: str
    queue_group: str = ""
    metadata: Mapping[str, str] = field(default_factory=dict)

    def to_wire(self) -> dict[str, Any]:
        """The object as it is sent."""
        return {
            "name": self.name,
            "subject": self.subject,
            "queue_group": self.queue_group,
            "metadata": dict(self.metadata),
        }

    @classmethod
    def from_wire(cls, said: Any) -> EndpointInfo:
        """Of what was received. Raises ProtocolError."""
        said = _object(said)
        return cls(
            name=_text(said, "name"),
            subject=_text(said, "subject"),
            queue_group=_text(said, "queue_group"),
            metadata=_metadata(said),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceInfo:
    """An instance of a service and its endpoints."""

    wire_type: ClassVar[str] = "io.nats.micro.v1.info_response"

    name: str
    id: str
    version: str
    metadata: Mapping[str, str] = field(default_factory=dict)
    description: str = ""
    endpoints: tuple[EndpointInfo, ...] = ()

    def to_wire(self) -> dict[str, Any]:
        """The object as it is sent."""
        return {
            "type": self.wire_type,
            "name": self.name,
            "id": self.id,
            "version": self.version,
            "metadata": dict(self.metadata),
            "description": self.description,
            "endpoints": [each.to_wire() for each in self.endpoints],
        }

    @classmethod
    def from_wire(cls, said: Mapping[str, Any]) -> ServiceInfo:
        """Of what was received. Raises ProtocolError."""
        return cls(
            **_identity(said, cls.wire_type),
            description=_text(said, "description"),
            endpoints=_items(said, EndpointInfo.from_wire),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointStats:
    """The counters of an endpoint.

    Attributes:
        name, subject, queue_group: as in `EndpointInfo`.
        num_requests: received since the start, or the last reset.
        num_errors: answered with an error, or failed, since then.
        last_error: the last of them, "code:description"; empty when there was none.
        processing_time: nanoseconds that its handler took, waiting included.
        average_processing_time: … for a request.
        data: what the service's ``stats_handler`` gives; None for nothing.
    """

    name: str
    subject: str
    queue_group: str = ""
    num_requests: int = 0
    num_errors: int = 0
    last_error: str = ""
    processing_time: int = 0
    average_processing_time: int = 0
    data: Any = None

    def to_wire(self) -> dict[str, Any]:
        """The object as it is sent."""
        said = {
            "name": self.name,
            "subject": self.subject,
            "queue_group": self.queue_group,
            "num_requests": self.num_requests,
            "num_errors": self.num_errors,
            "last_error": self.last_error,
            "processing_time": self.processing_time,
            "average_processing_time": self.average_processing_time,
        }
        return said if self.data is None else {**said, "data": self.data}

    @classmethod
    def from_wire(cls, said: Any) -> EndpointStats:
        """Of what was received. Raises ProtocolError."""
        said = _object(said)
        return cls(
            name=_text(said, "name"),
            subject=_text(said, "subject"),
            queue_group=_text(said, "queue_group"),
            num_requests=_number(said, "num_requests"),
            num_errors=_number(said, "num_errors"),
            last_error=_text(said, "last_error"),
            processing_time=_number(said, "processing_time"),
            average_processing_time=_number(said, "average_processing_time"),
            data=said.get("data"),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceStats:
    """An instance of a service, when it was started, and the counters of its endpoints."""

    wire_type: ClassVar[str] = "io.nats.micro.v1.stats_response"

    name: str
    id: str
    version: str
    started: datetime
    metadata: Mapping[str, str] = field(default_factory=dict)
    endpoints: tuple[EndpointStats, ...] = ()

    def to_wire(self) -> dict[str, Any]:
        """The object as it is sent."""
        return {
            "type": self.wire_type,
            "name": self.name,
            "id": self.id,
            "version": self.version,
            "metadata": dict(self.metadata),
            "started": self.started.astimezone(UTC).isoformat().replace("+00:00", "Z"),
            "endpoints": [each.to_wire() for each in self.endpoints],
        }

    @classmethod
    def from_wire(cls, said: Mapping[str, Any]) -> ServiceStats:
        """Of what was received. Raises ProtocolError."""
        text = _text(said, "started")
        try:
            started = datetime.fromisoformat(text)
        except ValueError:
            raise ProtocolError(f"'started' is a time of RFC 3339, not {text[:80]!r}") from None
        return cls(
            **_identity(said, cls.wire_type),
            started=started if started.tzinfo else started.replace(tzinfo=UTC),
            endpoints=_items(said, EndpointStats.from_wire),
        )


def _identity(said: Mapping[str, Any], wire_type: str) -> dict[str, Any]:
    if said.get("type") != wire_type:
        raise ProtocolError(f"a {wire_type} was expected, not {said.get('type')!r}")
    names = ("name", "id", "version")
    return {**{name: _text(said, name) for name in names}, "metadata": _metadata(said)}


def _object(said: Any) -> Mapping[str, Any]:
    if not isinstance(said, Mapping):
        raise ProtocolError(f"an object was expected, not {str(said)[:80]!r}")
    return said


# Go leaves empty fields out or sends null for them, so an absent one is its zero.


def _text(said: Mapping[str, Any], name: str) -> str:
    value = said.get(name) or ""
    if not isinstance(value, str):
        raise ProtocolError(f"{name!r} is text, not {str(value)[:80]!r}")
    return value


def _number(said: Mapping[str, Any], name: str) -> int:
    value = said.get(name) or 0
    try:
        if isinstance(value, int | float):
            return int(value)
    except (ValueError, OverflowError):  # what JSON of Python's calls a number, NaN for example
        pass
    raise ProtocolError(f"{name!r} is a number, not {str(value)[:80]!r}")


def _metadata(said: Mapping[str, Any]) -> dict[str, str]:
    return {str(name): str(value) for name, value in _object(said.get("metadata") or {}).items()}


def _items(said: Mapping[str, Any], read: Callable[[Any], T]) -> tuple[T, ...]:
    found = said.get("endpoints") or []
    if not isinstance(found, list):
        raise ProtocolError(f"'endpoints' is a list, not {str(found)[:80]!r}")
    return tuple(read(each) for each in found)
