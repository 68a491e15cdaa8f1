"""Counters: each subject of a stream with ``allow_msg_counter`` is a number that anybody adds to (ADR-49)."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from tidings.nats.errors import ProtocolError
from tidings.nats.jetstream.acks import RETRY_ATTEMPTS, RETRY_WAIT, acks_of
from tidings.nats.jetstream.api import Api
from tidings.nats.jetstream.checks import check_name
from tidings.nats.jetstream.errors import ConfigError
from tidings.nats.jetstream.headers import publish_headers
from tidings.nats.jetstream.infos import StreamInfo
from tidings.nats.jetstream.stored import StoredMsg
from tidings.nats.jetstream.stream import Stream

__all__ = ["Counter", "CounterEntry", "open_counter"]

INCREMENT: Final = "Nats-Incr"
SOURCES: Final = "Nats-Counter-Sources"


@dataclass(frozen=True, slots=True)
class CounterEntry:
    """A counter as it stands.

    Attributes:
        subject: which.
        value: its value, of any size.
        increment: what was added last.
        sources: in a stream that adds up others, what each of them has given: stream → subject → value.
    """

    subject: str
    value: int
    increment: int | None = None
    sources: Mapping[str, Mapping[str, int]] = field(default_factory=dict)


class Counter:
    """The counters of a stream. Made by `JetStream.counter`.

    Attributes:
        stream: the stream.
    """

    def __init__(self, api: Api, stream: Stream) -> None:
        self.stream = stream
        self._api = api

    def __repr__(self) -> str:
        return f"<Counter of {self.stream.name!r}>"

    async def add(
        self, subject: str, value: int, *, msg_id: str | None = None, timeout: float | None = None
    ) -> int:
        """Add `value`, which may be negative or 0, to the counter; returns what it is then.

        A counter that nobody added to is 0. Two that add at once both count.

        Args:
            subject: which counter.
            value: of any size.
            msg_id: counted once, however often it is sent within the stream's ``duplicate_window``. Without
                it, what failed with `UnconfirmedError` may have been counted.
            timeout: seconds; None takes that of the context.

        Raises:
            CounterError: what stands there is no counter, or the stream counts no more.
            ConfigError: `value` is no int.
            Others as `JetStream.publish`.
        """
        if type(value) is not int:
            raise ConfigError(f"what is added to a counter is an int, not {value!r}")
        headers = publish_headers({INCREMENT: f"{value:+d}"}, {"msg_id": msg_id})
        ack = await acks_of(self._api.connection).ask(
            subject,
            b"",
            headers,
            self._api.timeout if timeout is None else timeout,
            RETRY_ATTEMPTS,
            RETRY_WAIT,
        )
        if ack.val is not None:
            return ack.val
        if ack.duplicate:
            return await self.get(subject)  # the acknowledgement of a duplicate does not say
        raise ProtocolError(f"the stream {ack.stream!r} stored an increment, and counted nothing")

    async def get(self, subject: str) -> int:
        """The value of a counter.

        Raises:
            MessageNotFoundError: nobody added to it yet.
        """
        return (await self.entry(subject)).value

    async def entry(self, subject: str) -> CounterEntry:
        """A counter with what was added last, and its sources. Raises as `get`."""
        return _entry(await self.stream.get_msg(last_by_subject=subject))

    async def entries(self, *subjects: str) -> AsyncIterator[CounterEntry]:
        """The counters of these subjects, wildcards allowed; all of the stream when none is given.

        Raises, while iterating, as `Stream.get_last_msgs`.
        """
        async for message in self.stream.get_last_msgs(list(subjects) or [">"]):
            yield _entry(message)


async def open_counter(api: Api, stream: str) -> Counter:
    """The counters of the stream of that name. Raises ConfigError, StreamNotFoundError."""
    info = StreamInfo.from_wire(await api.request(f"STREAM.INFO.{check_name(stream, 'stream')}"))
    if not (info.config.allow_msg_counter and info.config.allow_direct):
        raise ConfigError(f"stream {stream!r} needs allow_msg_counter and allow_direct to count")
    return Counter(api, Stream(api, info))


def _entry(message: StoredMsg) -> CounterEntry:
    try:
        value = int(json.loads(message.data)["val"])
        increment = message.headers.get(INCREMENT)
        told = json.loads(message.headers.get(SOURCES) or "{}")
        sources = {
            stream: {subject: int(number) for subject, number in numbers.items()}
            for stream, numbers in told.items()
        }
        return CounterEntry(message.subject, value, None if increment is None else int(increment), sources)
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError):
        raise ProtocolError(f"no counter: {message.subject!r} holds {message.data[:80]!r}") from None
