"""What chaos happens to: a cluster of three with TLS and expiring credentials, all of it behind proxies."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import signal
import tempfile
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.certificates import Authority
from tests.identities import Key, Operator
from tests.proxy import Proxy

from tidings.nats import AuthorizationError, Client, TLSOptions, connect
from tidings.nats.server import NatsServer
from tidings.nats.server.readiness import free_port

__all__ = ["KINDS", "Field"]

# The kinds of faults and how often each is drawn; credentials expire by themselves.
KINDS = {"cut": 6, "delay": 3, "deaf": 3, "kill": 2, "routes": 1, "certificate": 1}

OPTIONS: dict[str, Any] = {
    "max_reconnect_attempts": -1,
    "reconnect_time_wait": 0.02,
    "max_reconnect_wait": 0.2,
    "reconnect_jitter": 0.02,
    "connect_timeout": 0.5,
    "ping_interval": 0.2,
    "max_outstanding_pings": 2,
    "ignore_discovered_servers": True,  # they are reached by no proxy
    "ignore_auth_error_abort": True,
}
# Seconds for which a JWT is good, from and to.
GOOD_FOR = (2, 6)
# Seconds. Shorter losses of the routes a consumer could fail to notice, see `Consumer.prove`.
ROUTES_AWAY = 0.4


class Field:
    """Three servers, each with a proxy for its client and one for the routes to it.

    Args:
        rng: draws the faults.
        faults: counts them by kind.
    """

    def __init__(self, rng: random.Random, faults: dict[str, int]) -> None:
        self._rng = rng
        self._faults = faults
        self._stack = contextlib.AsyncExitStack()
        self._operator = Operator()
        self.servers: list[NatsServer] = []
        self.proxies: list[Proxy] = []
        self._between: list[Proxy] = []

    async def __aenter__(self) -> Self:
        async with contextlib.AsyncExitStack() as stack:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="tidings-chaos-")))
            self._authority, self._stranger = Authority(folder), Authority(folder, "a stranger")
            self._certificates = [self._authority.issue("127.0.0.1") for _ in range(3)]
            ports = [free_port() for _ in range(3)]
            for port in ports:
                self._between.append(await stack.enter_async_context(Proxy(f"nats://127.0.0.1:{port}")))
            for number, port in enumerate(ports):
                server = NatsServer(jetstream=False, token=False, config=self._config(number, port))
                self.servers.append(await stack.enter_async_context(server))
                url = server.url.replace("nats://", "tls://")
                self.proxies.append(await stack.enter_async_context(Proxy(url)))
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    def _config(self, number: int, port: int) -> str:
        own, proxy = self._certificates[number], self._between[number]
        routes = ", ".join(f'"nats://127.0.0.1:{other.port}"' for other in self._between[:number])
        return (
            f'{self._operator.config}\nserver_name: n{number}\nping_interval: "1s"\n'
            f'tls {{ cert_file: "{own.cert}", key_file: "{own.key}" }}\n'
            f'cluster {{ name: chaos, listen: "127.0.0.1:{port}", '
            f'advertise: "127.0.0.1:{proxy.port}", routes: [{routes}] }}\n'
        )

    async def open_client(
        self, number: int, lost: Callable[[], object], back: Callable[[], object]
    ) -> Client:
        """A client of that server, whose credentials expire again and again."""
        key = Key()

        def jwt() -> str:
            return self._operator.user(key, seconds=self._rng.randint(*GOOD_FOR))

        def note(error: Exception) -> None:
            if isinstance(error, AuthorizationError) and "expired" in str(error).lower():
                self._count("credentials")

        return await connect(
            self.proxies[number].url,
            tls=TLSOptions(ca_file=self._authority.ca),
            user_jwt_cb=jwt,
            nkeys_seed_str=key.seed,
            disconnected_cb=lost,
            reconnected_cb=back,
            error_cb=note,
            **OPTIONS,
        )

    async def inject(self, ending: asyncio.Event) -> None:
        """One fault after the other, with a breath in between."""
        while not ending.is_set():
            kind = self._rng.choices(list(KINDS), list(KINDS.values()))[0]
            self._count(kind)
            await getattr(self, f"_{kind}")(self._rng.randrange(3))
            await asyncio.sleep(self._rng.uniform(0.05, 0.4))

    def _count(self, kind: str) -> None:
        self._faults[kind] = self._faults.get(kind, 0) + 1

    async def _last(self) -> None:
        await asyncio.sleep(self._rng.uniform(0.05, 0.8))

    async def _cut(self, number: int) -> None:
        self.proxies[number].cut()

    async def _delay(self, number: int) -> None:
        seconds, direction = self._rng.uniform(0.005, 0.05), self._rng.choice(["both", "up", "down"])
        with self.proxies[number].delayed(seconds, direction):
            await self._last()

    async def _deaf(self, number: int) -> None:
        with self.proxies[number].deaf(self._rng.choice(["both", "up", "down"])):
            await self._last()

    async def _kill(self, number: int) -> None:
        await asyncio.to_thread(self.servers[number].kill)
        await asyncio.to_thread(self.servers[number].restart)

    async def _routes(self, number: int) -> None:
        """All of them: each server is alone for a while."""
        async with contextlib.AsyncExitStack() as away:
            for proxy in self._between:
                await away.enter_async_context(proxy.away())
            await asyncio.sleep(ROUTES_AWAY)
            await self._last()

    async def _certificate(self, number: int) -> None:
        """One that nobody trusts, and after a while one that all do."""
        for authority in (self._stranger, self._authority):
            authority.issue("127.0.0.1", into=self._certificates[number])
            if (pid := self.servers[number].pid) is not None:
                os.kill(pid, signal.SIGHUP)
            await asyncio.sleep(0.1)
            self.proxies[number].cut()
            if authority is self._stranger:
                await self._last()
