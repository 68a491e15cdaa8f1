"""Where a stream takes messages from, other than what is published to it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import ClassVar, Self

from tidings.nats.jetstream.checks import check_literal, check_name, check_patterns, check_sequence
from tidings.nats.jetstream.errors import ConfigError
from tidings.nats.jetstream.fields import Wire

__all__ = ["External", "SourceConsumer", "StreamSource", "SubjectTransform"]


@dataclass(frozen=True, kw_only=True)
class SubjectTransform(Wire):
    """Subjects that change on their way into a stream (ADR-30).

    Attributes:
        src: which subjects; wildcards allowed. Empty is all of them.
        dest: what they become, with ``{{wildcard(1)}}`` and the other functions of subject mapping.
    """

    src: str = ""
    dest: str = ""

    def check(self, name: str) -> None:
        """Refuse what cannot work. Raises ConfigError."""
        if self.src:
            check_patterns(f"{name}.src", [self.src])


@dataclass(frozen=True, kw_only=True)
class External(Wire):
    """Where a stream in another account or domain is reached.

    Attributes:
        api: prefix of its JetStream API.
        deliver: prefix of the subjects that its messages come on.
    """

    api: str = ""
    deliver: str = ""

    @classmethod
    def in_domain(cls, domain: str) -> Self:
        """That of another domain of the same account."""
        return cls(api=f"$JS.{check_name(domain, 'domain')}.API")


@dataclass(frozen=True, kw_only=True)
class SourceConsumer(Wire):
    """A durable push consumer, made beforehand, that a mirror or source reads through (ADR-60).

    Attributes:
        name: of the consumer; its ack policy is ``flow_control``.
        deliver_subject: the one that it has.
    """

    name: str = ""
    deliver_subject: str = ""


@dataclass(frozen=True, kw_only=True)
class StreamSource(Wire):
    """Another stream that a stream mirrors, or takes messages from.

    Attributes:
        name: of that stream.
        opt_start_seq: begin at this sequence.
        opt_start_time: begin with the first message that is not older.
        filter_subject: only messages on these subjects.
        subject_transforms: only messages on the ``src`` of one of them, moved to its ``dest``.
        external: where the stream is, if in another account or domain.
        consumer: what to read through, see `SourceConsumer`.
    """

    levels: ClassVar[Mapping[str, int | Mapping[str, int]]] = {"consumer": 4}

    name: str
    opt_start_seq: int = 0
    opt_start_time: datetime | None = None
    filter_subject: str = ""
    subject_transforms: list[SubjectTransform] = field(default_factory=list)
    external: External | None = None
    consumer: SourceConsumer | None = None

    def check(self, what: str) -> None:
        """Refuse what cannot work. Raises ConfigError, BadNameError."""
        check_name(self.name, "stream")
        if self.opt_start_seq:
            check_sequence(f"{what}.opt_start_seq", self.opt_start_seq)
            if self.opt_start_time is not None:
                raise ConfigError(
                    f"{what}: opt_start_seq and opt_start_time both say where to begin; give one"
                )
        if self.filter_subject:
            check_patterns(f"{what}.filter_subject", [self.filter_subject])
            if self.subject_transforms:
                raise ConfigError(f"{what}: put filter_subject into the src of its subject_transforms")
        for transform in self.subject_transforms:
            transform.check(f"{what}.subject_transforms")
        if self.external is not None:
            check_literal(f"{what}.external.api", self.external.api)
            if self.external.deliver:
                check_literal(f"{what}.external.deliver", self.external.deliver)
        if self.consumer is not None:
            check_name(self.consumer.name, "consumer")
            check_literal(f"{what}.consumer.deliver_subject", self.consumer.deliver_subject)
