"""Our own client without the framework, as the measure of what the framework costs.

The callback is an `async def`, as the handler of the framework is.
"""

from collections.abc import Callable

from bench.workloads.services import SOURCE
from tidings.nats import Client, Msg, connect


async def raw(url: str, handled: Callable[[], None]) -> Client:
    client = await connect(url)

    async def callback(_msg: Msg) -> None:
        handled()

    await client.subscribe(SOURCE, cb=callback)
    await client.flush()
    return client
