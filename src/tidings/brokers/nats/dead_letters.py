"""Dead letters in a stream: which there are, sending them back to where they came from, removing them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime

from tidings.messaging.dead_letters import ATTEMPTS, ERROR, REPLAYS, SOURCE, TIME
from tidings.messaging.errors import PublishError, SetupError
from tidings.nats import Client
from tidings.nats import Error as NatsError
from tidings.nats.errors import BadSubjectError
from tidings.nats.jetstream import JetStream, StoredMsg, Stream
from tidings.nats.jetstream.errors import ConfigError, MessageNotFoundError, StreamNotFoundError
from tidings.nats.wire import check_pattern, subject_matches

from .burying import SEQUENCE, STREAM, own_headers
from .errors import translated

__all__ = ["DeadLetter", "DeadLetters", "Selection"]


@dataclass(frozen=True, slots=True)
class Selection:
    """Which dead letters.

    Attributes:
        origin: those that came by a subject of this pattern; empty for any.
        error: those whose error has this text in it.
        sequences: first and last sequence in the dead-letter stream; a last one of None is the end. Empty
            for any.
        count: so many at the most; 0 for all.
    """

    origin: str = ""
    error: str = ""
    sequences: tuple[tuple[int, int | None], ...] = ()
    count: int = 0

    def __post_init__(self) -> None:
        if self.origin:
            try:
                check_pattern(self.origin)
            except (BadSubjectError, TypeError) as error:
                raise SetupError(f"origin: {error}") from error
        for first, last in self.sequences:
            if first < 1 or (last is not None and last < first):
                raise SetupError(f"sequences are from 1 on, the first one first, not {first} to {last}")
        if self.count < 0:
            raise SetupError(f"count is at least 0, which is all, not {self.count}")

    def takes(self, letter: DeadLetter) -> bool:
        """Whether it is one of them, apart from how many there are."""
        return (
            (not self.origin or subject_matches(self.origin, letter.origin))
            and self.error in letter.error
            and self.is_in(letter.sequence)
        )

    def is_in(self, sequence: int) -> bool:
        """Whether it is one of the sequences."""
        return not self.sequences or any(
            first <= sequence and (last is None or sequence <= last) for first, last in self.sequences
        )

    def bounds(self, end: int) -> tuple[int, int]:
        """The first and the last sequence to look at in a stream that ends with `end`."""
        if not self.sequences:
            return 1, end
        lasts = [end if last is None else min(last, end) for _, last in self.sequences]
        return min(first for first, _ in self.sequences), max(lasts)


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A message that could not be handled.

    Attributes:
        stored: it, as the dead-letter stream has it.
    """

    stored: StoredMsg

    def _header(self, name: str) -> str:
        return self.stored.headers.get(name, "")

    @property
    def sequence(self) -> int:
        """Its sequence in the dead-letter stream."""
        return self.stored.seq

    @property
    def origin(self) -> str:
        """The subject that it came by."""
        return self._header(SOURCE)

    @property
    def origin_stream(self) -> str:
        """The stream that it came from; empty where it came from none."""
        return self._header(STREAM)

    @property
    def origin_sequence(self) -> str:
        """Its sequence there."""
        return self._header(SEQUENCE)

    @property
    def error(self) -> str:
        """What failed."""
        return self._header(ERROR)

    @property
    def attempts(self) -> str:
        """How often it was tried."""
        return self._header(ATTEMPTS)

    @property
    def time(self) -> str:
        """When it was given up."""
        return self._header(TIME)

    @property
    def replays(self) -> int:
        """How often it was sent back before."""
        text = self._header(REPLAYS)
        return int(text) if text.isascii() and text.isdigit() else 0

    @property
    def id(self) -> str:
        """What no other letter is called by, also when the stream was deleted and made again."""
        when = self.stored.time or datetime.min
        return f"replay.{self.stored.stream}.{self.sequence}.{when.isoformat()}"

    def original_headers(self) -> dict[str, list[str]]:
        """The headers that it came with, and how often it was sent back, this time included."""
        return {**own_headers(self.stored), REPLAYS: [str(self.replays + 1)]}


