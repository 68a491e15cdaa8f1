"""natsio's micro: a handler responds."""

import natsio.micro

from bench.drivers.natsio_client import address, connect

MODULE = "natsio.micro"

__all__ = ["MODULE", "address", "connect", "serve"]


async def serve(client: natsio.Client, subject: str) -> None:
    async def echo(request: natsio.micro.Request) -> None:
        await request.respond(request.data)

    service = await natsio.micro.add_service(client, name="bench", version="1.0.0")
    await service.add_endpoint("echo", echo, subject=subject)
