"""`NATSPubSub`: core NATS, or a stream of JetStream, from threads."""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Awaitable, Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from tidings.nats import (
    Client,
    ConnectOptions,
    Error,
    PermissionsError,
    PossiblyLostError,
    RawCredentials,
    TLSOptions,
    connect,
)
from tidings.nats.core.options import options_from
from tidings.nats.core.servers import parse_server
from tidings.nats.errors import BadSubjectError, MaxPayloadError
from tidings.nats.wire import check_queue
from tidings.pubsub.background import background
from tidings.pubsub.base import PubSubBackend, as_bytes, check_limit
from tidings.pubsub.config import NATS_KEYS
from tidings.pubsub.errors import (
    ConfigError,
    ConnectError,
    FlushError,
    MessageTooLargeError,
    PubSubError,
    TopicError,
)
from tidings.pubsub.files import check_secret_file, tls_files
from tidings.pubsub.nats_core import CoreWay
from tidings.pubsub.outbox import Outbox
from tidings.pubsub.settings import Settings, check_config
from tidings.pubsub.topic import AnyTopic, Topic, name_of

__all__ = ["NATSPubSub"]

logger = logging.getLogger("tidings.pubsub")

# Seconds that a thread waits for the loop beyond the time that the loop has for what it does.
_SLACK = 2.0
# Seconds between attempts to come back: the time that a connection may be away is limited by ours.
_RECONNECT_WAIT = 0.2
_MOST_RECONNECT_WAIT = 2.0


class Way(Protocol):
    """How messages go: core NATS or a stream. Lives in the client's loop, but for `publish` and `settle`."""

    @property
    def outbox(self) -> Outbox:
        """What threads publish goes there."""
        ...

    @property
    def publish(self) -> Callable[[str, bytes, float], None]:
        """Gather a message; waits for room so many seconds."""
        ...

    async def open(self) -> None:
        """Look whether all that it needs is there."""

    def is_back(self) -> None:
        """There is a connection again."""

    async def subscribe(self, subject: str) -> None:
        """Have the messages of `subject` come."""

    def resume(self) -> None:
        """The inbox has room again."""

    def settle(self, message: Any) -> None:
        """A loop body is done with `message`."""

    async def flush(self) -> None:
        """Wait until the server has all that was published."""

    async def close(self) -> None:
        """Release everything."""


