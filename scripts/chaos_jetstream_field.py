"""What chaos around a stream happens to: a cluster of three with routes to cut, clients behind proxies."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import random
import secrets
from collections.abc import Awaitable, Callable, Sequence
from types import TracebackType
from typing import Any, Protocol, Self, TypeVar

from tests.proxy import Proxy

from tidings.nats import Client, Error, connect
from tidings.nats.jetstream import Stream
from tidings.nats.server import NatsServer
from tidings.nats.server.readiness import free_port

__all__ = ["KINDS", "Cluster", "Faults", "Line", "ReadingVictim", "Victim", "persistently"]

# The kinds of faults and how often each is drawn.
KINDS = {
    "leader killed": 2,
    "leader moved": 4,
    "follower partitioned": 2,
    "server restarted": 1,
    "connection cut": 2,
    "cut in a fetch": 3,
    "cut in a window": 3,
    "reader's consumer deleted": 3,
}

OPTIONS: dict[str, Any] = {
    "max_reconnect_attempts": -1,
    "reconnect_time_wait": 0.02,
    "max_reconnect_wait": 0.2,
    "reconnect_jitter": 0.02,
    "connect_timeout": 0.5,
    "ping_interval": 0.5,
    "max_outstanding_pings": 2,
    "ignore_discovered_servers": True,  # they are reached by no proxy
    "error_cb": lambda error: None,
}
# Seconds that a fault waits for its moment, as the middle of a fetch.
_MOMENT = 1.0
# Seconds that a new leader may take.
_ELECTION = 45.0

T = TypeVar("T")


async def persistently(call: Callable[[], Awaitable[T]]) -> T:
    """What `call` gives once there is a leader to answer."""
    async with asyncio.timeout(_ELECTION):
        while True:
            try:
                return await call()
            except Error:
                await asyncio.sleep(0.1)


class Line:
    """The way of one client to the cluster: a proxy for each server."""

    def __init__(self, proxies: list[Proxy]) -> None:
        self._proxies = proxies

    async def open_client(self) -> Client:
        """A client that knows all servers, and begins with any of them."""
        return await connect([proxy.url for proxy in self._proxies], **OPTIONS)

    def cut(self) -> None:
        """Reset its connection."""
        for proxy in self._proxies:
            proxy.cut()


class Cluster:
    """Three servers with JetStream on disk; from each to each other through a proxy of its own."""

    def __init__(self) -> None:
        self._stack = contextlib.AsyncExitStack()
        self._between: dict[tuple[int, int], Proxy] = {}
        self.servers: list[NatsServer] = []

    async def __aenter__(self) -> Self:
        async with contextlib.AsyncExitStack() as stack:
            token, ports = secrets.token_urlsafe(24), [free_port() for _ in range(3)]
            for one, other in itertools.permutations(range(3), 2):
                proxy = Proxy(f"nats://127.0.0.1:{ports[other]}")
                self._between[one, other] = await stack.enter_async_context(proxy)
            for number, port in enumerate(ports):
                config = self._config(number, port)
                self.servers.append(NatsServer(token=token, durability="fast", config=config))
            await asyncio.gather(*(stack.enter_async_context(server) for server in self.servers))
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    def _config(self, number: int, port: int) -> str:
        own = [proxy for (one, _), proxy in self._between.items() if one == number]
        routes = ", ".join(f'"nats://127.0.0.1:{proxy.port}"' for proxy in own)
        # Nobody listens at what is advertised: routes are those above, and no other.
        return (
            f'server_name: n{number}\nping_interval: "1s"\n'
            f'cluster {{ name: chaos, listen: "127.0.0.1:{port}", advertise: "127.0.0.1:1", '
            f"routes: [{routes}] }}\n"
        )

    async def line(self) -> Line:
        """A way to the cluster for one more client."""
        proxies = [Proxy(server.url) for server in self.servers]
        for proxy in proxies:
            await self._stack.enter_async_context(proxy)
        return Line(proxies)

    @contextlib.asynccontextmanager
    async def alone(self, number: int) -> Any:
        """That server has no route to the others until the end of the block; clients reach it."""
        async with contextlib.AsyncExitStack() as away:
            for pair, proxy in self._between.items():
                if number in pair:
                    await away.enter_async_context(proxy.away())
            yield


class Victim(Protocol):
    """Who works on the stream."""

    line: Line

    @property
    def is_in_the_middle(self) -> bool:
        """Whether it waits for something of the server now."""
        ...


class ReadingVictim(Victim, Protocol):
    """Who reads from a consumer."""

    consumer_name: str


class Faults:
    """Draws faults and makes them happen.

    Args:
        rng: draws them.
        counted: how many happened, by kind.
        cluster: where.
        stream: what is asked where the leader is, over a client that no fault is meant for.
        fetching, publishing: who is cut in the middle of that.
        readers: their consumers are deleted now and then.
        others: who is cut as well.
    """

    def __init__(
        self,
        rng: random.Random,
        counted: dict[str, int],
        cluster: Cluster,
        stream: Stream,
        *,
        fetching: Victim,
        publishing: Victim,
        readers: Sequence[ReadingVictim],
        others: Sequence[Victim],
    ) -> None:
        self._rng = rng
        self._counted = counted
        self._cluster = cluster
        self._stream = stream
        self._fetching = fetching
        self._publishing = publishing
        self._others = others
        self._readers = readers

    async def inject(self, ending: asyncio.Event) -> None:
        """One after the other, with a breath in between."""
        steps = {
            "leader killed": self._kill,
            "leader moved": self._move,
            "follower partitioned": self._partition,
            "server restarted": self._restart,
            "connection cut": self._cut,
            "cut in a fetch": lambda: self._cut_in_the_middle(self._fetching),
            "cut in a window": lambda: self._cut_in_the_middle(self._publishing),
            "reader's consumer deleted": self._delete,
        }
        while not ending.is_set():
            kind = self._rng.choices(list(KINDS), list(KINDS.values()))[0]
            with contextlib.suppress(Error, TimeoutError):  # no leader to ask, or the moment did not come
                if await steps[kind]():
                    self._counted[kind] = self._counted.get(kind, 0) + 1
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(ending.wait(), self._rng.uniform(0.05, 0.6))

    async def _kill(self) -> bool:
        server = self._cluster.servers[await self._leader()]
        await asyncio.to_thread(server.kill)
        await asyncio.sleep(self._rng.uniform(0, 0.5))
        await asyncio.to_thread(server.restart)
        return True

    async def _move(self) -> bool:
        if self._rng.random() < 0.5:
            await self._stream.step_down()
        else:
            await self._stream.step_down_consumer(self._rng.choice(self._readers).consumer_name)
        return True

    async def _partition(self) -> bool:
        leader = await self._leader()
        follower = self._rng.choice([number for number in range(3) if number != leader])
        async with self._cluster.alone(follower):
            await asyncio.sleep(self._rng.uniform(0.2, 2.5))
        return True

    async def _restart(self) -> bool:
        await asyncio.to_thread(self._rng.choice(self._cluster.servers).restart)
        return True

    async def _cut(self) -> bool:
        self._rng.choice(self._others).line.cut()
        return True

    async def _cut_in_the_middle(self, victim: Victim) -> bool:
        async with asyncio.timeout(_MOMENT):
            while not victim.is_in_the_middle:  # noqa: ASYNC110  # it has no time for events
                await asyncio.sleep(0.001)
        victim.line.cut()
        return True

    async def _delete(self) -> bool:
        await self._stream.delete_consumer(self._rng.choice(self._readers).consumer_name)
        return True

    async def _leader(self) -> int:
        cluster = (await self._stream.info()).cluster
        name = cluster.leader if cluster is not None else ""
        if not name:
            raise Error("the stream has no leader now")
        return int(name.removeprefix("n"))
