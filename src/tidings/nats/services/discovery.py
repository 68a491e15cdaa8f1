"""The other side: find services, and call them."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from time import perf_counter
from typing import Any, TypeVar

from tidings.nats.core.connection import Connection
from tidings.nats.errors import BadSubjectError, NoRespondersError, ProtocolError, TimeoutError
from tidings.nats.services.config import check_name
from tidings.nats.services.errors import ServiceConfigError, ServiceError
from tidings.nats.services.infos import ServiceInfo, ServicePing, ServiceStats
from tidings.nats.services.service import DISCOVERY_PREFIX
from tidings.nats.wire import HeaderInput, Msg, check_subject

__all__ = ["Services"]

T = TypeVar("T")


class Services:
    """The services that can be reached. Made by `Client.services`, which costs nothing.

    `ping`, `info` and `stats` ask all instances, those of one name, or the one of an id, and gather the
    answers: until none came for `stall` seconds, or `timeout` is over. Nobody there is an empty list. An
    answer that cannot be read is reported to the client's ``error_cb``, and hides none of the others.

    Args:
        connection: what they are reached over.
        prefix: first token of the subjects of discovery, where an account imports them under another name.
        timeout: seconds for all answers.
        stall: seconds between two answers.

    Raises:
        ServiceConfigError: an option that cannot work.
    """

    def __init__(
        self,
        connection: Connection,
        *,
        prefix: str = DISCOVERY_PREFIX,
        timeout: float = 2.0,
        stall: float = 0.3,
    ) -> None:
        try:
            check_subject(prefix, "prefix")
        except (BadSubjectError, TypeError) as error:
            raise ServiceConfigError(str(error)) from None
        for name, value in (("timeout", timeout), ("stall", stall)):
            if not isinstance(value, int | float) or not value > 0:
                raise ServiceConfigError(f"{name} is a number of seconds above 0, not {value!r}")
        self._connection = connection
        self._prefix = prefix
        self._timeout = timeout
        self._stall = stall

    async def ping(self, name: str = "", id: str = "") -> list[ServicePing]:
        """Which instances there are, and how far away each is; the nearest first.

        Args:
            name: only services of this name; empty for all.
            id: only this instance; goes with a name.

        Raises:
            ServiceConfigError: an id without a name, or what is no name.
            PermissionsError, ConnectionClosedError: as the client's `request_many`.
        """
        return [each async for each in self._ask("PING", name, id, ServicePing.from_wire)]

    async def info(self, name: str = "", id: str = "") -> list[ServiceInfo]:
        """What the instances are, and where their endpoints listen. As `ping`."""
        return [
            each async for each in self._ask("INFO", name, id, lambda said, _: ServiceInfo.from_wire(said))
        ]

    async def stats(self, name: str = "", id: str = "") -> list[ServiceStats]:
        """The counters of the instances. As `ping`."""
        return [
            each async for each in self._ask("STATS", name, id, lambda said, _: ServiceStats.from_wire(said))
        ]

    async def request(
        self,
        subject: str,
        payload: bytes | bytearray | memoryview | str = b"",
        timeout: float | None = 0.5,
        *,
        headers: HeaderInput | None = None,
    ) -> Msg:
        """A request as `Client.request`, whose answer is no error.

        Raises:
            ServiceError: the service answered with an error; it says how.
            NoRespondersError, TimeoutError, PermissionsError: as `Client.request`, as the next four.
            BadSubjectError, BadHeaderError, MaxPayloadError, ConnectionClosedError
        """
        reply = await self._connection.request(subject, payload, timeout, headers=headers)
        if reply.has_headers and (error := ServiceError.of(reply)) is not None:
            raise error
        return reply

    async def _ask(
        self, verb: str, name: str, id: str, read: Callable[[dict[str, Any], float], T]
    ) -> AsyncIterator[T]:
        subject = self._subject(verb, name, id)
        asked = perf_counter()
        replies = self._connection.request_many(
            subject,
            max_msgs=1 if id else 0,
            stall=self._stall,
            timeout=self._timeout,
            sentinel=None,
        )
        async with replies:
            try:
                async for reply in replies:
                    rtt = perf_counter() - asked
                    try:
                        yield read(_object_of(reply), rtt)
                    except ProtocolError as error:
                        self._connection.callbacks.report(
                            ProtocolError(f"an answer to {subject} cannot be read: {error}")
                        )
            except (NoRespondersError, TimeoutError):
                return

    def _subject(self, verb: str, name: str, id: str) -> str:
        subject = f"{self._prefix}.{verb}"
        if name:
            check_name(name, "a service")
            subject += f".{name}"
        if id:
            if not name:
                raise ServiceConfigError(f"the instance {id!r} is of a service: give its name too")
            subject += f".{id}"
            try:
                check_subject(subject, "id")
            except (BadSubjectError, TypeError) as error:
                raise ServiceConfigError(str(error)) from None
        return subject


def _object_of(reply: Msg) -> dict[str, Any]:
    if (error := ServiceError.of(reply)) is not None:
        raise ProtocolError(str(error))
    try:
        said = json.loads(reply.data)
    except (ValueError, RecursionError) as error:
        raise ProtocolError(f"it is no JSON: {error}") from None
    if not isinstance(said, dict):
        raise ProtocolError(f"an object was expected, not {str(said)[:80]!r}")
    return said
