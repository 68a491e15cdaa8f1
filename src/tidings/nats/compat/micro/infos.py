"""What discovery tells of services, as nats-py's types."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any, Protocol, Self

__all__ = [
    "INFO_RESPONSE_TYPE",
    "PING_RESPONSE_TYPE",
    "STATS_RESPONSE_TYPE",
    "EndpointInfo",
    "EndpointStats",
    "ServiceIdentity",
    "ServiceInfo",
    "ServicePing",
    "ServiceStats",
]

INFO_RESPONSE_TYPE = "io.nats.micro.v1.info_response"
PING_RESPONSE_TYPE = "io.nats.micro.v1.ping_response"
STATS_RESPONSE_TYPE = "io.nats.micro.v1.stats_response"

_TIME = "%Y-%m-%dT%H:%M:%S.%f"


class ServiceIdentity(Protocol):
    """What tells an instance of a service from others."""

    id: str
    name: str
    version: str
    metadata: dict[str, str]


class _Told:
    """What is sent as a JSON object."""

    def to_dict(self) -> dict[str, Any]:
        """The object."""
        return asdict(self)  # type: ignore[call-overload,no-any-return]  # all of them are dataclasses

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """One of the object; what it does not know is left out."""
        names = cls.__dataclass_fields__  # type: ignore[attr-defined]
        return cls(**{name: value for name, value in data.items() if name in names})


@dataclass
class EndpointStats(_Told):
    """The counters of an endpoint; times in nanoseconds."""

    name: str
    subject: str
    queue_group: str
    num_requests: int
    num_errors: int
    processing_time: int
    average_processing_time: int
    last_error: str | None = None
    data: Any | None = None

    def to_dict(self) -> dict[str, Any]:
        """The object."""
        return super().to_dict() | {"last_error": self.last_error or ""}


@dataclass
class EndpointInfo(_Told):
    """An endpoint of a service."""

    name: str
    subject: str
    queue_group: str
    metadata: dict[str, Any] = field(default_factory=dict)


@dataclass
class ServicePing(_Told):
    """An instance of a service."""

    id: str
    name: str
    version: str
    metadata: dict[str, str] = field(default_factory=dict)
    type: str = PING_RESPONSE_TYPE


@dataclass
class ServiceStats(_Told):
    """An instance of a service, since when it runs, in UTC, and the counters of its endpoints."""

    id: str
    name: str
    version: str
    started: datetime
    endpoints: list[EndpointStats] = field(default_factory=list)
    metadata: dict[str, str] = field(default_factory=dict)
    type: str = STATS_RESPONSE_TYPE

    def to_dict(self) -> dict[str, Any]:
        """The object."""
        return super().to_dict() | {
            "started": self.started.strftime(_TIME)[:-3] + "Z",
            "endpoints": [each.to_dict() for each in self.endpoints],
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """One of the object."""
        stats = super().from_dict(data)
        stats.started = datetime.fromisoformat(data["started"]).replace(tzinfo=None)
        stats.endpoints = [EndpointStats.from_dict(each) for each in data["endpoints"]]
        return stats


@dataclass
class ServiceInfo(_Told):
    """An instance of a service and its endpoints."""

    name: str
    id: str
    version: str
    description: str | None = None
    endpoints: list[EndpointInfo] = field(default_factory=list)
    metadata: dict[str, str] = field(default_factory=dict)
    type: str = INFO_RESPONSE_TYPE

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """One of the object."""
        info = super().from_dict(data)
        info.endpoints = [EndpointInfo.from_dict(each) for each in data["endpoints"]]
        return info
