"""What the memory broker can be told of a source and of a destination."""

from collections.abc import Collection
from dataclasses import dataclass, field, replace
from typing import Self

from tidings.messaging.endpoints import Destination, Source
from tidings.messaging.errors import SetupError
from tidings.messaging.subjects import SubjectPattern
from tidings.nats.errors import BadSubjectError
from tidings.nats.wire import check_pattern, check_queue, check_subject, subject_matches

__all__ = ["MemoryDestination", "MemorySource"]


@dataclass(frozen=True, slots=True, kw_only=True)
class MemorySource(Source):
    """A subject to listen to; its messages are settled.

    Attributes:
        subject: may hold wildcards, `*` for one token and a last `>` for the rest, and named parts
            for `Path`: "logs.{level}".
        queue: queue group; each message goes to one member of it. Empty for a copy to everyone.
    """

    subject: str = field(kw_only=False)
    queue: str = ""

    @property
    def channel(self) -> str:
        """The subject as it is written."""
        return self.subject

    def prefixed(self, prefix: str) -> Self:
        """The same with the prefix before its subject."""
        return replace(self, subject=prefix + self.subject)

    def takes(self, destination: Destination) -> bool:
        """Whether the subject of `destination` matches."""
        return isinstance(destination, MemoryDestination) and subject_matches(
            self.pattern.subject, destination.subject
        )

    @property
    def path_names(self) -> Collection[str]:
        """The named parts of the subject."""
        return [name for name, _ in self.pattern.names]

    @property
    def pattern(self) -> SubjectPattern:
        """The subject, read. SetupError for one that is none."""
        return SubjectPattern.parse(self.subject)

    def check(self) -> None:
        """Refuse what cannot be listened to. SetupError."""
        Source.check(self)
        try:
            check_pattern(self.pattern.subject)
            if self.queue:
                check_queue(self.queue)
        except (BadSubjectError, TypeError) as error:
            raise SetupError(str(error)) from error


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryDestination(Destination):
    """A subject to publish to."""

    subject: str = field(kw_only=False)

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
