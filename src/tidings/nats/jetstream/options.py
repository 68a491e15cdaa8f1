"""The options of a JetStream context."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias, TypedDict

from tidings.nats.errors import BadSubjectError
from tidings.nats.jetstream.errors import BadNameError, ConfigError
from tidings.nats.jetstream.puback import FailedPublish
from tidings.nats.wire import check_subject

__all__ = ["ContextOptions", "JetStreamOptions", "PublishErrorHandler"]


PublishErrorHandler: TypeAlias = Callable[[FailedPublish, Exception], object]
"""Called with an async publish that failed, and why; plain or async."""


@dataclass(frozen=True, kw_only=True, slots=True)
class JetStreamOptions:
    """Options of `Client.jetstream`, and their defaults; times in seconds.

    Attributes:
        domain: the JetStream domain to talk to, behind a leaf node; None is the server's own.
        prefix: first tokens of the API's subjects, where an account imports them under other names;
            in the place of a domain.
        timeout: for requests that are given none.
        publish_async_max_pending: async publishes that may wait for their acknowledgement at once.
        publish_async_stall_wait: how long one more waits for room among them; None waits as long as it takes,
            which the next option limits.
        publish_async_ack_timeout: how long an acknowledgement may take; None sets no limit.
        publish_async_err_handler: called with the message and the error of each async publish that failed;
            plain or async.
    """

    domain: str | None = None
    prefix: str | None = None
    timeout: float = 5.0
    publish_async_max_pending: int = 4000
    publish_async_stall_wait: float | None = None
    publish_async_ack_timeout: float | None = 30.0
    publish_async_err_handler: PublishErrorHandler | None = None

    def __post_init__(self) -> None:
        if self.domain is not None and self.prefix is not None:
            raise ConfigError("domain and prefix are given; each says where the API is")
        if self.domain is not None and (
            not isinstance(self.domain, str) or not self.domain or set(self.domain) & set(". *>\t\r\n")
        ):
            raise BadNameError(f"domain is one token of a subject, not {self.domain!r}")
        try:
            check_subject(self.api_prefix, "prefix")
        except (BadSubjectError, TypeError) as error:
            raise BadNameError(str(error)) from None
        _check_above("timeout", self.timeout)
        _check_above("publish_async_max_pending", self.publish_async_max_pending)
        if self.publish_async_ack_timeout is not None:
            _check_above("publish_async_ack_timeout", self.publish_async_ack_timeout)
        if (stall := self.publish_async_stall_wait) is not None and (
            not isinstance(stall, int | float) or not stall >= 0
        ):
            raise ConfigError(f"publish_async_stall_wait cannot be {stall!r}")
        handler = self.publish_async_err_handler
        if handler is not None and not callable(handler):
            raise ConfigError(f"publish_async_err_handler is a function, not {handler!r}")

    @property
    def api_prefix(self) -> str:
        """First tokens of the API's subjects, without a dot at the end."""
        if self.domain is not None:
            return f"$JS.{self.domain}.API"
        return "$JS.API" if self.prefix is None else self.prefix.removesuffix(".")


class ContextOptions(TypedDict, total=False):
    """`JetStreamOptions` as keyword arguments of `Client.jetstream`; a test keeps the two alike."""

    domain: str | None
    prefix: str | None
    timeout: float
    publish_async_max_pending: int
    publish_async_stall_wait: float | None
    publish_async_ack_timeout: float | None
    publish_async_err_handler: PublishErrorHandler | None


def _check_above(name: str, value: object) -> None:
    if not isinstance(value, int | float) or isinstance(value, bool) or not value > 0:
        raise ConfigError(f"{name} is a number above 0, not {value!r}")
