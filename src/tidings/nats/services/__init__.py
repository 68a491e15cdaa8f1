"""Services over NATS (ADR-32): endpoints under a name, which others find, watch and call.

::

    async with await client.add_service("calc", "1.0.0") as service:
        await service.add_endpoint("double", lambda request: str(2 * int(request.data)))
"""

from tidings.nats.services.config import Handler
from tidings.nats.services.discovery import Services
from tidings.nats.services.endpoint import Endpoint, StatsHandler
from tidings.nats.services.errors import (
    ERROR_CODE_HEADER,
    ERROR_HEADER,
    EndpointError,
    ServiceConfigError,
    ServiceError,
    ServiceStoppedError,
    error_headers,
)
from tidings.nats.services.groups import Group
from tidings.nats.services.infos import EndpointInfo, EndpointStats, ServiceInfo, ServicePing, ServiceStats
from tidings.nats.services.request import Request
from tidings.nats.services.service import (
    DEFAULT_QUEUE_GROUP,
    DISCOVERY_PREFIX,
    DoneHandler,
    ErrorHandler,
    Service,
    ServiceConfig,
    ServiceOptions,
)

__all__ = [
    "DEFAULT_QUEUE_GROUP",
    "DISCOVERY_PREFIX",
    "ERROR_CODE_HEADER",
    "ERROR_HEADER",
    "DoneHandler",
    "Endpoint",
    "EndpointError",
    "EndpointInfo",
    "EndpointStats",
    "ErrorHandler",
    "Group",
    "Handler",
    "Request",
    "Service",
    "ServiceConfig",
    "ServiceConfigError",
    "ServiceError",
    "ServiceInfo",
    "ServiceOptions",
    "ServicePing",
    "ServiceStats",
    "ServiceStoppedError",
    "Services",
    "StatsHandler",
    "error_headers",
]
