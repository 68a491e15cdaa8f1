"""A service: endpoints under one name, which others can find (ADR-32)."""

from __future__ import annotations

import asyncio
import inspect
import json
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from types import TracebackType
from typing import Any, Self, TypeAlias, TypedDict

from tidings.nats.core.callbacks import Callbacks, is_coroutine_function, start_task
from tidings.nats.core.connection import Connection
from tidings.nats.core.inbox import new_inbox
from tidings.nats.errors import DrainTimeoutError
from tidings.nats.services.config import EndpointConfig, check_group, check_name, frozen
from tidings.nats.services.endpoint import Endpoint, ServiceSubscription, StatsHandler, ended, listen
from tidings.nats.services.errors import ServiceConfigError, ServiceStoppedError
from tidings.nats.services.groups import Group
from tidings.nats.services.infos import ServiceInfo, ServicePing, ServiceStats
from tidings.nats.wire import Msg

__all__ = [
    "DEFAULT_QUEUE_GROUP",
    "DISCOVERY_PREFIX",
    "DoneHandler",
    "ErrorHandler",
    "Service",
    "ServiceConfig",
    "ServiceOptions",
]

DEFAULT_QUEUE_GROUP = "q"

DISCOVERY_PREFIX = "$SRV"

# How long the error handler has, after the end of a service, for what was reported before.
_PATIENCE = 2.0

ErrorHandler: TypeAlias = "Callable[[Service, Exception], Awaitable[object] | object]"
"""Called with what goes wrong in a service; plain or async."""
DoneHandler: TypeAlias = "Callable[[Service], Awaitable[object] | object]"
"""Called once when a service has ended; plain or async."""

# semver.org, "Is there a suggested regular expression to check a SemVer string?"
_VERSION = re.compile(
    r"(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)"
    r"(?:-((?:0|[1-9]\d*|\d*[a-zA-Z-][0-9a-zA-Z-]*)(?:\.(?:0|[1-9]\d*|\d*[a-zA-Z-][0-9a-zA-Z-]*))*))?"
    r"(?:\+([0-9a-zA-Z-]+(?:\.[0-9a-zA-Z-]+)*))?",
    re.ASCII,
)


@dataclass(frozen=True, slots=True)
class ServiceConfig:
    """A service, before it runs.

    Raises:
        ServiceConfigError: a value that a service cannot have; the text says what to do.

    Attributes:
        name: what kind of service it is; all instances have the same. Letters, digits, ``-`` and ``_``.
        version: in the manner of semver.org: "1.0.0".
        description: for people.
        metadata: text by text, shown by discovery.
        queue_group: of the endpoints that name none; None is "q", an empty text is no group: then each
            instance gets each request.
        stats_handler: see `StatsHandler`.
        error_handler: see `ErrorHandler`; without it errors go to the client's ``error_cb``.
        done_handler: see `DoneHandler`.
    """

    name: str
    version: str
    description: str = ""
    metadata: Mapping[str, str] = field(default_factory=dict, hash=False)
    queue_group: str | None = None
    stats_handler: StatsHandler | None = None
    error_handler: ErrorHandler | None = None
    done_handler: DoneHandler | None = None

    def __post_init__(self) -> None:
        check_name(self.name, "a service")
        if not isinstance(self.version, str) or not _VERSION.fullmatch(self.version):
            raise ServiceConfigError(
                f"the version of service {self.name!r} is like '1.0.0' (semver.org), not {self.version!r}"
            )
        if not isinstance(self.description, str):
            raise ServiceConfigError(f"description is text, not {self.description!r}")
        object.__setattr__(self, "metadata", frozen(self.metadata))
        check_group(self.queue_group)
        for name in ("stats_handler", "error_handler", "done_handler"):
            handler = getattr(self, name)
            if handler is not None and not callable(handler):
                raise ServiceConfigError(f"{name} is a function, not {handler!r}")
        if self.stats_handler is not None and is_coroutine_function(self.stats_handler):
            raise ServiceConfigError("stats_handler is a plain function: `stats` does not wait")


