"""tidings, answering as a service of ADR-32: a plain handler whose result is the answer."""

from bench.drivers.tidings_client import address, connect
from tidings.nats import Client
from tidings.nats.services import Request

MODULE = "tidings.nats.services"

__all__ = ["MODULE", "address", "connect", "serve"]


async def serve(client: Client, subject: str) -> None:
    def echo(request: Request) -> bytes:
        return request.data

    service = await client.add_service("bench", "1.0.0")
    await service.add_endpoint("echo", echo, subject=subject)
