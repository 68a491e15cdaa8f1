"""What a service, a group and an endpoint of nats-py are made with; what cannot work is refused."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

from tidings.nats.compat.micro.infos import EndpointStats
from tidings.nats.compat.micro.request import Handler

__all__ = ["EndpointConfig", "GroupConfig", "ServiceConfig", "StatsHandler"]

NAME_REGEX = re.compile(r"^[A-Za-z0-9\-_]+$")
SUBJECT_REGEX = re.compile(r"^[^ >]*[>]?$")
_NUMBER = r"(?:0|[1-9]\d*)"
_PART = rf"(?:{_NUMBER}|\d*[a-zA-Z-][0-9a-zA-Z-]*)"
SEMVER_REGEX = re.compile(
    rf"^{_NUMBER}\.{_NUMBER}\.{_NUMBER}(?:-{_PART}(?:\.{_PART})*)?(?:\+[0-9a-zA-Z-]+(?:\.[0-9a-zA-Z-]+)*)?$"
)

StatsHandler: TypeAlias = Callable[[EndpointStats], Any]


@dataclass
class EndpointConfig:
    """An endpoint. Without a subject it listens to its name, without a group it is in that above it."""

    name: str
    handler: Handler
    queue_group: str | None = None
    subject: str | None = None
    metadata: dict[str, str] | None = None

    def __post_init__(self) -> None:
        if not self.name:
            raise ValueError("Name cannot be empty.")
        if not NAME_REGEX.match(self.name):
            raise ValueError(
                "Invalid name. Name must contain only alphanumeric characters, underscores, and hyphens."
            )
        if self.subject and not SUBJECT_REGEX.match(self.subject):
            raise ValueError(
                "Invalid subject. Subject must not contain spaces, and can only have '>' at the end."
            )
        if self.queue_group and not SUBJECT_REGEX.match(self.queue_group):
            raise ValueError("Invalid queue group. Queue group must not contain spaces.")


@dataclass
class GroupConfig:
    """A group: the first tokens of the subjects of its endpoints, and their queue group."""

    name: str
    queue_group: str | None = None


@dataclass
class ServiceConfig:
    """A service."""

    name: str
    version: str
    description: str | None = None
    metadata: dict[str, str] | None = None
    queue_group: str | None = None
    stats_handler: StatsHandler | None = None

    def __post_init__(self) -> None:
        if not self.name:
            raise ValueError("Name cannot be empty.")
        if not NAME_REGEX.match(self.name):
            raise ValueError(
                "Invalid name. It must contain only alphanumeric characters, dashes, and underscores."
            )
        if not self.version:
            raise ValueError("Version cannot be empty.")
        if not SEMVER_REGEX.match(self.version):
            raise ValueError(
                "Invalid version. It must follow semantic versioning (e.g., 1.0.0, 2.1.3-alpha.1)."
            )
        if self.queue_group and not SUBJECT_REGEX.match(self.queue_group):
            raise ValueError(
                "Invalid queue group. It must contain only alphanumeric characters, dashes, and underscores."
            )
