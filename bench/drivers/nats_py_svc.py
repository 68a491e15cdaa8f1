"""nats-py's micro: a handler must be a coroutine function, which responds."""

import nats.micro
from nats.aio.client import Client
from nats.micro.request import Request

from bench.drivers.nats_py_client import address, connect

MODULE = "nats.micro"

__all__ = ["MODULE", "address", "connect", "serve"]


async def serve(client: Client, subject: str) -> None:
    async def echo(request: Request) -> None:
        await request.respond(request.data)

    service = await nats.micro.add_service(client, name="bench", version="1.0.0")
    await service.add_endpoint(name="echo", handler=echo, subject=subject)
