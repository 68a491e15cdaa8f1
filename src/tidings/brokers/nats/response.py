"""A handler's result with what NATS can be told of it."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar, cast

from tidings.messaging.adapter import Send
from tidings.messaging.errors import PublishError
from tidings.messaging.response import Response

from .sending import StreamSend

if TYPE_CHECKING:  # JetStream is loaded by who uses it
    from tidings.nats.jetstream import PublishOptions, Schedule, Ttl

__all__ = ["NatsResponse", "options_of"]

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class NatsResponse(Response[T], Generic[T]):
    """A `Response` that asks something of the stream that stores it::

        return NatsResponse(receipt, msg_id=order.id, ttl=3600)

    The handler's publishers must name their stream, ``@broker.publisher("receipts", stream="RECEIPTS")``;
    otherwise it is a PublishError, before anything is sent. A requester gets the body alone.

    Attributes:
        msg_id, ttl, rollup, schedule, expected_last_seq, expected_last_subject_seq, expected_last_msg_id: as
            `tidings.nats.jetstream.PublishOptions` has them; None asks for nothing.
    """

    msg_id: str | None = None
    ttl: Ttl | None = None
    rollup: Literal["sub", "all"] | None = None
    schedule: Schedule | None = None
    expected_last_seq: int | None = None
    expected_last_subject_seq: int | None = None
    expected_last_msg_id: str | None = None

    @property
    def options(self) -> PublishOptions:
        """What is asked of the stream."""
        asked = {name: value for name in _OPTIONS if (value := getattr(self, name)) is not None}
        return cast("PublishOptions", asked)

    def sender(self, send: Send) -> Send:
        """One that tells the stream. PublishError where there is none."""
        options = self.options
        if not options:
            return send
        if not isinstance(send, StreamSend):
            raise PublishError(
                f"{', '.join(options)} of a NatsResponse: for a stream, so say stream= of the publisher"
            )
        return send.asking(options)


def options_of(response: Response[Any]) -> PublishOptions:
    """What any response asks of the stream."""
    return response.options if isinstance(response, NatsResponse) else {}


_OPTIONS = [each.name for each in fields(NatsResponse) if each.name not in Response.__dataclass_fields__]
