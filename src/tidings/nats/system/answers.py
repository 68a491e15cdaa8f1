"""An answer of a server: who gave it, and what it says."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Generic, TypeVar

from tidings.nats.errors import ProtocolError
from tidings.nats.system.errors import SystemRequestError
from tidings.nats.wire import Msg

__all__ = ["Answer", "ServerInfo", "object_of", "read_answer"]

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerInfo:
    """A server.

    Attributes:
        name, id, host, version: as it calls itself.
        cluster, domain: what it is part of; empty for none.
        tags: as it was given.
        jetstream: whether JetStream is on.
        time: when it said so; None where that cannot be read.
        wire: all that it said, as it came.
    """

    name: str
    id: str
    host: str = ""
    version: str = ""
    cluster: str = ""
    domain: str = ""
    tags: tuple[str, ...] = ()
    jetstream: bool = False
    time: datetime | None = field(default=None, compare=False)
    wire: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def from_wire(cls, said: Any) -> ServerInfo:
        """Of the ``server`` of an answer or event. Raises ProtocolError."""
        if not isinstance(said, dict):
            raise ProtocolError(f"a server says who it is, not {str(said)[:80]!r}")
        try:
            time = datetime.fromisoformat(str(said.get("time")))
        except ValueError:
            time = None
        return cls(
            name=str(said.get("name") or ""),
            id=str(said.get("id") or ""),
            host=str(said.get("host") or ""),
            version=str(said.get("ver") or ""),
            cluster=str(said.get("cluster") or ""),
            domain=str(said.get("domain") or ""),
            tags=tuple(map(str, said.get("tags") or ())),
            jetstream=said.get("jetstream") is True,
            time=time,
            wire=said,
        )


@dataclass(frozen=True, slots=True)
class Answer(Generic[T]):
    """What one server answered.

    Attributes:
        server: who.
        data: what; the object as the server sent it, see `tidings.nats.system.types`.
    """

    server: ServerInfo
    data: T


def object_of(message: Msg) -> dict[str, Any]:
    """The JSON object of a message. Raises ProtocolError."""
    try:
        said = json.loads(message.data)
    except (ValueError, RecursionError) as error:
        raise ProtocolError(f"{message.subject}: what a server says is JSON: {error}") from None
    if not isinstance(said, dict):
        raise ProtocolError(f"{message.subject}: what a server says is an object, not {str(said)[:80]!r}")
    return said


def read_answer(message: Msg, key: str) -> Answer[Any]:
    """An answer whose data stands under `key`.

    Raises:
        SystemRequestError: it is an error.
        ProtocolError: it cannot be read.
    """
    said = object_of(message)
    server = ServerInfo.from_wire(said.get("server"))
    if isinstance(error := said.get("error"), dict):
        raise SystemRequestError(
            int(error.get("code") or 0), str(error.get("description") or ""), server.name
        )
    data = said.get(key)
    if not isinstance(data, dict):
        raise ProtocolError(f"the answer of server {server.name!r} has no {key!r}")
    return Answer(server, data)
