"""What happens to servers and accounts, as the system account is told."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Literal, Self, TypeAlias, get_args

from tidings.nats.core.connection import Connection
from tidings.nats.core.subscription import Subscription
from tidings.nats.errors import BadSubscriptionError, ProtocolError
from tidings.nats.system.answers import ServerInfo, object_of

__all__ = ["EventKind", "SystemEvent", "SystemEvents", "subject_of"]

EventKind: TypeAlias = Literal[
    "connect",
    "disconnect",
    "leafnode_connect",
    "connections",
    "auth_error",
    "statsz",
    "lame_duck",
    "shutdown",
]

_SUBJECTS: Mapping[str, str] = {
    "connect": "$SYS.ACCOUNT.{account}.CONNECT",
    "disconnect": "$SYS.ACCOUNT.{account}.DISCONNECT",
    "leafnode_connect": "$SYS.ACCOUNT.{account}.LEAFNODE.CONNECT",
    "connections": "$SYS.ACCOUNT.{account}.SERVER.CONNS",
    "auth_error": "$SYS.SERVER.{server}.CLIENT.AUTH.ERR",
    "statsz": "$SYS.SERVER.{server}.STATSZ",
    "lame_duck": "$SYS.SERVER.{server}.LAMEDUCK",
    "shutdown": "$SYS.SERVER.{server}.SHUTDOWN",
}


@dataclass(frozen=True, slots=True)
class SystemEvent:
    """Something that happened.

    Attributes:
        kind: what, see `System.events`.
        server: the server that tells.
        about: the account or the id of the server that it is about.
        data: the object as the server sent it: ``client`` and ``reason`` for example.
    """

    kind: EventKind
    server: ServerInfo
    about: str
    data: Mapping[str, Any]


def subject_of(kind: EventKind, account: str, server: str) -> str:
    """What to subscribe to. Raises ValueError for a kind that there is not, or a filter it does not have."""
    if kind not in _SUBJECTS:
        raise ValueError(f"an event is one of {', '.join(get_args(EventKind))}, not {kind!r}")
    pattern = _SUBJECTS[kind]
    for name, value in (("account", account), ("server", server)):
        if value and f"{{{name}}}" not in pattern:
            raise ValueError(f"events of kind {kind!r} have no {name} to choose by")
    return pattern.format(account=account or "*", server=server or "*")


class SystemEvents:
    """Events of one kind, as they come: an async context manager to iterate over. Made by `System.events`."""

    def __init__(self, connection: Connection, kind: EventKind, subject: str) -> None:
        self.kind: EventKind = kind
        self.subject = subject
        self._connection = connection
        self._sub: Subscription | None = None

    async def __aenter__(self) -> Self:
        self._sub = await self._connection.subscribe(self.subject)
        try:
            await self._connection.flush()  # what happens from here on is told
            if self._sub.failure is not None:
                raise self._sub.failure
        except BaseException:
            self._sub.end()
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._sub is not None:
            self._sub.end()

    async def __aiter__(self) -> AsyncIterator[SystemEvent]:
        """The events. What cannot be read is reported to the client's ``error_cb``."""
        if self._sub is None:
            raise BadSubscriptionError("listen first: async with system.events(…) as events")
        async for message in self._sub:
            try:
                said = object_of(message)
                server = ServerInfo.from_wire(said.get("server"))
            except ProtocolError as error:
                self._connection.callbacks.report(error)
                continue
            yield SystemEvent(self.kind, server, message.subject.split(".")[2], said)
