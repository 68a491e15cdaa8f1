"""`nats.micro.service`: a service of nats-py over ours."""

from __future__ import annotations

from asyncio import Event
from collections.abc import Awaitable, Callable
from dataclasses import replace
from enum import Enum
from types import TracebackType
from typing import Any, Self, cast

from tidings.nats.compat.aio.client import Client
from tidings.nats.compat.aio.msg import Msg
from tidings.nats.compat.border import translates
from tidings.nats.compat.micro.config import (
    NAME_REGEX,
    SEMVER_REGEX,
    SUBJECT_REGEX,
    EndpointConfig,
    GroupConfig,
    ServiceConfig,
    StatsHandler,
)
from tidings.nats.compat.micro.infos import (
    INFO_RESPONSE_TYPE,
    PING_RESPONSE_TYPE,
    STATS_RESPONSE_TYPE,
    EndpointInfo,
    EndpointStats,
    ServiceIdentity,
    ServiceInfo,
    ServicePing,
    ServiceStats,
)
from tidings.nats.compat.micro.request import Handler, Request, ServiceError
from tidings.nats.services import Endpoint
from tidings.nats.services import EndpointStats as NativeStats
from tidings.nats.services import Request as NativeRequest
from tidings.nats.services import Service as NativeService
from tidings.nats.services import ServiceConfig as NativeConfig

__all__ = [
    "DEFAULT_PREFIX",
    "DEFAULT_QUEUE_GROUP",
    "INFO_RESPONSE_TYPE",
    "NAME_REGEX",
    "PING_RESPONSE_TYPE",
    "SEMVER_REGEX",
    "STATS_RESPONSE_TYPE",
    "SUBJECT_REGEX",
    "Endpoint",
    "EndpointConfig",
    "EndpointInfo",
    "EndpointStats",
    "Group",
    "GroupConfig",
    "Handler",
    "Request",
    "Service",
    "ServiceConfig",
    "ServiceError",
    "ServiceIdentity",
    "ServiceInfo",
    "ServicePing",
    "ServiceStats",
    "ServiceVerb",
    "StatsHandler",
    "control_subject",
]

DEFAULT_QUEUE_GROUP = "q"
DEFAULT_PREFIX = "$SRV"


class ServiceVerb(str, Enum):  # noqa: UP042  # as text a StrEnum would be its value
    """What discovery asks for."""

    PING = "PING"
    STATS = "STATS"
    INFO = "INFO"


class Group:
    """First tokens of the subjects of endpoints."""

    def __init__(self, service: Service, config: GroupConfig) -> None:
        self._service = service
        self._prefix = config.name
        self._queue_group = config.queue_group

    async def add_endpoint(self, config: EndpointConfig | None = None, **kwargs: Any) -> None:
        """Answer requests."""
        config = EndpointConfig(**kwargs) if config is None else replace(config, **kwargs)
        await self._service.add_endpoint(
            config,
            subject=f"{self._prefix.strip('.')}.{config.subject or config.name}".strip("."),
            queue_group=config.queue_group or self._queue_group,
        )

    def add_group(self, config: GroupConfig | None = None, **kwargs: Any) -> Group:
        """A group within this one."""
        config = replace(config, **kwargs) if config else GroupConfig(**kwargs)
        queue_group = config.queue_group or self._queue_group
        return Group(self._service, GroupConfig(f"{self._prefix}.{config.name}", queue_group))


