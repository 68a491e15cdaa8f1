"""`NatsServer`, one server that ends with this program, and `NatsCluster`, several of them."""

from __future__ import annotations

import atexit
import os
import secrets
import shutil
import threading
import time
from pathlib import Path
from typing import Literal
from urllib.parse import quote

from tidings.nats.server.errors import PortInUseError, StartTimeoutError
from tidings.nats.server.folder import open_folder
from tidings.nats.server.launch import Run, launch
from tidings.nats.server.lifecycle import Lifecycle
from tidings.nats.server.options import HOST, Durability, ServerOptions, quoted
from tidings.nats.server.readiness import Listeners, free_port, illness

__all__ = ["NatsCluster", "NatsServer"]

_CLUSTER_TRIES = 3
_HEALTH_POLL = 0.02

_unstopped: set[NatsServer] = set()


class NatsServer(Lifecycle):
    """A nats-server process on a port of 127.0.0.1, which ends with this program.

    Used as ``with NatsServer() as server`` or ``async with NatsServer() as server``, or by `start`
    and `stop`. The methods block (``async with`` runs them in a thread); any thread may call them.

    Args:
        store_dir: folder for JetStream, config and log, made where missing; it stays, and serves
            one server at a time. None: a private temporary folder, removed at stop.
        port: 0 picks a free one at each start; `restart` keeps it.
        binary: the nats-server to run; None takes the variable TIDINGS_NATS_SERVER, else the one
            of this Python environment, else the one on PATH.
        jetstream: whether JetStream is on.
        durability: "sync" has JetStream sync to disk before it acknowledges; "fast" has it sync
            every two minutes, so that a power cut may lose what was acknowledged.
        token: what clients must show; None makes a random one, False asks for none (for a
            ``config`` with users of its own).
        config: more nats-server config, put after ours. Relative paths in it count from this
            program's working directory.

    Raises:
        ValueError: an option is out of range, or ``config`` and ``token`` contradict each other.
    """

    def __init__(
        self,
        store_dir: str | os.PathLike[str] | None = None,
        *,
        port: int = 0,
        binary: str | os.PathLike[str] | None = None,
        jetstream: bool = True,
        durability: Durability = "sync",
        token: str | Literal[False] | None = None,
        config: str = "",
    ) -> None:
        if token is None:
            token = secrets.token_urlsafe(24)
        self.options = ServerOptions(
            store_dir=None if store_dir is None else Path(store_dir).expanduser().absolute(),
            port=port,
            binary=binary,
            jetstream=jetstream,
            durability=durability,
            token=None if token is False else token,
            config=config,
        )
        self._lock = threading.RLock()
        self._owner = os.getpid()
        self._folder = self.options.store_dir
        self._port = port
        self._run: Run | None = None

    @staticmethod
    def cluster(
        size: int = 3,
        *,
        store_dir: str | os.PathLike[str] | None = None,
        binary: str | os.PathLike[str] | None = None,
        durability: Durability = "sync",
        config: str = "",
    ) -> NatsCluster:
        """Several servers that form a JetStream cluster, for tests; see `NatsCluster`."""
        return NatsCluster(size, store_dir=store_dir, binary=binary, durability=durability, config=config)

    def __repr__(self) -> str:
        state = f"pid {self.pid}" if self.running else "not running"
        return f"<NatsServer {self.host}:{self.port} {state}>"

    @property
    def running(self) -> bool:
        """Whether the process runs."""
        return self.pid is not None

    @property
    def pid(self) -> int | None:
        """The server's process id, None while it does not run."""
        run = self._run
        if run is None or run.process.ended.is_set() or self._owner != os.getpid():
            return None
        return run.process.pid

    @property
    def host(self) -> str:
        """The address it listens on."""
        return HOST

    @property
    def port(self) -> int:
        """The port it listens on or last did; before the first start the one asked for."""
        return self._port

    @property
    def token(self) -> str | None:
        """The token that clients must show, None where none is asked for. A secret."""
        return self.options.token

    @property
    def url(self) -> str:
        """Where clients connect, the token in it. A secret.

        Raises:
            RuntimeError: no port is known, as the server was not started yet.
        """
        if not self._port:
            raise RuntimeError("the server has no port before its first start(); start it first")
        user = f"{quote(self.token, safe='')}@" if self.token else ""
        return f"nats://{user}{self.host}:{self._port}"

    @property
    def store_dir(self) -> Path | None:
        """The folder it works in; a temporary one is None while the server is stopped."""
        return self._folder

    @property
    def listeners(self) -> Listeners:
        """The addresses by kind ("nats", "monitoring", "websocket" …), as the server told them.

        What ``config`` puts on port -1 gets a free port from the server, and is found here.
        """
        run = self._run
        return {} if run is None else run.listeners

    def start(self, timeout: float = 10.0) -> None:
        """Starts the server and returns when it answers; does nothing where it runs.

        Args:
            timeout: seconds until a server that does not answer is given up and stopped.

        Raises:
            ServerStartError: it could not be started; the subclass and the message say why.
        """
        with self._lock:
            self._forget_after_fork()
            if self.running:
                return
            try:
                self._start(self.options.port, timeout)
            except BaseException:
                self.stop()
                raise

    def stop(self, timeout: float = 5.0) -> None:
        """Stops the server and removes its temporary folder; does nothing where it is stopped.

        Args:
            timeout: seconds the server has to end by itself before it is killed.

        Raises:
            TimeoutError: the kernel did not let it end.
        """
        with self._lock:
            self._forget_after_fork()
            self._end(timeout)
            if self.options.store_dir is None and self._folder is not None:
                shutil.rmtree(self._folder, ignore_errors=True)
                self._folder = None
            _unstopped.discard(self)

    def kill(self) -> None:
        """Kills the server (SIGKILL), as a crash would; its data stays for `restart`.

        Raises:
            TimeoutError: the kernel did not let it end.
        """
        with self._lock:
            self._forget_after_fork()
            if self._run is not None:
                self._run.process.kill()

    def restart(self, timeout: float = 10.0) -> None:
        """Starts the server again on its port and folder, stopping it first where it runs.

        Args:
            timeout: seconds for the start, as in `start`.

        Raises:
            ServerStartError: it could not be started; it is not running then, its data stays.
        """
        with self._lock:
            self._forget_after_fork()
            self._end(timeout)
            self._start(self._port, timeout)

    def _start(self, port: int, timeout: float) -> None:
        # Registered first: whatever interrupts the rest, the exit of the program cleans up.
        _unstopped.add(self)
        self._folder = open_folder(self._folder)
        self._run = launch(self.options, self._folder, port, timeout)
        self._port = self._run.port

    def _end(self, timeout: float) -> None:
        if self._run is not None:
            self._run.process.stop(timeout)
            self._run = None

    def _forget_after_fork(self) -> None:
        """Leaves the server and its folder to the process that started them."""
        if self._owner != os.getpid():
            self._owner = os.getpid()
            self._folder = self.options.store_dir
            self._run = None