class NATSPubSub(PubSubBackend):
    """NATS from threads, over one connection, which lives in a thread that all instances share.

    The name of a topic is a subject; that of one to subscribe to may hold wildcards.
    Core NATS, unless the config names a ``stream``: then what is published is stored in it, and what is
    listened to comes from it at least once: a message is acknowledged when the loop body is done with it.

    Args:
        config: as `get_nats_config` returns it; ``servers`` is needed, docs/pubsub has the other keys.

    Raises:
        ConfigError: a key that is missing, that there is not, or whose value cannot work.
        ConnectError: no connection within ``connect_timeout`` seconds; the text says why, and the cause is
            an error of `tidings.nats`.

    Attributes:
        nc: the client, for use in `loop` only.
        loop: the event loop that it lives in.
    """

    def __init__(self, config: Mapping[str, Any]) -> None:
        settings = check_config("NATSPubSub", NATS_KEYS, config)
        servers = _servers(settings)
        options = _options(settings) | ConnectOptions(
            error_cb=self._note_error,
            disconnected_cb=self._is_away,
            reconnected_cb=self._is_back,
            closed_cb=self._is_over,
        )
        if settings["stream"] is None and settings["durable"] is not None:
            raise ConfigError("NATSPubSub: key 'durable' names a consumer of a stream: give 'stream' too")
        if settings["stream"] is not None and settings["buffer_policy"] != "block":
            raise ConfigError(
                "NATSPubSub: key 'buffer_policy' is 'block' where a stream is read: what is dropped would "
                "only be delivered again"
            )
        if settings["group_id"] is not None:
            try:
                check_queue(settings["group_id"])
            except BadSubjectError as error:
                raise ConfigError(f"NATSPubSub: key 'group_id': {error}") from None
        super().__init__(settings, servers)
        self.nc: Client
        self._way: Way
        self._background = background()
        self.loop = self._background.loop
        self._publish_timeout: float = settings["publish_timeout"]
        self._giving_up: asyncio.TimerHandle | None = None
        self._releasing: asyncio.Task[None] | None = None
        self._is_core = settings["stream"] is None
        self._is_ready = False
        limit: float = settings["connect_timeout"]
        try:
            self._background.call(self._open(options), limit + _SLACK)
        except (Error, TimeoutError, OSError) as error:
            reason = str(error) or f"no answer within {limit:g} s"
            raise ConnectError(f"cannot connect to {', '.join(servers)}: {reason}") from error
        self._is_made()

    def publish(self, topic: AnyTopic, serialized_data: bytes) -> None:
        """Publish a message; see `PubSubBackend.publish`."""
        if type(serialized_data) is not bytes:
            serialized_data = as_bytes(serialized_data)
        try:
            self._way.publish(
                topic.name if type(topic) is Topic else name_of(topic), serialized_data, self._publish_timeout
            )
        except BadSubjectError as error:
            raise TopicError(str(error)) from error
        except MaxPayloadError as error:
            raise MessageTooLargeError(str(error)) from error

    def flush(self, timeout: float = 10.0) -> None:
        """Wait until the server has all that was published before, and stored what goes to a stream.

        Raises as `PubSubBackend.flush`.
        """
        self._check_open()
        check_limit(timeout)
        try:
            self._background.call(self._within(timeout, self._way.flush), timeout + _SLACK)
        except TimeoutError as error:
            raise FlushError(f"{self!r} did not confirm a flush within {timeout:g} s") from error
        except Error as error:
            self._check_open()
            raise PubSubError(f"{self!r} cannot flush: {error}") from error
        self._raise_failure()

    # In the loop

    async def _open(self, options: ConnectOptions) -> None:
        settings = self._settings
        async with asyncio.timeout(settings["connect_timeout"]):
            self.nc = await connect(settings["servers"], **options)
            try:
                self._way = self._choose(self.nc)
                await self._way.open()
            except BaseException:
                await self.nc.close()
                raise
        self._background.inhabit(self)
        self._is_ready = True

    def _choose(self, client: Client) -> Way:
        if self._is_core:
            return CoreWay(client, self._background, self.queue, self.group_id or "", self._note_unsent)
        from tidings.pubsub.nats_stream import StreamWay  # here: it loads JetStream

        return StreamWay(client, self._background, self.queue, self._settings, self._note_unsent)

    async def _within(self, seconds: float, work: Callable[[], Awaitable[None]]) -> None:
        async with asyncio.timeout(seconds):
            await work()

    def _note_error(self, error: Exception) -> None:
        if isinstance(error, PossiblyLostError) and self._is_core:
            self._note_failed(error.messages, error, "may not have arrived, since the connection was lost")
        elif isinstance(error, PermissionsError) and error.operation == "publish" and self._is_core:
            self._note_failed(1, error, "were refused")
        else:
            logger.warning("%r: %s: %s", self, type(error).__name__, error)

    def _note_unsent(self, count: int, cause: BaseException | None) -> None:
        self._note_failed(count, cause, "did not arrive")

    def _is_away(self) -> None:
        if self._is_ready and self._ended is None and self._giving_up is None:
            limit: float = self._settings["reconnect_timeout"]
            self._giving_up = self.loop.call_later(limit, self._give_up, limit)

    def _is_back(self) -> None:
        self._stop_giving_up()
        if self._is_ready:
            self._way.is_back()

    def _stop_giving_up(self) -> None:
        if self._giving_up is not None:
            self._giving_up.cancel()
            self._giving_up = None

    def _give_up(self, limit: float) -> None:
        error = self.nc.last_error
        self._lose(f"the connection did not come back within {limit:g} s: {error}", error)
        self._releasing = self.loop.create_task(self._release())

    def _is_over(self) -> None:
        if self._is_ready and self._ended is None:
            error = self.nc.last_error
            self._lose(f"the connection is closed: {error}" if error else "the connection is closed", error)
            self._releasing = self.loop.create_task(self._release())

    def loop_has_ended(self, error: BaseException) -> None:
        """As `Endangered` says."""
        self._lose(f"the event loop has ended: {error!r}", error)

    async def _release(self) -> None:
        self._stop_giving_up()
        try:
            await self._way.close()
        finally:
            await self.nc.close()

    async def _end(self, timeout: float) -> None:
        """Bring out what was published, as far as that can be done in time, and close."""
        self._way.resume()  # what is sent to us stands before the answer to a flush
        try:
            async with asyncio.timeout(timeout):
                await self._way.flush()
        except TimeoutError:
            raise FlushError(
                f"{self!r} did not confirm within {timeout:g} s all that was published; it is closed"
            ) from None
        except Error as error:
            logger.debug("%r: %s", self, error)  # what did not arrive is counted
        finally:
            await self._release()

    # As `PubSubBackend` asks for

    def _subscribe(self, name: str) -> None:
        limit: float = self._settings["connect_timeout"]
        try:
            self._background.call(self._within(limit, partial(self._way.subscribe, name)), limit + _SLACK)
        except BadSubjectError as error:
            raise TopicError(str(error)) from error
        except (Error, TimeoutError) as error:
            self._check_open()
            reason = str(error) or f"no answer within {limit:g} s"
            raise PubSubError(f"{self!r} cannot subscribe to {name!r}: {reason}") from error

    def _listen(self, timeout: float | None) -> Iterator[bytes]:
        return super()._listen(timeout) if self._is_core else self._listen_and_settle(timeout)

    def _settle(self, token: Any) -> None:
        self._way.settle(token)

    def _on_room(self) -> None:
        self._background.soon(self._way.resume)

    def _on_end(self, error: Callable[[], Exception]) -> None:
        self._way.outbox.end(error)

    def _finish(self, timeout: float) -> None:
        try:
            self._background.call(self._end(timeout), timeout + _SLACK)
        except FlushError:
            raise
        except TimeoutError as error:
            raise FlushError(f"{self!r}: the event loop does not answer") from error

    def _abandon(self, error: Callable[[], Exception]) -> None:
        if self._is_ready:
            self._way.outbox.abandon(error)

    def _count_published(self) -> int:
        return self._way.outbox.published