class Service:
    """One instance of a service; an async context manager that starts and stops it."""

    def __init__(self, client: Client, config: ServiceConfig) -> None:
        self._stopped = Event()
        self._queue_group = config.queue_group
        handler = config.stats_handler
        self._native = NativeService(
            client._native,
            NativeConfig(
                config.name,
                config.version,
                config.description or "",
                config.metadata or {},
                config.queue_group or None,
                stats_handler=None if handler is None else _of_endpoint(handler),
                done_handler=lambda service: self._stopped.set(),
            ),
        )
        self._description = config.description
        self._is_started = False

    @property
    def id(self) -> str:
        """What tells it from other instances."""
        return self._native.id

    @property
    def stopped(self) -> Event:
        """Set when it has ended."""
        return self._stopped

    @translates
    async def start(self) -> None:
        """Be found; the second time nothing."""
        if not self._is_started:
            self._is_started = True
            await self._native.start()

    @translates
    async def add_endpoint(self, config: EndpointConfig | None = None, **kwargs: Any) -> None:
        """Answer requests."""
        config = EndpointConfig(**kwargs) if config is None else replace(config, **kwargs)
        await self._native.add_endpoint(
            config.name,
            _answering(config.handler),
            subject=config.subject or None,
            queue_group=config.queue_group or None,
            metadata=config.metadata,
        )

    def add_group(self, config: GroupConfig | None = None, **kwargs: Any) -> Group:
        """A group of endpoints."""
        config = replace(config, **kwargs) if config else GroupConfig(**kwargs)
        return Group(self, replace(config, queue_group=config.queue_group or self._queue_group))

    def stats(self) -> ServiceStats:
        """The counters of its endpoints."""
        found = self._native.stats()
        return ServiceStats(
            id=found.id,
            name=found.name,
            version=found.version,
            started=found.started.replace(tzinfo=None),
            endpoints=[_stats_of(each, each.data) for each in found.endpoints],
            metadata=dict(found.metadata),
        )

    def info(self) -> ServiceInfo:
        """What discovery tells of it."""
        found = self._native.info()
        return ServiceInfo(
            name=found.name,
            id=found.id,
            version=found.version,
            description=self._description,
            endpoints=[
                EndpointInfo(each.name, each.subject, each.queue_group, dict(each.metadata))
                for each in found.endpoints
            ],
            metadata=dict(found.metadata),
        )

    async def reset(self) -> None:
        """Have the endpoints count from zero again."""
        self._native.reset()

    @translates
    async def stop(self) -> None:
        """Take no more requests, and finish those that came."""
        await self._native.stop()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()


class _Served(Request):
    """A request whose error is counted."""

    def __init__(self, native: NativeRequest) -> None:
        super().__init__(cast("Msg", native.msg))
        self._native = native

    async def respond_error(
        self, code: str, description: str, data: bytes = b"", headers: dict[str, str] | None = None
    ) -> None:
        """Answer with an error."""
        self._native.count_error(code, description)
        await super().respond_error(code, description, data, headers)


def _answering(handler: Handler) -> Callable[[NativeRequest], Awaitable[None]]:
    """`handler` for our requests; what it raises is the answer, as nats-py tells it."""

    async def answer(native: NativeRequest) -> None:
        request = _Served(native)
        try:
            await handler(request)
        except Exception as error:
            if not native.reply:
                raise  # nobody to tell: it is counted and reported
            if isinstance(error, ServiceError):
                await request.respond_error(error.code, error.description)
            else:
                await request.respond_error("500", repr(error))

    return answer


def _of_endpoint(handler: StatsHandler) -> Callable[[Endpoint], Any]:
    return lambda endpoint: handler(_stats_of(endpoint, None))


def _stats_of(found: Endpoint | NativeStats, data: Any) -> EndpointStats:
    return EndpointStats(
        name=found.name,
        subject=found.subject,
        queue_group=found.queue_group,
        num_requests=found.num_requests,
        num_errors=found.num_errors,
        processing_time=found.processing_time,
        average_processing_time=found.processing_time // (found.num_requests or 1),
        last_error=found.last_error or None,
        data=data,
    )


def control_subject(
    verb: ServiceVerb, name: str | None = None, id: str | None = None, prefix: str = DEFAULT_PREFIX
) -> str:
    """Where discovery asks: everybody, those of a name, or one instance."""
    return ".".join(part for part in (prefix, verb.value, name, id) if part is not None)