class ServiceOptions(TypedDict, total=False):
    """`ServiceConfig` without name and version as keyword arguments; a test keeps the two alike."""

    description: str
    metadata: Mapping[str, str]
    queue_group: str | None
    stats_handler: StatsHandler | None
    error_handler: ErrorHandler | None
    done_handler: DoneHandler | None


class Service(Group):
    """One instance of a service, which answers requests and discovery. Made by `Client.add_service`.

    As an async context manager it stops at its end. It comes back with the connection, and ends with the
    client.

    Attributes:
        config: as it was given.
        id: of this instance, unique.
        started: when, in UTC.
        connection: the client that it runs on.
    """

    def __init__(self, connection: Connection, config: ServiceConfig) -> None:
        group = DEFAULT_QUEUE_GROUP if config.queue_group is None else config.queue_group
        super().__init__("", group, self._add_endpoint)
        self.connection = connection
        self.config = config
        self.id = new_inbox(config.name).rpartition(".")[2]
        self.started = datetime.now(UTC)
        self._endpoints: list[Endpoint] = []
        self._is_up = False
        self._ending: asyncio.Task[None] | None = None
        self._done = asyncio.Event()
        handler = config.error_handler
        self._callbacks = connection.callbacks if handler is None else Callbacks(partial(handler, self))
        self._discovery = [
            ServiceSubscription(connection, self, subject, "", self._answering(tell))
            for verb, tell in (
                ("PING", self._tell_ping),
                ("INFO", self._tell_info),
                ("STATS", self._tell_stats),
            )
            for subject in self._subjects(verb)
        ]

    def __repr__(self) -> str:
        return f"<Service {self.name!r} {self.version} {self.id}>"

    @property
    def name(self) -> str:
        """What kind of service it is."""
        return self.config.name

    @property
    def version(self) -> str:
        """Its version."""
        return self.config.version

    @property
    def endpoints(self) -> tuple[Endpoint, ...]:
        """Those that listen, in the order they were added."""
        return tuple(self._endpoints)

    @property
    def is_stopped(self) -> bool:
        """Whether it has ended, and the done handler was called."""
        return self._done.is_set()

    async def start(self) -> None:
        """Be found; called once, by whoever makes it. Raises as `add_endpoint`."""
        await listen(self.connection, *self._discovery)
        self._is_up = True

    async def stop(self, timeout: float | None = None) -> None:
        """Take no more requests, finish those that came, then call the done handler.

        Called by a handler of its own, it goes on in the background and returns at once; what goes wrong
        is reported then. Called again, it waits for the end.

        Args:
            timeout: seconds; None takes ``drain_timeout`` of the client's options.

        Raises:
            DrainTimeoutError: not all was handled in time; the handlers that still ran were cancelled.
        """
        current = asyncio.current_task()
        ending = self._ending or self._begin_end(timeout)
        if current is ending:  # the done handler
            return
        if any(current in each.subscription.tasks for each in self._endpoints):
            self.connection.callbacks.notify(self._wait_for_end)
            return
        await asyncio.shield(ending)

    async def stopped(self) -> None:
        """Wait until it has ended, by `stop` or with its client."""
        await self._done.wait()

    def info(self) -> ServiceInfo:
        """What discovery tells of it."""
        return ServiceInfo(
            name=self.name,
            id=self.id,
            version=self.version,
            metadata=self.config.metadata,
            description=self.config.description,
            endpoints=tuple(each.info for each in self._endpoints),
        )

    def stats(self) -> ServiceStats:
        """The counters of its endpoints as they are now."""
        return ServiceStats(
            name=self.name,
            id=self.id,
            version=self.version,
            metadata=self.config.metadata,
            started=self.started,
            endpoints=tuple(each.stats for each in self._endpoints),
        )

    def reset(self) -> None:
        """Let all endpoints count from zero again."""
        for each in self._endpoints:
            each.reset()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.stop()

    # For its endpoints and subscriptions

    def report(self, error: Exception) -> None:
        """Hand an error to the error handler, or else to the client's."""
        self._callbacks.report(error)

    def lost(self, endpoint: Endpoint, failure: Exception | None) -> None:
        """An endpoint listens no more; with a `failure` it is the server who does not let it."""
        if failure is not None:
            self.report(endpoint.failure(f"the subscription ended: {failure}", failure))
        if self._ending is None and not self._ends_with_client():
            self._endpoints.remove(endpoint)

    def closed(self, sub: ServiceSubscription) -> None:
        """A subscription for discovery listens no more."""
        if self._is_up and self._ending is None and not self._ends_with_client() and sub.failure is not None:
            self.report(sub.failure)

    def _ends_with_client(self) -> bool:
        """Whether the client is at its end, and we with it."""
        if not (self.connection.is_closed or self.connection.is_draining):
            return False
        self._begin_end(None)
        # So that the client waits for the done handler.
        self.connection.callbacks.notify(self._wait_for_end)
        return True

    def _begin_end(self, timeout: float | None) -> asyncio.Task[None]:
        self._ending = ending = start_task(self._end(timeout))
        # Whoever waited for it may have been cancelled.
        ending.add_done_callback(lambda task: task.cancelled() or task.exception())
        return ending

    async def _wait_for_end(self) -> None:
        assert self._ending is not None
        await asyncio.shield(self._ending)

    # Its life

    async def _add_endpoint(self, config: EndpointConfig) -> Endpoint:
        if self._ending is not None:
            raise ServiceStoppedError(f"service {self.name!r} has ended; make another one with add_service()")
        endpoint = Endpoint(self, config, self.config.stats_handler)
        self._endpoints.append(endpoint)  # before it listens: a stop meanwhile ends it too
        try:
            await endpoint.start()
        except BaseException:
            self._endpoints.remove(endpoint)
            raise
        return endpoint

    async def _end(self, timeout: float | None) -> None:
        subs = [*self._discovery, *(each.subscription for each in self._endpoints)]
        results = await asyncio.gather(*(ended(sub, timeout) for sub in subs), return_exceptions=True)
        try:
            if self.config.done_handler is not None:
                told = self.config.done_handler(self)
                if inspect.isawaitable(told):
                    await told
        except Exception as error:
            self.report(error)
        finally:
            self._done.set()
        if self._callbacks is not self.connection.callbacks:
            await self._callbacks.finish(_PATIENCE)
        late = [result for result in results if isinstance(result, BaseException)]
        if timeouts := [str(error) for error in late if isinstance(error, DrainTimeoutError)]:
            raise DrainTimeoutError(f"service {self.name!r} did not end in time: {'; '.join(timeouts)}")
        if late:
            raise late[0]

    # Discovery

    def _subjects(self, verb: str) -> tuple[str, str, str]:
        everybody = f"{DISCOVERY_PREFIX}.{verb}"
        return everybody, f"{everybody}.{self.name}", f"{everybody}.{self.name}.{self.id}"

    def _answering(self, tell: Callable[[], dict[str, Any]]) -> Callable[[Msg], Awaitable[None] | None]:
        def answer(msg: Msg) -> Awaitable[None] | None:
            return msg.respond(json.dumps(tell())) if msg.reply else None

        return answer

    def _tell_ping(self) -> dict[str, Any]:
        ping = ServicePing(name=self.name, id=self.id, version=self.version, metadata=self.config.metadata)
        return ping.to_wire()

    def _tell_info(self) -> dict[str, Any]:
        return self.info().to_wire()

    def _tell_stats(self) -> dict[str, Any]:
        return self.stats().to_wire()
