"""A stream: what it tells of itself, its messages, its consumers."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, Unpack

from tidings.nats.jetstream.administration import Administration
from tidings.nats.jetstream.api import Api
from tidings.nats.jetstream.checks import check_patterns, check_sequence
from tidings.nats.jetstream.errors import (
    ApiError,
    ConfigError,
    JetStreamUnavailableError,
    MessageNotFoundError,
)
from tidings.nats.jetstream.infos import StreamInfo
from tidings.nats.jetstream.ordered import OrderedConsumer
from tidings.nats.jetstream.ordered_reading import OrderedOptions
from tidings.nats.jetstream.stored import StoredMsg, get_by_api, get_directly
from tidings.nats.jetstream.stored_batch import stored_batch
from tidings.nats.jetstream.times import format_time

__all__ = ["Stream"]

_BATCH_LEVEL = 1
_DELETE_FAILED = 10057


class Stream(Administration):
    """A stream, and through it its messages and consumers. Got from `JetStream.create_stream` or `.stream`.

    Attributes:
        name: its name.
        cached_info: what the server told last, see `info`.
        api: the way to the server.
    """

    def __init__(self, api: Api, info: StreamInfo) -> None:
        super().__init__(api, info.config.name)
        self.cached_info = info

    def __repr__(self) -> str:
        return f"<Stream {self.name!r}>"

    async def info(self, *, deleted_details: bool = False, subjects_filter: str | None = None) -> StreamInfo:
        """What the server tells of the stream now.

        Args:
            deleted_details: list the sequences of deleted messages in ``state.deleted``.
            subjects_filter: count the messages of these subjects in ``state.subjects``; wildcards allowed.
                The server gives 100,000 subjects at a time; all are asked for.

        Raises:
            StreamNotFoundError: it was deleted.
        """
        body: dict[str, Any] = {}
        if deleted_details:
            body["deleted_details"] = True
        if subjects_filter is not None:
            check_patterns("subjects_filter", [subjects_filter])
            body["subjects_filter"] = subjects_filter
        answer = await self._ask_info(body)
        info = StreamInfo.from_wire(answer)
        subjects, total = dict(info.state.subjects), answer.get("total", 0)
        while subjects_filter is not None and len(subjects) < total:
            answer = await self._ask_info({"subjects_filter": subjects_filter, "offset": len(subjects)})
            more = StreamInfo.from_wire(answer).state.subjects
            if not more.keys() - subjects.keys():
                break  # some went meanwhile
            subjects |= more
        self.cached_info = info = replace(info, state=replace(info.state, subjects=subjects))
        return info

    def ordered_consumer(self, **options: Unpack[OrderedOptions]) -> OrderedConsumer:
        """Read the stream, each message once and in order, whatever happens on the way.

        Costs nothing: the server hears of it when it is read from.

        Args:
            options: see `OrderedSettings`.

        Raises:
            ConfigError: an option that cannot work.
        """
        return OrderedConsumer(self.api, self.name, **options)

    async def purge(
        self, *, subject: str | None = None, seq: int | None = None, keep: int | None = None
    ) -> int:
        """Remove messages, all of them unless told; returns how many.

        Args:
            subject: only those on it; wildcards allowed.
            seq: only those before this sequence.
            keep: leave this many of the newest.

        Raises:
            ConfigError: both `seq` and `keep` are given, or something that is none.
            ApiError: the stream does not allow it.
        """
        body: dict[str, Any] = {}
        if seq is not None and keep is not None:
            raise ConfigError("seq and keep both say how far to purge; give one")
        if subject is not None:
            check_patterns("subject", [subject])
            body["filter"] = subject
        if seq is not None:
            body["seq"] = check_sequence("seq", seq)
        if keep is not None:
            body["keep"] = check_sequence("keep", keep, least=0)
        purged = (await self.api.request(f"STREAM.PURGE.{self.name}", body)).get("purged")
        return purged if isinstance(purged, int) else 0

    async def seal(self) -> StreamInfo:
        """Let nothing change any more: no message comes or goes, for ever. It can be deleted."""
        config = replace((await self.info()).config, sealed=True)
        answer = await self.api.request(f"STREAM.UPDATE.{self.name}", config.to_wire())
        self.cached_info = StreamInfo.from_wire(answer)
        return self.cached_info

    # Messages

    async def get_msg(
        self,
        seq: int | None = None,
        *,
        last_by_subject: str | None = None,
        next_by_subject: tuple[int, str] | None = None,
        direct: bool | None = None,
    ) -> StoredMsg:
        """One stored message; exactly one of the first three arguments says which.

        Args:
            seq: by its sequence.
            last_by_subject: the last on this subject; wildcards allowed.
            next_by_subject: a sequence and a subject: the first on it that is not before; wildcards allowed.
            direct: from whichever replica is near, which may be a moment behind the leader (ADR-31).
                None does so where the stream has ``allow_direct``.

        Raises:
            MessageNotFoundError: there is none.
            ConfigError: not exactly one says which.
            JetStreamUnavailableError: `direct` is true and the stream does not allow it.
        """
        request = _which(seq, last_by_subject, next_by_subject)
        if direct or (direct is None and self.cached_info.config.allow_direct):
            try:
                return await get_directly(self.api, self.name, request)
            except JetStreamUnavailableError:
                if direct:
                    raise  # otherwise the config may have changed
        return await get_by_api(self.api, self.name, request)

    async def delete_msg(self, seq: int, *, erase: bool = True) -> None:
        """Delete a message.

        Args:
            seq: its sequence.
            erase: overwrite it with random bytes; without, it is only marked, which is faster.

        Raises:
            MessageNotFoundError: there is none.
        """
        body: dict[str, Any] = {"seq": check_sequence("seq", seq)}
        if not erase:
            body["no_erase"] = True
        try:
            await self.api.request(f"STREAM.MSG.DELETE.{self.name}", body)
        except ApiError as error:
            if error.err_code == _DELETE_FAILED and "no message found" in error.description:
                raise MessageNotFoundError(404, error.err_code, error.description, error.request) from None
            raise

    def get_batch(
        self,
        batch: int,
        *,
        seq: int | None = None,
        start_time: datetime | None = None,
        subject: str | None = None,
        timeout: float | None = None,
    ) -> AsyncIterator[StoredMsg]:
        """Stored messages in a row, directly from a replica (ADR-31); the stream must have ``allow_direct``.

        Args:
            batch: so many at the most.
            seq: the first is not before this sequence; 1 unless told.
            start_time: … or not before this time.
            subject: only those on it; wildcards allowed.
            timeout: seconds for each page of 500 messages or 4 MiB; None takes that of the context.

        Raises, while iterating:
            TimeoutError: a page did not come in time.
            JetStreamUnavailableError: the stream does not allow it, or is gone.
        """
        if type(batch) is not int or batch < 1:
            raise ConfigError(f"batch is how many messages, at least 1, not {batch!r}")
        if seq is not None and start_time is not None:
            raise ConfigError("seq and start_time both say where to begin; give one")
        request: dict[str, Any] = {}
        if start_time is not None:
            request["start_time"] = format_time(start_time, "start_time")
        else:
            request["seq"] = 1 if seq is None else check_sequence("seq", seq)
        if subject is not None:
            check_patterns("subject", [subject])
            request["next_by_subj"] = subject
        self.api.require(_BATCH_LEVEL, "getting stored messages in batches")
        return stored_batch(self.api, self.name, request, limit=batch, timeout=timeout)

    def get_last_msgs(
        self,
        subjects: Sequence[str],
        *,
        batch: int | None = None,
        up_to_seq: int | None = None,
        up_to_time: datetime | None = None,
        timeout: float | None = None,
    ) -> AsyncIterator[StoredMsg]:
        """The last message of each subject, as they were at one moment (ADR-31), in the order of the stream.

        The stream must have ``allow_direct``. The server gives up to 1024 subjects.

        Args:
            subjects: which; wildcards allowed.
            batch: so many messages at the most.
            up_to_seq: as it was with this sequence.
            up_to_time: … or at this time.
            timeout: seconds for each page of 500 messages or 4 MiB; None takes that of the context.

        Raises, while iterating:
            TooManyResultsError: more subjects match than the server gives.
            TimeoutError, JetStreamUnavailableError: as `get_batch`.
        """
        if isinstance(subjects, str) or not subjects:
            raise ConfigError(f"subjects is a list of at least one, not {subjects!r}")
        check_patterns("subjects", subjects)
        if batch is not None and (type(batch) is not int or batch < 1):
            raise ConfigError(f"batch is how many messages, at least 1, not {batch!r}")
        if up_to_seq is not None and up_to_time is not None:
            raise ConfigError("up_to_seq and up_to_time both say as of when; give one")
        request: dict[str, Any] = {"multi_last": list(subjects)}
        if up_to_seq is not None:
            request["up_to_seq"] = check_sequence("up_to_seq", up_to_seq)
        if up_to_time is not None:
            request["up_to_time"] = format_time(up_to_time, "up_to_time")
        self.api.require(_BATCH_LEVEL, "getting stored messages in batches")
        return stored_batch(self.api, self.name, request, limit=batch, timeout=timeout)

    async def _ask_info(self, body: dict[str, Any]) -> dict[str, Any]:
        return await self.api.request(f"STREAM.INFO.{self.name}", body or None)


def _which(
    seq: int | None, last_by_subject: str | None, next_by_subject: tuple[int, str] | None
) -> dict[str, Any]:
    """The request for one message."""
    if [seq, last_by_subject, next_by_subject].count(None) != 2:
        raise ConfigError("say which message: give one of seq, last_by_subject and next_by_subject")
    if seq is not None:
        return {"seq": check_sequence("seq", seq)}
    if last_by_subject is not None:
        check_patterns("last_by_subject", [last_by_subject])
        return {"last_by_subj": last_by_subject}
    assert next_by_subject is not None
    if not isinstance(next_by_subject, tuple) or len(next_by_subject) != 2:
        raise ConfigError(f"next_by_subject is a sequence and a subject, not {next_by_subject!r}")
    start, subject = next_by_subject
    check_patterns("next_by_subject", [subject])
    return {"seq": check_sequence("next_by_subject", start), "next_by_subj": subject}
