"""What is declared of an address: the options that sources and destinations of all brokers share.

Each broker's adapter has one frozen dataclass derived from each, with its own options; the
decorators, the plan and the document read that one.
"""

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self, TypeAlias, TypeVar

from .acks import AckPolicy
from .batch import Batch
from .bodies.codec import Encoded
from .dedupe import Dedupe
from .errors import SetupError
from .middleware import Middleware, PublishMiddleware
from .option_types import check_types
from .retry import Retry
from .subjects import has_named_parts

__all__ = ["Accepts", "Decode", "Destination", "Encode", "Source"]

# Of any message: who writes one names that of his broker.
Decode: TypeAlias = Callable[[Any], Any] | Callable[[Any, Any], Any]
"""Reads a message in the place of JSON and text, sync or async; the annotation validates what it gives.

With a second parameter it gets an async function of the message, which reads it by its content type."""
Encode: TypeAlias = Callable[[Any], Encoded]
"""Gives the body of a value and its content type in the place of JSON and text."""
Accepts: TypeAlias = Callable[[Any], bool | Awaitable[bool]]
"""Whether a message is one for a handler."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Source(ABC):
    """Where a subscriber's messages come from.

    Attributes:
        no_reply: do not answer requesters, neither with results nor with errors.
        validate: whether the annotations are checked; None as the broker is told.
        decoder: reads the messages; None as the broker is told.
        encoder: writes the results of the handler; None as the broker is told.
        title, description: of the channel, for people; empty for what the handler says of itself.
        include_in_schema: whether the document of the service tells of it.
        workers: messages handled at once; with more than one their order is lost.
        timeout: seconds that a call of the handler may take; then it is cancelled, which is a failure. A
            plain function goes on in its thread, and its result is not waited for.
        filter: which messages are for the handler that the subscriber decorates; None for all.
        middlewares: around the handlers, within those of the broker and the router.
        dependencies: what `Depends` returns: called for each message, their results are not used.
        dedupe: handle messages of one key once; None for every message.
        retry: how often a message whose handler failed is tried, and when. None is `Retry()` where the broker
            delivers again, and otherwise `retry.IN_PLACE`: the messages behind it wait meanwhile. A request
            is tried again only where it is given.
        dead_letter: the address for those that could not be handled.

    Of a source whose messages are settled, others refuse these:

    Attributes:
        ack_policy: what becomes of a message; None is `AckPolicy.REJECT_ON_ERROR`.
        batch: hand the handler a list of messages; None for one by one.
    """

    no_reply: bool = False
    validate: bool | None = None
    decoder: Decode | None = None
    encoder: Encode | None = None
    title: str = ""
    description: str = ""
    include_in_schema: bool = True
    workers: int = 1
    timeout: float | None = None
    filter: Accepts | None = None
    middlewares: Sequence[Middleware] = ()
    dependencies: Sequence[Any] = ()
    dedupe: Dedupe | None = None
    ack_policy: AckPolicy | None = None
    retry: Retry | None = None
    dead_letter: str | None = None
    batch: Batch | None = None

    @property
    def answers(self) -> bool:
        """Whether requesters are answered."""
        return not self.no_reply

    def check(self) -> None:
        """Refuse options that cannot work, before anything is started. SetupError."""
        check_types(self, "a subscriber")
        if self.workers < 1:
            raise SetupError(f"workers of {self.channel!r} is at least 1, not {self.workers!r}")
        if self.timeout is not None and not self.timeout > 0:
            raise SetupError(f"timeout of {self.channel!r} is above 0 seconds, not {self.timeout!r}")
        if self.dedupe is not None:
            self.dedupe.check(self.channel, self.ack_policy, self.timeout, is_batch=self.batch is not None)

    def prefixed(self, prefix: str) -> Self:
        """The same with the prefix of a router before its address. SetupError where that cannot be."""
        return _prefixed(self, prefix)

    @property
    @abstractmethod
    def channel(self) -> str:
        """The address, for logs and errors."""

    @abstractmethod
    def takes(self, destination: "Destination") -> bool:
        """Whether what is published to `destination` comes from here."""

    @property
    @abstractmethod
    def path_names(self) -> Collection[str]:
        """What `Path` may ask for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Destination(ABC):
    """Where a publisher's messages go.

    Attributes:
        headers: sent with each message.
        reply_to: the address for answers to it.
        middlewares: around each publish, within those of the broker.
        schema: the type of what is published, which is then validated; None for any. See `Publisher.of`.
        encoder: writes the messages; None as the broker is told, or the subscriber whose results they are.
        title, description: of the channel, for people.
        include_in_schema: whether the document of the service tells of it.
    """

    headers: Mapping[str, str] | None = None
    reply_to: str = ""
    middlewares: Sequence[PublishMiddleware] = ()
    schema: Any = None
    encoder: Encode | None = None
    title: str = ""
    description: str = ""
    include_in_schema: bool = True

    @property
    @abstractmethod
    def channel(self) -> str:
        """The address, for logs and errors."""

    def check(self) -> None:
        """Refuse what cannot be published to, as soon as it is declared. SetupError."""
        check_types(self, "a publisher")
        if has_named_parts(self.channel):
            raise SetupError(
                f"publisher: {self.channel!r} has a named part, which only subscribers can fill: publish to "
                f"such an address by broker.publish(message, f{self.channel!r})"
            )

    def prefixed(self, prefix: str) -> Self:
        """The same with the prefix of a router before its address. SetupError where that cannot be."""
        return _prefixed(self, prefix)


EndpointT = TypeVar("EndpointT", bound=Source | Destination)


def _prefixed(endpoint: EndpointT, prefix: str) -> EndpointT:
    if prefix:
        raise SetupError(f"{endpoint.channel!r} takes no prefix, and its router has {prefix!r}")
    return endpoint
