"""NATS does what every broker does: its subjects, and its streams."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from tests.brokers.conformance import Answering, Conformance, Reconnecting, Retrying, Settling
from tests.brokers.harness import Harness
from tests.proxy import Proxy
from tidings.brokers.nats import NatsBroker, Pull, Push
from tidings.nats import Client, connect
from tidings.nats.jetstream import StreamConfig


class OnNats(Harness):
    @pytest.fixture(autouse=True)
    def _server(self, nats_url: str) -> None:
        self.url = nats_url

    def broker(self, **options: Any) -> NatsBroker:
        return NatsBroker(self.url, **options)

    def is_closed(self, client: Client) -> bool:
        return client.is_closed

    @asynccontextmanager
    async def cut_off(self) -> AsyncIterator[tuple[NatsBroker, Callable[[], object]]]:
        async with Proxy(self.url) as proxy:
            yield NatsBroker(proxy.url, reconnect_time_wait=0.01, max_reconnect_attempts=-1), proxy.cut


class TestCore(OnNats, Conformance, Answering, Retrying, Reconnecting):
    pass


class TestStreams(OnNats, Conformance, Retrying, Settling, Reconnecting):
    @pytest.fixture(autouse=True)
    def _stream(self, _server: None, _names_of_its_own: None) -> None:
        async def make() -> None:
            async with await connect(self.url) as client:
                config = StreamConfig(name=self.name, subjects=[f"{self.name}.>"])
                await client.jetstream().create_stream(config)

        asyncio.run(make())

    def subscriber(self, broker: Any, name: str, *, queue: str = "", **options: Any) -> Any:
        pull = Pull(batch=max(5, options["batch"].size if "batch" in options else 0))
        return broker.subscriber(self.address(name), stream=self.name, durable=queue, pull=pull, **options)

    def publisher(self, broker: Any, name: str, **options: Any) -> Any:
        return broker.publisher(self.address(name), stream=self.name, **options)

    async def publish(self, broker: Any, value: Any, name: str, **options: Any) -> None:
        await broker.publish(value, self.address(name), stream=self.name, **options)


class TestPushed(TestStreams):
    def subscriber(self, broker: Any, name: str, *, queue: str = "", **options: Any) -> Any:
        push = Push()
        return broker.subscriber(
            self.address(name), stream=self.name, durable=queue, queue=queue, push=push, **options
        )
