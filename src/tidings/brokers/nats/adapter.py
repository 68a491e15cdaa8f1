"""The contract of `messaging.adapter`, fulfilled over the NATS client."""

import asyncio
import os
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from inspect import isawaitable
from logging import Logger
from operator import attrgetter
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from tidings.messaging.acks import Settler
from tidings.messaging.adapter import Adapter, Handle, Send, Stop
from tidings.messaging.batches import Composed
from tidings.messaging.durations import check_timeout
from tidings.messaging.errors import (
    ConnectionLostError,
    NotConnectedError,
    PublishError,
    RemoteError,
    SetupError,
)
from tidings.messaging.marks import MarkStore
from tidings.messaging.message import Message
from tidings.nats import Client, ConnectOptions, DrainTimeoutError, Error, Subscription, connect

from .endpoints import NatsEndpoint
from .errors import translated
from .message import NatsMessage
from .options import NatsDestination, NatsSource
from .sending import StreamSend

if TYPE_CHECKING:  # JetStream is loaded by who uses it
    from tidings.nats.jetstream import ContextOptions, JetStream, PubAck, PublishOptions

    from .burying import Burial
    from .listening import StreamListening
    from .serving import Serving
    from .watching import WatchListening

__all__ = ["DEFAULT_SERVER", "SERVERS_VARIABLE", "NatsAdapter"]

DEFAULT_SERVER = "nats://localhost:4222"
SERVERS_VARIABLE = "TIDINGS_NATS_SERVERS"
SCHEDULES = "tidings-schedules"
"""The bucket that says whose turn it is to run a schedule."""

# How an error is answered: ADR-32, "Error Handling".
ERROR = "Nats-Service-Error"
ERROR_CODE = "Nats-Service-Error-Code"


