"""The contract of `messaging.adapter`, fulfilled within the process."""

import asyncio
from collections.abc import Callable, Mapping
from logging import Logger
from operator import attrgetter
from weakref import WeakKeyDictionary

from tidings.messaging.adapter import Adapter, Handle, Send, Stop
from tidings.messaging.durations import check_timeout
from tidings.messaging.errors import (
    NoRespondersError,
    NotConnectedError,
    PublishError,
    RemoteError,
    RequestTimeoutError,
)
from tidings.messaging.marks import MemoryMarks
from tidings.messaging.message import Message
from tidings.nats.errors import BadHeaderError
from tidings.nats.wire import encode_headers

from .listening import Listening
from .message import MemoryMessage, MemoryMsg
from .options import MemoryDestination, MemorySource
from .server import MemoryServer
from .settler import MemorySettler

__all__ = ["ERROR", "ERROR_CODE", "MemoryAdapter"]

ERROR = "error"
"""Header of an answer that is an error: what went wrong."""
ERROR_CODE = "error-code"
"""… its code."""

# Messages that wait in one inbox; a publisher that finds more there lets the handlers have a turn.
_MANY = 1024


class MemoryAdapter(Adapter[MemorySource, MemoryDestination]):
    """A connection to a `MemoryServer`.

    Args:
        server: what brokers share.
        logger: for what is left behind.
    """

    message_type = MemoryMessage
    body_of = attrgetter("data")
    reply_of = attrgetter("reply")

    def __init__(self, server: MemoryServer, logger: Logger) -> None:
        self._server = server
        self._logger = logger
        self._is_open = False
        self._listenings: list[Listening] = []
        self._requests: set[asyncio.Future[MemoryMsg]] = set()
        self._closing: asyncio.Task[int] | None = None
        self._listening_of: WeakKeyDictionary[Stop, Listening] = WeakKeyDictionary()

    @property
    def address(self) -> str:
        """The process."""
        return "memory"

    @property
    def advice(self) -> str:
        """There is always somebody in the process."""
        return "Nothing needs to be started"

    @property
    def client(self) -> MemoryServer:
        """The server that this is a connection to. NotConnectedError before `open` and after `close`."""
        if not self._is_open:
            raise NotConnectedError(
                "not connected to the memory broker: call `await broker.connect()` (or `start()`) "
                "first, or use `async with broker`"
            )
        return self._server

    async def open(self) -> None:
        """Connect. SetupError where others are connected in another event loop."""
        self._server.connect()
        self._is_open = True

    async def close(self, timeout: float) -> int:
        """End all sources, then disconnect; see `Adapter.close`."""
        if timeout > 0 and any(each.runs_here for each in self._listenings):
            # Goes on behind the handler that calls us, which has the time to come to its end.
            self._closing = asyncio.get_running_loop().create_task(self._close(timeout))
            return 0
        return await self._close(timeout)

    async def _close(self, timeout: float) -> int:
        try:
            left = await asyncio.gather(*(each.end(timeout) for each in self._listenings))
        finally:
            self._listenings.clear()
            self._disconnect()
        return sum(left)

    def _disconnect(self) -> None:
        if not self._is_open:
            return
        self._is_open = False
        for answer in self._requests:
            if not answer.done():
                answer.set_exception(
                    NotConnectedError("the broker was stopped while it waited for an answer")
                )
        if delayed := self._server.disconnect():
            self._logger.warning("%d delayed messages are not delivered: no broker is there", delayed)

    async def ping(self, timeout: float) -> bool:
        """Whether it is open."""
        return self._is_open

    async def listen(self, source: MemorySource, handle: Handle) -> Stop:
        """Take what is published to the subject from now on."""
        listening = Listening(self.client, source, handle)
        self._listenings.append(listening)

        async def stop(timeout: float) -> int:
            left = await listening.end(timeout)
            if not listening.tasks and listening in self._listenings:
                self._listenings.remove(listening)
            return left

        self._listening_of[stop] = listening
        return stop

    def trouble(self, stop: Stop) -> str:
        """What keeps messages from a source; empty where nothing does."""
        listening = self._listening_of.get(stop)
        return "" if listening is None else listening.trouble

    async def ready(self) -> None:
        """Every source is known as soon as it is listened to."""

    def message_factory(self, source: MemorySource) -> Callable[[MemoryMsg], MemoryMessage]:
        """Messages that know the named parts of the subject."""
        pattern = source.pattern
        return (lambda native: MemoryMessage(native, pattern)) if pattern.names else MemoryMessage

    def settler(self, source: MemorySource) -> MemorySettler:
        """What settles messages; every source has that."""
        return MemorySettler(self._server)

    def sender(self, destination: MemoryDestination) -> Send:
        """What publishes to the subject of the destination."""
        subject, reply_to, always = destination.subject, destination.reply_to, destination.headers

        async def send(body: bytes, headers: Mapping[str, str]) -> None:
            await self.publish(subject, body, {**always, **headers} if always else headers, reply_to)

        return send

    def check_headers(self, headers: Mapping[str, str]) -> None:
        """Refuse what NATS would."""
        try:
            encode_headers(headers)
        except (BadHeaderError, TypeError) as error:
            raise PublishError(str(error)) from error

    def shared_marks(self) -> MemoryMarks:
        """Those of the server."""
        return self._server.marks

    async def publish(
        self, subject: str, body: bytes, headers: Mapping[str, str], reply_to: str = "", delay: float = 0.0
    ) -> None:
        """Publish to a subject, at once or in so many seconds. PublishError, NotConnectedError.

        Whoever publishes faster than the handlers work waits for a turn of theirs at each message.
        """
        server = self.client
        if delay:
            server.publish_later(delay, subject, body, headers, reply_to)
        elif server.publish(subject, body, headers, reply_to) > _MANY:
            await asyncio.sleep(0)

    async def request(
        self, destination: MemoryDestination, body: bytes, headers: Mapping[str, str], timeout: float
    ) -> MemoryMessage:
        """Ask whoever listens to the subject; the first answer counts."""
        check_timeout(timeout)
        server, subject = self.client, destination.subject
        if destination.headers:
            headers = {**destination.headers, **headers}
        address, answer = server.expect()
        self._requests.add(answer)
        try:
            if not server.publish(subject, body, headers, address):
                raise NoRespondersError(f"nobody listens to {subject!r}")
            async with asyncio.timeout(timeout):
                message = MemoryMessage(await answer)
        except TimeoutError:
            raise RequestTimeoutError(f"no answer from {subject!r} within {timeout} s") from None
        finally:
            server.forget(address)
            self._requests.discard(answer)
        if ERROR_CODE in message.headers:
            raise RemoteError(message.headers[ERROR_CODE], message.headers.get(ERROR, ""), message)
        return message

    async def reply(self, message: Message[MemoryMsg], body: bytes, headers: Mapping[str, str]) -> None:
        """Publish to the reply subject."""
        await self.publish(message.reply_to, body, headers)

    async def reply_error(self, message: Message[MemoryMsg], code: str, description: str) -> None:
        """Publish the error's headers and no body to the reply subject."""
        headers = {"correlation_id": message.correlation_id, ERROR_CODE: code, ERROR: description}
        await self.publish(message.reply_to, b"", headers)
