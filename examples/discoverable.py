"""A service that others find: two instances of it share the requests, one stops, and none is lost.

usage: python -m examples.discoverable [--requests N]

The service knows its models only; who calls it finds by discovery where it is, what it takes and how it is
doing.
"""

import argparse
import asyncio
import json
import logging
import sys

from pydantic import BaseModel

from tidings.brokers.nats import NatsBroker
from tidings.nats import Client, connect
from tidings.nats.server import NatsServer
from tidings.nats.services import ServiceConfig, ServiceError

CALLERS = 8
SERVICE = ServiceConfig("greeter", "1.0.0", description="greets people", metadata={"team": "front desk"})


class Person(BaseModel):
    name: str
    visits: int = 1


class Greeting(BaseModel):
    text: str


async def greet(person: Person) -> Greeting:
    again = " again" if person.visits > 1 else ""
    return Greeting(text=f"Hello{again}, {person.name}")


def instance(url: str) -> NatsBroker:
    broker = NatsBroker(url, log_level=logging.DEBUG)
    broker.endpoint("greet", service=SERVICE, group="greeter", workers=4)(greet)
    return broker


async def find(client: Client) -> str:
    """The subject of the endpoint, as discovery has it."""
    instances = await client.services().info("greeter")
    (endpoint,) = instances[0].endpoints
    takes = json.loads(endpoint.metadata["request_schema"])["properties"]
    print(f"{len(instances)} instances of {instances[0].name} {instances[0].version}: {endpoint.subject}")
    print(f"takes {', '.join(takes)}")
    return endpoint.subject


async def main(requests: int) -> int:
    with NatsServer(durability="fast") as server:
        first, second = instance(server.url), instance(server.url)
        await first.start()
        await second.start()
        async with await connect(server.url) as client:
            services = client.services()
            subject = await find(client)
            numbers = iter(range(requests))
            greeted = 0

            async def call() -> None:
                nonlocal greeted
                for number in numbers:
                    reply = await services.request(
                        subject, json.dumps({"name": f"guest {number}"}), timeout=10
                    )
                    assert Greeting.model_validate_json(reply.data).text == f"Hello, guest {number}"
                    greeted += 1
                    if greeted == requests // 2:
                        await first.stop()

            await asyncio.gather(*(call() for _ in range(CALLERS)))
            try:
                await services.request(subject, b'{"visits": 1}', timeout=10)
            except ServiceError as error:
                print(f"refused: {error}")
            (left,) = await services.stats("greeter")
            (stats,) = left.endpoints
            print(f"greeted {greeted} of {requests}, errors of the instance that is left {stats.num_errors}")
            shared = 0 < stats.num_requests - stats.num_errors < requests
        await second.stop()
    return 0 if greeted == requests and shared else 1


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--requests", type=int, default=1000)
    sys.exit(asyncio.run(main(parser.parse_args().requests)))