class DeadLetters:
    """The dead letters of one stream, or of one address in it. Made by `find`.

    Every method raises SetupError, PublishError and BrokerConnectionError, with the client's as their cause.

    Attributes:
        name: of the stream.
        subject: the address; ">" for all of the stream.
    """

    def __init__(self, client: Client, jetstream: JetStream, stream: Stream, subject: str) -> None:
        self.name = stream.name
        self.subject = subject
        self._client = client
        self._jetstream = jetstream
        self._stream = stream

    @classmethod
    async def find(cls, client: Client, jetstream: JetStream, where: str) -> DeadLetters:
        """Those of the stream of this name, or of the dead-letter address of a subscriber.

        Raises:
            SetupError: there is no such stream, and none or several have the address.
        """
        with _translated():
            try:
                return cls(client, jetstream, await jetstream.stream(where), ">")
            except (StreamNotFoundError, ConfigError):  # no name of a stream
                pass
            try:
                name = await jetstream.find_stream(where)
            except (StreamNotFoundError, BadSubjectError) as error:
                raise SetupError(
                    f"there is no stream {where!r}, and none that stores what is published to {where!r}"
                ) from error
            except ConfigError as error:  # no subject either, or one of several streams
                raise SetupError(f"dead letters of {where!r}: {error}") from error
            return cls(client, jetstream, await jetstream.stream(name), where)

    async def select(self, selection: Selection) -> AsyncIterator[DeadLetter]:
        """Those of a selection, the oldest first; what comes meanwhile is left out.

        Messages of the stream that are no dead letters are passed over.
        """
        with _translated():
            info = await self._stream.info()
        sequence, last = selection.bounds(info.state.last_seq)
        found = 0
        while sequence <= last:
            with _translated():
                try:
                    stored = await self._stream.get_msg(
                        next_by_subject=(sequence, self.subject), direct=False
                    )
                except MessageNotFoundError:
                    return
            if stored.seq > last:
                return
            sequence = stored.seq + 1
            letter = DeadLetter(stored)
            if not letter.origin or not selection.takes(letter):
                continue
            yield letter
            found += 1
            if found == selection.count:
                return

    async def replay(self, letter: DeadLetter) -> None:
        """Send one back to where it came from, and remove it once it is there.

        To a stream, that is when the stream has acknowledged it; to a subject that no stream keeps, when
        somebody listens to it. If it is broken off in between it is sent again the next time; a stream knows
        it then as a duplicate, within its ``duplicate_window``.

        Raises:
            PublishError, NoRespondersError: its origin does not take it. It stays here.
        """
        with _translated():
            if letter.origin_stream:
                await self._jetstream.publish(
                    letter.origin,
                    letter.stored.data,
                    headers=letter.original_headers(),
                    expected_stream=letter.origin_stream,
                    msg_id=letter.id,
                )
            else:
                await self._send(letter)
        await self.remove(letter)

    async def _send(self, letter: DeadLetter) -> None:
        """Publish to whoever listens. Asked for an answer, the server says at once if that is nobody."""
        reconnects = self._client.stats.reconnects
        asking = asyncio.ensure_future(
            self._client.request(
                letter.origin, letter.stored.data, timeout=None, headers=letter.original_headers()
            )
        )
        try:
            await asyncio.sleep(0)  # it is written
            await self._client.flush()
            await asyncio.sleep(0)  # what the server says of it is here before what it says of the flush
            if asking.done():
                asking.result()
        finally:
            asking.cancel()
            await asyncio.wait([asking])
        if self._client.stats.reconnects != reconnects:
            raise PublishError(f"the connection was lost while it was published to {letter.origin!r}")

    async def remove(self, letter: DeadLetter) -> None:
        """Remove one; does nothing where it is gone."""
        with _translated(), suppress(MessageNotFoundError):
            await self._stream.delete_msg(letter.sequence)


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except NatsError as error:
        raise translated(error) from error
