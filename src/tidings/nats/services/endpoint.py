"""An endpoint: one subscription, its handler, and its counters."""

from __future__ import annotations

import asyncio
import inspect
import json
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from time import perf_counter_ns
from typing import Any, Protocol, TypeAlias

from tidings.nats.core.callbacks import is_coroutine_function
from tidings.nats.core.connection import Connection
from tidings.nats.core.options import DEFAULT_LIMITS, MsgCallback, SubscriptionLimits
from tidings.nats.core.subscription import Subscription
from tidings.nats.errors import (
    ConnectionClosedError,
    ConnectionDrainingError,
    ConnectionReconnectingError,
    DrainTimeoutError,
    Error,
)
from tidings.nats.services.config import EndpointConfig
from tidings.nats.services.errors import EndpointError, ServiceError, error_headers, one_line
from tidings.nats.services.infos import EndpointInfo, EndpointStats
from tidings.nats.services.request import Request
from tidings.nats.wire import Msg

__all__ = ["Endpoint", "ServiceSubscription", "StatsHandler", "ended", "listen"]


StatsHandler: TypeAlias = "Callable[[Endpoint], Any]"
"""Gives data of one's own for the statistics of an endpoint: anything with a JSON form."""


class SubscriptionOwner(Protocol):
    """Who has to hear what becomes of a subscription."""

    def report(self, error: Exception) -> None:
        """Something went wrong that no call can raise."""

    def closed(self, sub: ServiceSubscription) -> None:
        """No more messages come."""


class ServiceSubscription(Subscription):
    """A subscription that tells its service what becomes of it."""

    __slots__ = ("_listener",)

    def __init__(
        self,
        connection: Connection,
        listener: SubscriptionOwner,
        subject: str,
        queue_group: str,
        callback: MsgCallback,
        limits: SubscriptionLimits = DEFAULT_LIMITS,
        workers: int = 1,
    ) -> None:
        home = connection.registry
        super().__init__(home, home.next_sid(), subject, queue_group, callback, limits, 0, workers)
        self._listener = listener

    def report(self, error: Exception) -> None:
        """Have the service report an error that concerns this subscription."""
        self._listener.report(error)

    def close(self) -> None:
        """No more messages come."""
        was_open = not self.is_closed
        super().close()
        if was_open:
            self._listener.closed(self)


class Host(Protocol):
    """What an endpoint needs of its service."""

    connection: Connection

    @property
    def name(self) -> str:
        """The name of the service."""
        ...

    def report(self, error: Exception) -> None:
        """Tell the error handler."""

    def lost(self, endpoint: Endpoint, failure: Exception | None) -> None:
        """The endpoint's subscription ended, and the endpoint did not end it."""