class NatsCluster(Lifecycle):
    """Several servers on this machine that form a JetStream cluster, for tests.

    ``with NatsServer.cluster(3) as cluster`` is ready when it has a leader and takes streams with
    replicas. ``cluster.servers[0].kill()`` and ``.restart()`` try faults; `wait_ready` waits until
    all servers that run are in touch again.

    Args:
        size: how many servers.
        store_dir: folder for a folder of each server; None: temporary ones, removed at stop.
        binary, durability, config: as in `NatsServer`, for each server.
    """

    def __init__(
        self,
        size: int,
        *,
        store_dir: str | os.PathLike[str] | None,
        binary: str | os.PathLike[str] | None,
        durability: Durability,
        config: str,
    ) -> None:
        if size < 2:
            raise ValueError(f"a cluster has at least 2 servers, not {size}; NatsServer() is one")
        self.servers: list[NatsServer] = []
        self._size = size
        self._folder = None if store_dir is None else Path(store_dir)
        self._binary = binary
        self._durability: Durability = durability
        self._config = config
        self._token = secrets.token_urlsafe(24)
        self._lock = threading.RLock()

    def __repr__(self) -> str:
        return f"<NatsCluster {self.servers!r}>"

    @property
    def urls(self) -> list[str]:
        """Where clients connect, one URL a server, the token in each. Secrets."""
        return [server.url for server in self.servers]

    def start(self, timeout: float = 30.0) -> None:
        """Starts the servers and returns when the cluster is ready; does nothing if all run.

        Args:
            timeout: seconds until it is given up and stopped.

        Raises:
            ServerStartError: it could not be started; the subclass and the message say why.
        """
        deadline = time.monotonic() + timeout
        with self._lock:
            if self.servers and all(server.running for server in self.servers):
                return
            for tries_left in reversed(range(_CLUSTER_TRIES)):
                self.stop()
                self.servers = self._new_servers()
                try:
                    self._start_all(deadline)
                except PortInUseError:
                    if not tries_left:
                        raise
                else:
                    return

    def _start_all(self, deadline: float) -> None:
        try:
            for server in self.servers:
                server.start(deadline - time.monotonic())
            self.wait_ready(deadline - time.monotonic())
        except BaseException:
            self.stop()
            raise

    def stop(self, timeout: float = 5.0) -> None:
        """Stops the servers and removes their temporary folders.

        Args:
            timeout: seconds each server has to end by itself before it is killed.
        """
        with self._lock:
            for server in self.servers:
                server.stop(timeout)

    def wait_ready(self, timeout: float = 30.0) -> None:
        """Waits until every server that runs is healthy: in touch with the leader, and caught up.

        Args:
            timeout: seconds.

        Raises:
            StartTimeoutError: one was not healthy in time.
        """
        deadline = time.monotonic() + timeout
        # All in one round: who was healthy before an election may have no leader after it.
        while ill := self._ill_servers():
            if time.monotonic() >= deadline:
                why = "; ".join(ill)
                raise StartTimeoutError(f"the cluster is not healthy: {why}", log=why)
            time.sleep(_HEALTH_POLL)

    def _ill_servers(self) -> list[str]:
        """Each server that runs and is not healthy, with the reason."""
        ill = []
        for server in self.servers:
            # Read once: another thread may stop the server meanwhile.
            listeners = server.listeners
            if server.running and listeners and (why := illness(listeners, timeout=1.0)):
                ill.append(f"{server!r}: {why}")
        return ill

    def _new_servers(self) -> list[NatsServer]:
        ports = [free_port() for _ in range(self._size)]
        # Who may join as a route may read everything, so routes have a secret too.
        secret = secrets.token_urlsafe(24)
        routes = ", ".join(quoted(f"nats://route:{secret}@{HOST}:{port}") for port in ports)
        servers = []
        for number, port in enumerate(ports, 1):
            name = f"n{number}"
            config = (
                f"server_name: {name}\n"
                f"http: {quoted(f'{HOST}:-1')}\n"
                "cluster {\n"
                "  name: tidings\n"
                f"  listen: {quoted(f'{HOST}:{port}')}\n"
                f"  routes: [{routes}]\n"
                f"  authorization {{ user: route, password: {quoted(secret)} }}\n"
                "}\n"
            )
            servers.append(
                NatsServer(
                    self._folder and self._folder / name,
                    binary=self._binary,
                    durability=self._durability,
                    token=self._token,
                    config=config + self._config,
                )
            )
        return servers


def _stop_all() -> None:
    for server in list(_unstopped):
        server.stop()


atexit.register(_stop_all)
