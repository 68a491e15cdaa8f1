"""Dead letters of messages that no consumer delivers again, and the headers that all dead letters keep."""

from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Protocol
from uuid import uuid4

from tidings.messaging.dead_letters import PREFIX, REPLAYS
from tidings.messaging.message import Message
from tidings.nats import Client, Error, Headers, Msg, ProtocolError
from tidings.nats.jetstream import JetStream

__all__ = ["SEQUENCE", "STREAM", "Burial", "own_headers"]

STREAM = PREFIX + "stream"
"""Header of a dead letter: the stream that the message is in, for as long as that keeps it."""
SEQUENCE = PREFIX + "sequence"
"""… its sequence there."""


class HasHeaders(Protocol):
    """A native message."""

    @property
    def headers(self) -> Headers:
        """ProtocolError for a header block that is none."""
        ...


def own_headers(native: HasHeaders) -> dict[str, list[str]]:
    """The headers that a dead letter keeps of its message, with all their values.

    Without those by which it asked something of the stream it was in, as they would ask it of the next one,
    and those of an earlier death.
    """
    with suppress(ProtocolError):
        headers = native.headers
        return {name: headers.get_all(name) for name in headers if _is_own(name)}
    return {}


def _is_own(name: str) -> bool:
    name = name.lower()
    return name == REPLAYS or not name.startswith(("nats-", PREFIX))


class Burial:
    """Publishes dead letters to a stream where one has their subject, and else to whoever listens.

    Args:
        client, jetstream: what it publishes by.
    """

    def __init__(self, client: Client, jetstream: JetStream) -> None:
        self._client = client
        self._jetstream = jetstream
        self._stored: set[str] = set()  # subjects that a stream has

    async def bury(self, message: Message[Any], address: str, headers: Mapping[str, str]) -> None:
        """Publish a message as it is, with these headers beside its own.

        When it returns, the stream has acknowledged it; without a stream, the server has it. Raises what the
        client raises.
        """
        native = message.raw
        own = own_headers(native) if isinstance(native, Msg) else dict(message.headers)
        if await self._is_stored(address):
            once = f"dead-letter.{uuid4().hex}"  # for the tries of this one publish
            await self._jetstream.publish(address, message.body, headers={**own, **headers}, msg_id=once)
        else:
            await self._client.publish(address, message.body, headers={**own, **headers})
            await self._client.flush()

    async def _is_stored(self, address: str) -> bool:
        if address not in self._stored:
            try:
                await self._jetstream.find_stream(address)
            except Error:  # there is none, or no JetStream, or we may not ask
                return False
            self._stored.add(address)
        return True
