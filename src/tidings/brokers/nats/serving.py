"""The services that a broker's endpoints make up, and their requests as handlers see them."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from tidings.messaging.errors import SetupError
from tidings.nats import Client, DrainTimeoutError, Error
from tidings.nats.services import Endpoint, Request, Service, ServiceConfig, ServiceConfigError, ServiceError

from .errors import translated
from .message import NatsMessage

if TYPE_CHECKING:
    from tidings.messaging.adapter import Handle

    from .endpoints import NatsEndpoint

__all__ = ["NatsRequestMessage", "Serving"]


class NatsRequestMessage(NatsMessage):
    """One request to an endpoint; `raw` is the client's, see `tidings.nats.services.Request`."""

    __slots__ = ()

    native_type = Request  # type: ignore[assignment]
    raw: Request  # type: ignore[assignment]  # it has of Msg what is shown here

    def note_error(self, code: str, description: str) -> None:
        """Count that it is answered with an error."""
        self.raw.count_error(code, description)


class Serving:
    """The services of one adapter: one for each name, as long as it has endpoints.

    Args:
        client: what they run on.
    """

    def __init__(self, client: Client) -> None:
        self._client = client
        self._services: dict[str, Service] = {}

    async def add(self, source: NatsEndpoint, handle: Handle) -> Endpoint:
        """Answer the requests of an endpoint, as part of its service, which is made where there is none.

        Raises:
            SetupError: it cannot be, or says something else of its service than another endpoint.
            BrokerConnectionError, PublishError: the server does not take it.
        """

        async def answer(request: Request) -> None:
            if await handle(request) is False and not request.reply:
                # One with a reply is told, and counted then.
                raise ServiceError(500, "the handler failed")

        try:
            service = await self._service_of(source)
            return await service.add_endpoint(
                source.name,
                answer,
                subject=source.pattern.subject,
                queue_group=source.queue_group,
                metadata=source.metadata,
                workers=source.workers,
                pending_msgs_limit=source.pending_msgs_limit,
                pending_bytes_limit=source.pending_bytes_limit,
            )
        except ServiceConfigError as error:
            raise SetupError(f"endpoint {source.name!r}: {error}") from error
        except Error as error:
            raise translated(error) from error

    async def leave(self, timeout: float) -> None:
        """End the services that have no endpoint any more."""
        for name, service in list(self._services.items()):
            if not service.endpoints:
                del self._services[name]
                with suppress(DrainTimeoutError):  # of discovery, which nobody waits for
                    await service.stop(timeout)

    async def _service_of(self, source: NatsEndpoint) -> Service:
        name = source.service if isinstance(source.service, str) else source.service.name
        service = self._services.get(name)
        if service is None or service.is_stopped:
            self._services[name] = service = await self._start(source.config())
        elif isinstance(source.service, ServiceConfig) or source.version:
            self._check_same(service, source)
        return service

    async def _start(self, config: ServiceConfig) -> Service:
        service = Service(self._client, config)
        await service.start()
        return service

    def _check_same(self, service: Service, source: NatsEndpoint) -> None:
        declared = source.config()
        is_same = (
            declared.version == service.version
            if isinstance(source.service, str)
            else declared == service.config
        )
        if not is_same:
            raise SetupError(
                f"endpoint {source.name!r} says something else of service {service.name!r} than another one: "
                "declare it once as ServiceConfig, and give that to all"
            )