class NatsAdapter(Adapter[NatsSource | NatsEndpoint, NatsDestination]):
    """Core NATS over one `tidings.nats.Client`.

    Args:
        servers: one URL, several with commas between, or a sequence; None for those of the variable
            TIDINGS_NATS_SERVERS, or else nats://localhost:4222.
        options: of the client. Without callbacks of theirs the connection's events are logged.
        logger: for those.
        context: where and how JetStream is reached.
    """

    message_type = NatsMessage
    body_of = attrgetter("data")
    reply_of = attrgetter("reply")

    def __init__(
        self,
        servers: str | Sequence[str] | None,
        options: ConnectOptions,
        logger: Logger,
        context: "ContextOptions | None" = None,
    ) -> None:
        _check_servers(servers)
        self._is_given = bool(servers)
        given = servers or os.environ.get(SERVERS_VARIABLE) or DEFAULT_SERVER
        self._servers = given.split(",") if isinstance(given, str) else list(given)
        self._options = _logging_callbacks(logger) | options
        self._context: ContextOptions = context or {}
        self._logger = logger
        self._client: Client | None = None
        self._jetstream: JetStream | None = None
        self._subscriptions: list[Subscription] = []
        self._listenings: list[StreamListening | WatchListening[Any]] = []
        self._serving: Serving | None = None
        self._burial: Burial | None = None
        self._is_ready = False
        self._closing: asyncio.Task[int] | None = None
        self._ending = asyncio.Event()  # set: the client that is open now is closed by us
        self._troubles: WeakKeyDictionary[Stop, Callable[[], str]] = WeakKeyDictionary()

    @property
    def address(self) -> str:
        """The servers, without credentials."""
        return ", ".join(_without_credentials(server) for server in self._servers)

    @property
    def advice(self) -> str:
        """What to do when there is no server."""
        # Who was given servers does not read the variable.
        without = "without servers " if self._is_given else ""
        return (
            "Start nats-server there, or say where it is: "
            f"NatsBroker(servers), or {without}the variable {SERVERS_VARIABLE}"
        )

    @property
    def client(self) -> Client:
        """The native client. NotConnectedError before `open` and after `close`."""
        if self._client is None:
            raise NotConnectedError(
                f"not connected to {self.address}: call `await broker.connect()` (or `start()`) "
                "first, or use `async with broker`"
            )
        return self._client

    @property
    def jetstream(self) -> "JetStream":
        """Streams, over the native client. NotConnectedError as `client`."""
        if self._jetstream is None:
            try:
                self._jetstream = self.client.jetstream(**self._context)
            except (Error, TypeError) as error:
                raise SetupError(f"the options of jetstream: {error}") from error
        return self._jetstream

    async def open(self) -> None:
        """Connect, trying each server once."""
        self._ending = asyncio.Event()
        options: ConnectOptions = {**self._options, "closed_cb": partial(self._on_closed, self._ending)}
        try:
            self._client = await connect(self._servers, **options)
        except Error as error:
            raise translated(error) from error
        except (ValueError, TypeError) as error:
            raise SetupError(f"cannot connect to {self.address}: {error}") from error

    async def _on_closed(self, ending: asyncio.Event) -> None:
        """A client has closed: at `close`, or since it gave up to reconnect."""
        client, given = self._client, self._options.get("closed_cb")
        if client is not None and not ending.is_set():
            reason = client.last_error or "the client was closed"
            lost = ConnectionLostError(f"the connection to {self.address} is lost for good: {reason}")
            self._logger.error("NATS: %s", lost)
            if self.on_lost is not None:
                self.on_lost(lost)
        if given is not None:
            result = given()
            if isawaitable(result):
                await result

    async def close(self, timeout: float) -> int:
        """Drain the client; see `Adapter.close`."""
        self._ending.set()
        if any(each.runs_here for each in self._listenings):
            # Goes on behind the handler that calls us, which has the time to come to its end.
            self._closing = asyncio.get_running_loop().create_task(self._close(timeout))
            return 0
        return await self._close(timeout)

    async def _close(self, timeout: float) -> int:
        client = self.client
        deadline = asyncio.get_running_loop().time() + timeout
        await asyncio.gather(*(each.end(timeout) for each in self._listenings))
        self._listenings.clear()
        self._is_ready = False
        if asyncio.current_task() in [task for each in self._subscriptions for task in each.tasks]:
            await client.drain(timeout)  # goes on behind the handler that calls us
            return 0
        drain = asyncio.ensure_future(client.drain(timeout=_FOREVER))
        left = 0
        try:
            await asyncio.wait([drain], timeout=max(0.0, deadline - asyncio.get_running_loop().time()))
            left = sum(_unhandled(subscription) for subscription in self._subscriptions)
        finally:
            await client.close()
            workers = [worker for each in self._subscriptions for worker in each.stop()]
            if self._client is client:
                self._client = self._jetstream = self._serving = self._burial = None
            self._subscriptions.clear()
            drain.cancel()
            await asyncio.wait([drain, *workers], timeout=_PATIENCE)
            if drain.done() and not drain.cancelled():
                drain.exception()  # a connection that is gone: its callbacks have told of it
        return left

    async def ping(self, timeout: float) -> bool:
        """Whether the server answers a PING."""
        try:
            await self.client.flush(timeout)
        except (Error, NotConnectedError):
            return False
        return True

    async def listen(self, source: NatsSource | NatsEndpoint, handle: Handle) -> Stop:
        """Subscribe, or make ready to read from the source's stream."""
        if isinstance(source, NatsEndpoint):
            return await self._serve(source, handle)
        if source.kv_watch is not None:
            from .watching import KeyListening

            return await self._listen_by(KeyListening(self.jetstream, source, handle, self._logger))
        if source.obj_watch is not None:
            from .object_watching import ObjectListening

            return await self._listen_by(ObjectListening(self.jetstream, source, handle, self._logger))
        if source.stream is not None:
            from .listening import StreamListening

            return await self._listen_by(StreamListening(self.jetstream, source, handle, self._logger))
        try:
            subscription = await self.client.subscribe(
                source.pattern.subject,
                source.queue,
                handle,
                max_msgs=source.max_msgs,
                pending_msgs_limit=source.pending_msgs_limit,
                pending_bytes_limit=source.pending_bytes_limit,
                workers=source.workers,
            )
        except Error as error:
            raise translated(error) from error
        self._subscriptions.append(subscription)
        stop = partial(self._end, subscription)
        self._troubles[stop] = partial(_trouble_of, subscription)
        return stop

    async def _listen_by(self, listening: "StreamListening | WatchListening[Any]") -> Stop:
        await listening.declare()
        self._listenings.append(listening)
        if self._is_ready:
            listening.begin()

        async def stop(timeout: float) -> int:
            if not listening.runs_here and listening in self._listenings:
                self._listenings.remove(listening)
            await listening.end(timeout)
            return 0  # what is not handled is not lost: the stream has it

        self._troubles[stop] = lambda: listening.trouble
        return stop

    async def _serve(self, source: NatsEndpoint, handle: Handle) -> Stop:
        from .serving import Serving

        serving = self._serving = self._serving or Serving(self.client)
        endpoint = await serving.add(source, handle)
        self._subscriptions.append(endpoint.subscription)

        async def stop(timeout: float) -> int:
            left = await self._end(endpoint.subscription, timeout)
            await serving.leave(timeout)
            return left

        self._troubles[stop] = partial(_trouble_of, endpoint.subscription)
        return stop

    def trouble(self, stop: Stop) -> str:
        """What keeps messages from a source; empty where nothing does."""
        ask = self._troubles.get(stop)
        return "" if ask is None else ask()

    async def _end(self, subscription: Subscription, timeout: float) -> int:
        # Ended by its own handler it still runs; `close` must know.
        if subscription in self._subscriptions and asyncio.current_task() not in subscription.tasks:
            self._subscriptions.remove(subscription)
        if subscription.is_closed or subscription.is_draining:
            return 0
        try:
            await subscription.drain(timeout)
        except DrainTimeoutError:
            left = _unhandled(subscription)
            subscription.stop()
            return left
        except Error as error:
            raise translated(error) from error
        return 0

    async def ready(self) -> None:
        """Wait until the server has seen every subscription, then ask for what streams have stored.

        What handlers publish while they work that off finds the other subscribers there.
        """
        try:
            await self.client.flush()
        except Error as error:
            raise translated(error) from error
        self._is_ready = True
        for listening in self._listenings:
            listening.begin()

    def message_type_of(self, source: NatsSource | NatsEndpoint) -> type[NatsMessage]:
        """`NatsStreamMessage` for one of a stream, `NatsKeyMessage` for keys, `NatsObjectMessage` for
        objects, `NatsRequestMessage` for one of an endpoint."""
        if isinstance(source, NatsEndpoint):
            from .serving import NatsRequestMessage

            return NatsRequestMessage
        if source.kv_watch is not None:
            from .key_message import NatsKeyMessage

            return NatsKeyMessage
        if source.obj_watch is not None:
            from .object_message import NatsObjectMessage

            return NatsObjectMessage
        if source.stream is None:
            return NatsMessage
        from .stream_message import NatsStreamMessage

        return NatsStreamMessage

    def message_factory(self, source: NatsSource | NatsEndpoint) -> Callable[[Any], NatsMessage]:
        """Messages that know the named parts of the subject."""
        make, pattern = self.message_type_of(source), source.pattern
        if isinstance(source, NatsSource) and source.watched is not None:
            return lambda change: make(change.entry, pattern)
        return (lambda native: make(native, pattern)) if pattern.names else make

    def settler(self, source: NatsSource | NatsEndpoint) -> Settler | None:
        """What settles messages of a stream; None where its consumer does not want to hear of them."""
        if isinstance(source, NatsEndpoint) or source.stream is None:
            return None
        from .declaring import consumer_config, settles
        from .stream_message import NatsSettler

        if not settles(source):
            return None
        return NatsSettler(self.jetstream, consumer_config(source).max_deliver)

    def shared_marks(self) -> MarkStore:
        """A bucket."""
        from .marks import KvMarks

        return KvMarks(SCHEDULES)

    async def bury(self, message: Message[Any], address: str, headers: Mapping[str, str]) -> None:
        """Publish a dead letter, to a stream where one has the subject."""
        from .burying import Burial

        try:
            self._burial = self._burial or Burial(self.client, self.jetstream)
            await self._burial.bury(message, address, headers)
        except Error as error:
            raise translated(error) from error

    def sender(self, destination: NatsDestination) -> Send:
        """What publishes to the subject of the destination."""
        if destination.stream:
            return self._stream_sender(destination)
        publish, subject, reply_to = self.client.publish, destination.subject, destination.reply_to
        always = destination.headers

        async def send(body: bytes, headers: Mapping[str, str]) -> None:
            try:
                await publish(subject, body, reply_to, {**always, **headers} if always else headers)
            except Error as error:
                raise translated(error) from error

        return send

    def _stream_sender(self, destination: NatsDestination) -> StreamSend:
        if destination.reply_to:
            raise SetupError(f"reply_to of {destination.subject!r}: what a stream stores asks for no answer")
        return StreamSend(self.publish_to_stream, destination, {})

    async def publish_to_stream(
        self,
        subject: str,
        body: bytes,
        headers: Mapping[str, str],
        stream: str,
        timeout: float | None,
        options: "PublishOptions",
    ) -> "PubAck":
        """Publish to a subject and wait until the stream has it. PublishError, BrokerConnectionError."""
        from tidings.nats.jetstream.errors import JetStreamError

        asked: PublishOptions = {**options, "expected_stream": stream}
        try:
            return await self.jetstream.publish(subject, body, headers=headers, timeout=timeout, **asked)
        except JetStreamError as error:
            raise PublishError(f"stream {stream!r} did not take a message on {subject!r}: {error}") from error
        except Error as error:
            raise translated(error) from error

    async def publish_batch(
        self, subject: str, batch: Sequence[Composed], stream: str, timeout: float | None
    ) -> "PubAck":
        """Publish, and wait until the stream has all of them. PublishError, BrokerConnectionError."""
        from tidings.nats.jetstream.errors import JetStreamError

        from .response import options_of

        *others, last = batch
        asked = options_of(last.response)
        if not others:
            return await self.publish_to_stream(subject, last.body, last.headers, stream, timeout, asked)
        try:
            async with self.jetstream.atomic_batch(timeout=timeout) as atomic:
                for each in others:
                    options: PublishOptions = {**options_of(each.response), "expected_stream": stream}
                    await atomic.add(subject, each.body, headers=each.headers, **options)
                asked = {**asked, "expected_stream": stream}
                return await atomic.commit(subject, last.body, headers=last.headers, **asked)
        except JetStreamError as error:
            raise PublishError(
                f"stream {stream!r} did not take a batch of {len(batch)} on {subject!r}: {error}"
            ) from error
        except Error as error:
            raise translated(error) from error

    async def publish(
        self, subject: str, body: bytes, headers: Mapping[str, str], reply_to: str = ""
    ) -> None:
        """Publish to a subject. PublishError, BrokerConnectionError."""
        try:
            await self.client.publish(subject, body, reply_to, headers)
        except Error as error:
            raise translated(error) from error
        except TypeError as error:  # a subject that is no text, which both wire cores say in their own words
            kind = type(subject).__name__
            text = str(error) if isinstance(subject, str) else f"the subject must be a str, not {kind}"
            raise PublishError(text) from error

    async def request(
        self, destination: NatsDestination, body: bytes, headers: Mapping[str, str], timeout: float
    ) -> NatsMessage:
        """Ask whoever listens to the subject; a service of ADR-32 too."""
        check_timeout(timeout)
        if destination.headers:
            headers = {**destination.headers, **headers}
        try:
            answer = await self.client.request(destination.subject, body, timeout, headers=headers)
        except Error as error:
            raise translated(error) from error
        message = NatsMessage(answer)
        if answer.has_headers and (ERROR in message.headers or ERROR_CODE in message.headers):
            raise RemoteError(message.headers.get(ERROR_CODE, ""), message.headers.get(ERROR, ""), message)
        return message

    async def reply(self, message: Message[Any], body: bytes, headers: Mapping[str, str]) -> None:
        """Publish to the reply subject."""
        await self.publish(message.reply_to, body, headers)

    async def reply_error(self, message: Message[Any], code: str, description: str) -> None:
        """Publish the error headers of ADR-32 and no body to the reply subject."""
        if isinstance(message, NatsMessage):
            message.note_error(code, description)
        headers = {
            "correlation_id": message.correlation_id,
            ERROR_CODE: _one_line(code),
            ERROR: _one_line(description),
        }
        await self.publish(message.reply_to, b"", headers)