class Endpoint:
    """An endpoint of a service; made by `Service.add_endpoint`.

    Attributes:
        name: as it was given.
        subject: what it listens to.
        queue_group: the queue group it is in; empty for none.
        metadata: as it was given; read only.
        num_requests, num_errors, last_error, processing_time: see `EndpointStats`.
    """

    def __init__(self, host: Host, config: EndpointConfig, stats_handler: StatsHandler | None) -> None:
        self.name = config.name
        self.subject = config.subject
        self.queue_group = config.queue_group
        self.metadata: Mapping[str, str] = config.metadata
        self.num_requests = 0
        self.num_errors = 0
        self.last_error = ""
        self.processing_time = 0
        self._host = host
        self._stats_handler = stats_handler
        self._is_up = False
        limits = SubscriptionLimits(msgs=config.pending_msgs_limit, bytes=config.pending_bytes_limit)
        self.subscription = ServiceSubscription(
            host.connection,
            self,
            self.subject,
            self.queue_group,
            self._callback(config.handler),
            limits,
            config.workers,
        )

    def __repr__(self) -> str:
        return f"<Endpoint {self.name!r} at {self.subject!r}>"

    @property
    def info(self) -> EndpointInfo:
        """Where it listens."""
        return EndpointInfo(
            name=self.name, subject=self.subject, queue_group=self.queue_group, metadata=self.metadata
        )

    @property
    def stats(self) -> EndpointStats:
        """Its counters as they are now."""
        requests = self.num_requests
        return EndpointStats(
            name=self.name,
            subject=self.subject,
            queue_group=self.queue_group,
            num_requests=requests,
            num_errors=self.num_errors,
            last_error=self.last_error,
            processing_time=self.processing_time,
            average_processing_time=self.processing_time // requests if requests else 0,
            data=self._custom_stats(),
        )

    def reset(self) -> None:
        """Count from zero again."""
        self.num_requests = self.num_errors = self.processing_time = 0
        self.last_error = ""

    def count_error(self, code: int | str, description: str) -> None:
        """One more request that ends with an error."""
        self.num_errors += 1
        self.last_error = f"{code}:{one_line(description)}"

    async def start(self) -> None:
        """Listen; returns when the server knows of it, if there is a server now. Raises as `listen`."""
        await listen(self._host.connection, self.subscription)
        self._is_up = True

    async def stop(self, timeout: float | None = None) -> None:
        """Take no more requests, and finish those that came. As `Service.stop`, for one endpoint.

        Raises:
            DrainTimeoutError: not all was handled within `timeout` seconds; the handlers are cancelled.
        """
        if self._is_up:
            self._is_up = False
            self._host.lost(self, None)
        await ended(self.subscription, timeout)

    def closed(self, sub: ServiceSubscription) -> None:
        """Called when no more requests come."""
        if self._is_up:
            self._is_up = False
            self._host.lost(self, sub.failure)

    def report(self, error: Exception) -> None:
        """Have an error reported that concerns this endpoint."""
        self._host.report(error)

    def failure(self, text: str, cause: BaseException, subject: str = "") -> EndpointError:
        """An error that says where it happened."""
        error = EndpointError(
            text, service=self._host.name, endpoint=self.name, subject=subject or self.subject
        )
        error.__cause__ = cause
        return error

    def _callback(self, handler: Callable[[Request], Any]) -> Callable[[Msg], Awaitable[None]]:
        is_async = is_coroutine_function(handler)

        # What each request costs, so the counters are kept here and nothing else is.
        async def handle(msg: Msg) -> None:
            started = perf_counter_ns()
            self.num_requests += 1
            request = Request(msg, self)
            try:
                result = handler(request)
                if is_async or (result is not None and inspect.isawaitable(result)):
                    result = await result
                if result is not None and msg.reply:
                    await msg.respond(result)
            except (Exception, asyncio.CancelledError) as error:
                await self._failed(request, error)
            finally:
                self.processing_time += perf_counter_ns() - started

        return handle

    async def _failed(self, request: Request, error: Exception | asyncio.CancelledError) -> None:
        """Answer for a handler that raised; what it did not raise as an answer is reported too."""
        if isinstance(error, asyncio.CancelledError):
            task = asyncio.current_task()
            if task is None or task.cancelling():
                raise error
        if isinstance(error, ServiceError) and error.reply is None:
            await self._answer_error(request, error)
            return
        name = type(error).__name__
        # The text of an exception may hold what is nobody else's business; its type says what kind it is.
        await self._answer_error(request, ServiceError(500, f"the handler failed with {name}"))
        self.report(self.failure(f"the handler failed with {name}: {error}", error, request.subject))

    async def _answer_error(self, request: Request, error: ServiceError) -> None:
        self.count_error(error.code, error.description)
        if request.is_answered or not request.reply:
            return
        try:
            await request.respond(
                error.data, headers=error_headers(error.code, error.description, error.headers)
            )
        except Exception as second:
            self.report(self.failure("the requester could not be told of a failure", second, request.subject))
            with suppress(Error):  # its data or its headers may be to blame
                await request.respond(headers=error_headers(error.code, error.description))

    def _custom_stats(self) -> Any:
        if self._stats_handler is None:
            return None
        try:
            data = self._stats_handler(self)
            json.dumps(data)
        except Exception as error:
            self.report(self.failure("the stats_handler gives nothing that can be sent", error))
            return None
        return data


async def listen(connection: Connection, *subs: Subscription) -> None:
    """Start `subs`; returns when the server knows of them, or at once while the connection is away.

    Raises:
        PermissionsError: the server refuses one of them; all have ended.
        ConnectionClosedError, ConnectionDrainingError: no new work is taken.
        FlushTimeoutError: the server did not say so in time; all have ended.
    """
    if connection.is_closed:
        raise ConnectionClosedError("the client is closed; make a new one with connect()")
    if connection.is_draining:
        raise ConnectionDrainingError("the client drains and takes no new subscriptions")
    try:
        for sub in subs:
            connection.registry.start(sub)
        try:
            await connection.flush()
        except (ConnectionReconnectingError, ConnectionClosedError):
            if connection.is_closed:
                raise
        for sub in subs:
            if sub.failure is not None:
                raise sub.failure
    except BaseException:
        for sub in subs:
            sub.end()
        raise


async def ended(sub: Subscription, timeout: float | None) -> None:
    """Drain `sub`; if it ends otherwise, with the client for example, wait for its last callbacks.

    Raises:
        DrainTimeoutError: not all was handled in time; the callbacks are cancelled.
    """
    if sub.is_closed or sub.is_draining:
        await sub.closed()
        await sub.emptied()
        return
    try:
        await sub.drain(timeout)
    except DrainTimeoutError:
        if cancelled := sub.stop():
            await asyncio.wait(cancelled)
        raise
    except Error:  # the client was closed meanwhile
        await sub.emptied()
