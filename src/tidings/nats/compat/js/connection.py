"""What JetStream needs of nats-py's client, which knows JetStream itself."""

from __future__ import annotations

from typing import Protocol

from tidings.nats.client import Client as Native
from tidings.nats.compat.aio.msg import Msg
from tidings.nats.wire import HeaderInput

__all__ = ["JetStreamConnection"]


class JetStreamConnection(Protocol):
    """`aio.client.Client`, as far as it is used here."""

    @property
    def _native(self) -> Native: ...

    def new_inbox(self) -> str:
        """A subject that nobody else uses."""
        ...

    async def request(
        self,
        subject: str,
        payload: bytes = b"",
        timeout: float | None = 0.5,
        old_style: bool = False,
        headers: HeaderInput | None = None,
    ) -> Msg:
        """Publish a message and wait for the first reply."""
        ...
