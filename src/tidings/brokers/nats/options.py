"""What NATS can be told of a source, of a destination and of the connection."""

from collections.abc import Collection
from dataclasses import dataclass, field

from tidings.messaging.broker import BrokerKeywords
from tidings.messaging.endpoints import Destination, Source
from tidings.nats import ConnectOptions
from tidings.nats.core.options import DEFAULT_LIMITS
from tidings.nats.wire import subject_matches

from .subjects import SubjectPattern

__all__ = ["NatsDestination", "NatsKeywords", "NatsSource"]


@dataclass(frozen=True, slots=True, kw_only=True)
class NatsSource(Source):
    """A subject of core NATS to listen to.

    Attributes:
        subject: may hold wildcards, `*` for one token and a last `>` for the rest, and named parts
            for `Path`: "logs.{level}".
        queue: queue group; each message goes to one member of it. Empty for a copy to everyone.
        max_msgs: end after so many messages; 0 is never.
        pending_msgs_limit: messages held while the handler is busy; more are dropped, which is
            logged. 0 is no limit.
        pending_bytes_limit: bytes of payload held likewise.
    """

    subject: str = field(kw_only=False)
    queue: str = ""
    max_msgs: int = 0
    pending_msgs_limit: int = DEFAULT_LIMITS.msgs
    pending_bytes_limit: int = DEFAULT_LIMITS.bytes

    @property
    def channel(self) -> str:
        """The subject as it is written."""
        return self.subject

    def takes(self, destination: Destination) -> bool:
        """Whether the subject of `destination` matches."""
        return isinstance(destination, NatsDestination) and subject_matches(
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


@dataclass(frozen=True, slots=True, kw_only=True)
class NatsDestination(Destination):
    """A subject to publish to."""

    subject: str = field(kw_only=False)

    @property
    def channel(self) -> str:
        """The subject."""
        return self.subject


class NatsKeywords(BrokerKeywords, ConnectOptions, total=False):
    """The keyword arguments of `NatsBroker`: of every broker, and of the NATS client."""