def _servers(settings: Settings) -> list[str]:
    """The addresses of the servers, without credentials."""
    if settings["servers"] is None:
        raise ConfigError("NATSPubSub: key 'servers' is missing: servers=['nats://localhost:4222'], say")
    try:
        return [parse_server(url).address for url in settings["servers"]]
    except ValueError as error:  # which shows no credentials
        raise ConfigError(f"NATSPubSub: key 'servers': {error}") from None


def _options(settings: Settings) -> ConnectOptions:
    """The options of `tidings.nats.connect` that the config asks for."""
    options: ConnectOptions = {
        "user": settings["user"],
        "password": settings["password"],
        "token": settings["token"],
        "user_credentials": _credentials(settings["user_credentials"]),
        "connect_timeout": settings["connect_timeout"] / len(settings["servers"]),
        # How long it may be away is limited by time.
        "max_reconnect_attempts": -1,
        "reconnect_time_wait": _RECONNECT_WAIT,
        "max_reconnect_wait": _MOST_RECONNECT_WAIT,
    }
    if settings["password"] is not None and settings["user"] is None:
        raise ConfigError("NATSPubSub: key 'password' goes with 'user', which is missing")
    if (seed := settings["nkeys_seed"]) is not None:
        if seed.startswith("SU") and len(seed) == _SEED_LENGTH:
            options["nkeys_seed_str"] = seed
        else:
            check_secret_file("NATSPubSub", "nkeys_seed", seed, "a seed (SU and 56 characters more)")
            options["nkeys_seed"] = seed
    if (jwt := settings["user_jwt"]) is not None:
        # JSON in base64 begins like that; anything else is a file, read at each connect.
        is_jwt = jwt.startswith("eyJ")
        if not is_jwt:
            check_secret_file("NATSPubSub", "user_jwt", jwt, "a JWT")
        options["user_jwt_cb"] = (lambda: jwt) if is_jwt else Path(jwt).read_text
    if (tls := _tls(settings)) is not None:
        options["tls"] = tls
    try:
        options_from(options)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"NATSPubSub: {error}") from None
    return options


_SEED_LENGTH = 58


def _credentials(given: str | None) -> str | RawCredentials | None:
    """The path of a creds file, or its content. Raises ConfigError."""
    if given is None:
        return None
    if "-----BEGIN" in given:
        return RawCredentials(given)
    check_secret_file("NATSPubSub", "user_credentials", given, "the content of a creds file")
    return given


def _tls(settings: Settings) -> ssl.SSLContext | TLSOptions | None:
    if isinstance(settings["tls"], ssl.SSLContext):
        return settings["tls"]
    if (files := tls_files("NATSPubSub", settings)) is None:
        return None
    return TLSOptions(
        ca_file=files.get("tls_ca_cert"),
        cert_file=files.get("tls_cert"),
        key_file=files.get("tls_key"),
        verify=settings["tls_verify"],
    )
