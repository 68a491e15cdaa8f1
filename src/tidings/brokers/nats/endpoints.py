"""Endpoints of services (ADR-32): subscribers that answer, and that others can find."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from tidings.messaging.bodies.schemas import schemas_for
from tidings.messaging.endpoints import Destination, Source
from tidings.messaging.errors import SetupError
from tidings.messaging.subscriber import Subscriber
from tidings.nats import Error
from tidings.nats.core.options import DEFAULT_LIMITS
from tidings.nats.wire import subject_matches

from .options import NatsDestination
from .subjects import SubjectPattern

if TYPE_CHECKING:  # services are loaded by who has one
    from tidings.nats.services import ServiceConfig

__all__ = ["REQUEST_SCHEMA", "RESPONSE_SCHEMA", "EndpointSubscriber", "NatsEndpoint"]

REQUEST_SCHEMA = "request_schema"
"""Metadata of an endpoint: the JSON schema of its requests."""
RESPONSE_SCHEMA = "response_schema"
"""… of its answers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NatsEndpoint(Source):
    """An endpoint of a service: it answers requests, and is found by `tidings.nats`'s and others' discovery.

    Attributes:
        name: letters, digits, ``-`` and ``_``.
        service: the name of the service, or its `ServiceConfig` with a description, metadata and handlers;
            all endpoints of a name make one service.
        version: of the service: "1.0.0". One of its endpoints says it, or its `ServiceConfig`.
        subject: what to listen to; may hold wildcards, and named parts for `Path`. Empty is the name.
        group: first tokens of the subject.
        queue_group: None for that of the service, which is "q"; an empty text for none: then each instance
            gets each request.
        metadata: text by text, shown by discovery, beside the JSON schemas of requests and answers.
        pending_msgs_limit: requests held while the handler is busy; more are dropped, which is logged. 0 is
            no limit.
        pending_bytes_limit: bytes of payload held likewise.
    """

    name: str = field(kw_only=False)
    service: str | ServiceConfig
    version: str = ""
    subject: str = ""
    group: str = ""
    queue_group: str | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)
    pending_msgs_limit: int = DEFAULT_LIMITS.msgs
    pending_bytes_limit: int = DEFAULT_LIMITS.bytes

    @property
    def channel(self) -> str:
        """The subject as it is written, with that of the group."""
        last = self.subject or self.name
        return f"{self.group}.{last}" if self.group else last

    @property
    def pattern(self) -> SubjectPattern:
        """The subject, read. SetupError for one that is none."""
        return SubjectPattern.parse(self.channel)

    @property
    def path_names(self) -> Collection[str]:
        """The named parts of the subject."""
        return [name for name, _ in self.pattern.names]

    def takes(self, destination: Destination) -> bool:
        """Whether the subject of `destination` matches."""
        return isinstance(destination, NatsDestination) and subject_matches(
            self.pattern.subject, destination.subject
        )

    def check(self) -> None:
        """Refuse options that cannot work. SetupError."""
        Source.check(self)
        if self.no_reply:
            raise SetupError(f"no_reply of endpoint {self.name!r}: an endpoint answers; use subscriber()")
        if self.version and not isinstance(self.service, str):
            raise SetupError(
                f"version of endpoint {self.name!r}, and a config of its service: put it into that"
            )
        if isinstance(self.service, str) and self.version:
            self.config()

    def config(self) -> ServiceConfig:
        """The service that it declares. SetupError for one that cannot be."""
        if not isinstance(self.service, str):
            return self.service
        from tidings.nats.services import ServiceConfig

        try:
            return ServiceConfig(self.service, self.version)
        except Error as error:
            raise SetupError(f"endpoint {self.name!r}: {error}") from error


class EndpointSubscriber(Subscriber):
    """Gives the requests of an endpoint to a handler; made by `NatsBroker.endpoint`."""

    source: NatsEndpoint

    def described(self, handler: Callable[..., Any]) -> NatsEndpoint:
        """The endpoint with the schemas of the handler in its metadata; what is given there comes first."""
        schemas = schemas_for(handler, self.broker, self.source)
        found = {REQUEST_SCHEMA: schemas.request, RESPONSE_SCHEMA: schemas.response}
        texts = {name: json.dumps(schema) for name, schema in found.items() if schema is not None}
        return replace(self.source, metadata={**texts, **self.source.metadata})
