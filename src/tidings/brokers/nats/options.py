"""What NATS can be told of a source, of a destination and of the connection."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Literal, Self

from tidings.messaging.broker import BrokerKeywords
from tidings.messaging.endpoints import Destination, Source
from tidings.messaging.errors import SetupError
from tidings.messaging.option_types import check_types
from tidings.nats import ConnectOptions
from tidings.nats.core.options import DEFAULT_LIMITS
from tidings.nats.errors import BadSubjectError
from tidings.nats.wire import check_pattern, check_queue, check_subject, subject_matches

from .option_types import SOURCE_OPTIONS
from .subjects import SubjectPattern
from .ways import KvWatch, ObjWatch, Pull, Push

if TYPE_CHECKING:  # JetStream is loaded by who uses it
    from tidings.nats.jetstream import ConsumerConfig, DeliverPolicy, StreamConfig

__all__ = ["CONSUMER_OPTIONS", "NatsDestination", "NatsKeywords", "NatsSource"]

CONSUMER_OPTIONS = (
    "deliver_policy",
    "opt_start_seq",
    "opt_start_time",
    "ack_wait",
    "max_deliver",
    "max_ack_pending",
    "backoff",
    "inactive_threshold",
    "headers_only",
)
"""Options of a source that a `ConsumerConfig` has by the same names."""
# Those that an ordered consumer has too.
_ORDERED_OPTIONS = ("deliver_policy", "opt_start_seq", "opt_start_time", "inactive_threshold", "headers_only")
_DECLARE = ("create", "update", "never")
_OF_CONSUMERS = ("durable", "pull", "push", "ordered", "config", "filter_subjects", *CONSUMER_OPTIONS)
_OF_STREAMS = (*_OF_CONSUMERS, "declare")
_OF_LIMITS = ("pending_msgs_limit", "pending_bytes_limit")
_OF_SUBJECTS = ("queue", "max_msgs", *_OF_LIMITS)


@dataclass(frozen=True, slots=True, kw_only=True)
class NatsSource(Source):
    """A subject to listen to: what is published to it while we listen, or what a stream has stored of it.
    Or the keys of a bucket, or the objects of a store.

    Attributes:
        subject: may hold wildcards, `*` for one token and a last `>` for the rest, and named parts
            for `Path`: "logs.{level}". Of a bucket it says which keys, and may be left out for all of them.

    Without a stream, and all but `max_msgs` where a consumer pushes:

    Attributes:
        queue: queue group; each message goes to one member of it. Empty for a copy to everyone.
        max_msgs: end after so many messages; 0 is never.
        pending_msgs_limit: messages held while the handler is busy; more are dropped, which is
            logged, and those of a stream come again. 0 is no limit.
        pending_bytes_limit: bytes of payload held likewise.

    From a stream, through a consumer whose filter is the subject:

    Attributes:
        stream: the name of one that is there, or the config of one that is made if it is not.
        durable: the name of the consumer, which stays when nobody listens; all who name it share its
            messages. Empty for a consumer of our own, which ends with us.
        pull: how messages are asked for.
        push: that the consumer sends by itself, and how. In a `queue` the members of a `durable` share what
            it sends; without one it has one subscriber at a time.
        ordered: every message in order, and nothing is settled; the consumer is our own.
        filter_subjects: only these of what the subject covers.
        declare: "create" makes what is not there, "update" also changes what is there otherwise, "never"
            does neither. What is there otherwise is a SetupError, but for "update".
        config: of the consumer, in the place of the rest: see `ConsumerConfig` for what they are.

    From a key-value bucket, first the values that are there, then each change:

    Attributes:
        kv_watch: the name of the bucket, or a `KvWatch`. A deletion has no body, which is None for a handler
            that admits it. `declare` says what happens where the bucket is not as its config.

    From an object store, first of the objects that are there, then of each change:

    Attributes:
        obj_watch: the name of the bucket, or an `ObjWatch`. The body is the name of the object. `declare` as
            for keys; a subject there is none.
    """

    subject: str = field(default="", kw_only=False)
    queue: str = ""
    max_msgs: int = 0
    pending_msgs_limit: int = DEFAULT_LIMITS.msgs
    pending_bytes_limit: int = DEFAULT_LIMITS.bytes
    stream: str | StreamConfig | None = None
    durable: str = ""
    pull: Pull | None = None
    push: Push | None = None
    ordered: bool = False
    filter_subjects: Collection[str] = ()
    declare: Literal["create", "update", "never"] = "create"
    config: ConsumerConfig | None = None
    deliver_policy: DeliverPolicy | None = None
    opt_start_seq: int | None = None
    opt_start_time: datetime | None = None
    ack_wait: float | timedelta | None = None
    max_deliver: int | None = None
    max_ack_pending: int | None = None
    backoff: Collection[float | timedelta] | None = None
    inactive_threshold: float | timedelta | None = None
    headers_only: bool | None = None
    kv_watch: str | KvWatch | None = None
    obj_watch: str | ObjWatch | None = None

    @property
    def channel(self) -> str:
        """The subject as it is written; with its bucket where it stands for keys."""
        return self.subject if self.watched is None else f"{self.watched.name}/{self.subject or '>'}"

    @property
    def watched(self) -> KvWatch | ObjWatch | None:
        """What is watched of a bucket, if that is where the messages come from."""
        if self.obj_watch is not None:
            return ObjWatch(self.obj_watch) if isinstance(self.obj_watch, str) else self.obj_watch
        return KvWatch(self.kv_watch) if isinstance(self.kv_watch, str) else self.kv_watch

    @property
    def answers(self) -> bool:
        """Whether requesters are answered; a stored message has none."""
        return not self.no_reply and self.stream is None and self.watched is None

    def takes(self, destination: Destination) -> bool:
        """Whether the subject of `destination` matches."""
        if self.watched is not None or not isinstance(destination, NatsDestination):
            return False
        return subject_matches(self.pattern.subject, destination.subject)

    @property
    def path_names(self) -> Collection[str]:
        """The named parts of the subject."""
        return [name for name, _ in self.pattern.names]

    @property
    def pattern(self) -> SubjectPattern:
        """The subject, read. SetupError for one that is none."""
        return SubjectPattern.parse(self.subject or (">" if self.watched is not None else ""))

    def prefixed(self, prefix: str) -> Self:
        """The same with the prefix before its subject, and before those that filter it."""
        if not prefix:
            return self
        if self.obj_watch is not None:  # an object's name has no parts
            raise SetupError(f"{self.channel!r} takes no prefix, and its router has {prefix!r}")
        filters = tuple(prefix + each for each in self.filter_subjects)
        subject = self.subject or (">" if self.kv_watch is not None else "")
        return replace(self, subject=prefix + subject, filter_subjects=filters)

    @property
    def pushes(self) -> bool:
        """Whether the consumer sends by itself."""
        return self.push is not None or (self.config is not None and bool(self.config.deliver_subject))

    def given(self, names: Collection[str]) -> list[str]:
        """Which of these options are not left at their default."""
        defaults = NatsSource.__dataclass_fields__
        return [name for name in names if getattr(self, name) != defaults[name].default]

    def check(self) -> None:
        """Refuse options that cannot work, or not together. SetupError."""
        Source.check(self)
        check_types(self, "a subscriber", SOURCE_OPTIONS, naming=("kv_watch", "obj_watch"))
        if self.declare not in _DECLARE:
            raise SetupError(f"declare is one of {', '.join(map(repr, _DECLARE))}, not {self.declare!r}")
        if self.watched is not None:
            self._check_watch()
            return
        if not self.subject:
            raise SetupError(
                "a subscriber listens to a subject, to the keys of a bucket (kv_watch=) or to the objects "
                "of a store (obj_watch=)"
            )
        try:
            check_pattern(self.pattern.subject)
        except BadSubjectError as error:
            raise SetupError(f"the subscriber of {self.subject!r}: {error}") from error
        if self.stream is None:
            self._refuse(_OF_STREAMS, "for messages of a stream: say stream=")
            self._check_queue()
            return
        if self.pushes:
            self._check_push()
        else:
            self._refuse(_OF_SUBJECTS, "not for messages of a stream, but where it pushes (push=)")
        if self.config is not None:
            self._refuse(
                ("durable", "push", "ordered", *CONSUMER_OPTIONS), "given, and a config too: put it into that"
            )
        if self.ordered:
            others = [name for name in ("durable", "push", *CONSUMER_OPTIONS) if name not in _ORDERED_OPTIONS]
            self._refuse(others, "not for an ordered consumer")
            if self.workers > 1:
                raise SetupError(
                    f"{self.subject!r}: workers > 1 do not keep the order that ordered=True keeps"
                )
        if self.declare == "never" and not (self.durable or self.config or self.ordered):
            raise SetupError(f"{self.subject!r}: declare='never' needs the durable that is there")
        covering = self.pattern.subject
        for each in self.filter_subjects:
            if not subject_matches(covering, each) or (each.endswith(">") and not covering.endswith(">")):
                raise SetupError(f"filter subject {each!r} is not within the subject {self.subject!r}")

    def _check_queue(self) -> None:
        if self.queue:
            try:
                check_queue(self.queue)
            except BadSubjectError as error:
                raise SetupError(f"the subscriber of {self.channel!r}: {error}") from error

    def _check_push(self) -> None:
        self._check_queue()
        self._refuse(("max_msgs",), "not for messages of a stream")
        self._refuse(("pull",), "not for a consumer that pushes")
        if self.push is None:
            self._refuse(("queue",), "given, and a config too: put it into that, as deliver_group")
        elif self.queue and not self.durable:
            raise SetupError(
                f"the queue group {self.queue!r} of {self.channel!r} needs the durable= it shares"
            )

    def _check_watch(self) -> None:
        if self.obj_watch is not None:
            self._refuse(("kv_watch", "subject"), "not for the objects of a store")
        self._refuse(("stream", *_OF_CONSUMERS, *_OF_SUBJECTS), "not for what is in a bucket")
        if self.workers > 1:
            raise SetupError(f"{self.channel!r}: workers > 1 do not keep the order in which a bucket changes")

    def _refuse(self, names: Collection[str], why: str) -> None:
        if found := self.given(names):
            raise SetupError(f"{', '.join(found)} of the subscriber of {self.channel!r}: {why}")


@dataclass(frozen=True, slots=True, kw_only=True)
class NatsDestination(Destination):
    """A subject to publish to.

    Attributes:
        stream: the stream that must store what is published; publishing waits until it has. Empty for
            whoever listens.
    """

    subject: str = field(kw_only=False)
    stream: str = ""

    @property
    def channel(self) -> str:
        """The subject."""
        return self.subject

    def check(self) -> None:
        """Refuse a subject that nobody can publish to, and options of a wrong type. SetupError."""
        Destination.check(self)
        try:
            check_subject(self.subject)
        except BadSubjectError as error:
            raise SetupError(f"publisher: {error}") from error

    def prefixed(self, prefix: str) -> Self:
        """The same with the prefix before its subject."""
        return replace(self, subject=prefix + self.subject)


class NatsKeywords(BrokerKeywords, ConnectOptions, total=False):
    """The keyword arguments of `NatsBroker`: of every broker, and of the NATS client."""
