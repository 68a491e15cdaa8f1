"""`nats.micro`: nats-py's services over ours."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from tidings.nats.compat.aio.client import Client
from tidings.nats.compat.micro.config import ServiceConfig
from tidings.nats.compat.micro.request import Handler, Request
from tidings.nats.compat.micro.service import Service

__all__ = ["Handler", "Request", "Service", "ServiceConfig", "add_service"]


async def add_service(nc: Client, config: ServiceConfig | None = None, **kwargs: Any) -> Service:
    """Start a service."""
    service = Service(nc, replace(config, **kwargs) if config else ServiceConfig(**kwargs))
    await service.start()
    return service
