"""A cluster of three with a system account, and an account of its users."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import pytest

from tidings.nats.server import NatsServer
from tidings.nats.server.readiness import free_port

CONFIG = """
accounts {{
  A {{ users = [{{ user: a, password: a }}], jetstream: enabled }}
  SYS {{ users = [{{ user: s, password: s }}] }}
}}
system_account: SYS
server_name: n{number}
server_tags: ["zone:{number}"]
cluster {{ name: three, listen: "127.0.0.1:{port}", routes: [{routes}] }}
"""


@pytest.fixture(scope="module")
def three() -> Iterator[list[NatsServer]]:
    ports = [free_port() for _ in range(3)]
    routes = ", ".join(f'"nats://127.0.0.1:{port}"' for port in ports)
    servers = [
        NatsServer(
            token=False,
            durability="fast",
            config=CONFIG.format(number=number, port=port, routes=routes),
        )
        for number, port in enumerate(ports)
    ]
    with ExitStack() as stack, ThreadPoolExecutor() as pool:
        for server in servers:
            stack.callback(server.stop)
        for started in [pool.submit(server.start) for server in servers]:
            started.result()
        yield servers


def url(server: NatsServer, user: str = "s") -> str:
    return f"nats://{user}:{user}@{server.host}:{server.port}"