_PATIENCE = 2.0  # seconds that cancelled handlers have to come to their end
_FOREVER = 365 * 24 * 3600.0  # seconds: `close` has a timeout of its own


def _unhandled(subscription: Subscription) -> int:
    """Messages that wait, and those in the handlers' hands."""
    return subscription.unhandled + len(subscription.tasks)


def _trouble_of(subscription: Subscription) -> str:
    if not subscription.is_closed or 0 < subscription.max_msgs <= subscription.received:
        return ""
    return f"its subscription has ended: {subscription.failure or 'it was closed'}"


def _one_line(text: str) -> str:
    """A header's value holds no line breaks (ADR-4)."""
    return " ".join(text.split())


def _check_servers(servers: object) -> None:
    several = isinstance(servers, Sequence) and all(isinstance(each, str) for each in servers)
    if servers is not None and not several:
        # What they are may hold a password, their type does not.
        kind = type(servers).__name__
        raise SetupError(f"the servers of a NatsBroker are a URL, or a list of URLs, not one of type {kind}")


def _without_credentials(server: str) -> str:
    scheme, separator, rest = server.strip().rpartition("://")
    return f"{scheme}{separator}{rest.rpartition('@')[2]}"


def _logging_callbacks(logger: Logger) -> ConnectOptions:
    return {
        "error_cb": lambda error: logger.error("NATS: %s", error),
        "disconnected_cb": lambda: logger.warning("NATS: the connection is lost"),
        "reconnected_cb": lambda: logger.info("NATS: connected again"),
    }
