"""That a message that was handled is not handled again: what a source is asked for. `deduping` does it."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from .acks import AckPolicy
from .durations import Duration, to_seconds
from .errors import SetupError
from .marks import MarkStore, MemoryMarks

__all__ = ["Dedupe", "Key"]

Key: TypeAlias = str | Callable[[Any], "str | Awaitable[str | None] | None"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Dedupe:
    """That messages of one key are handled once.

    Attributes:
        key: where a message has it: ``"header:Nats-Msg-Id"``, ``"body:order.id"`` for a field of a JSON body
            (of what the ``decoder`` gives, where there is one), or a function of the message, sync or async.
        ttl: how long a handled key is remembered: seconds, a timedelta or a text such as ``"1h"``.
        store: where; None is the memory of this process, 100,000 keys at most. Shared by all processes
            with the same `name`.
        lease: how long a key stays claimed whose process died. A handler that takes longer may be called
            again meanwhile.
        missing: what becomes of a message without a key: ``"refuse"`` takes it for not valid, so that it goes
            to the dead-letter address or the log; ``"handle"`` handles it each time.
        name: whose keys they are; those of others do not matter. Empty is the address and the handler's
            name, so that two handlers of an address do not take messages from each other.
    """

    key: Key = "header:Nats-Msg-Id"
    ttl: Duration = 3600.0
    store: MarkStore = field(default_factory=MemoryMarks)
    lease: Duration = 60.0
    missing: Literal["refuse", "handle"] = "refuse"
    name: str = ""

    def __post_init__(self) -> None:
        to_seconds(self.ttl, "ttl of a Dedupe")
        to_seconds(self.lease, "lease of a Dedupe")
        store: object = self.store
        if isinstance(store, type) or not callable(getattr(store, "open", None)):
            raise SetupError(f"store of a Dedupe holds marks, such as MemoryMarks(), not {store!r}")
        if self.missing not in ("refuse", "handle"):
            raise SetupError(f'missing of a Dedupe is "refuse" or "handle", not {self.missing!r}')
        if isinstance(self.key, str):
            kind, _, name = self.key.partition(":")
            if kind not in ("header", "body") or not name:
                raise SetupError(
                    f'key of a Dedupe is "header:…", "body:…" or a function of the message, not {self.key!r}'
                )
        elif not callable(self.key):
            raise SetupError(f"key of a Dedupe is a text or a function of the message, not {self.key!r}")

    def check(self, channel: str, policy: AckPolicy | None, timeout: float | None, *, is_batch: bool) -> None:
        """Refuse what a source asks for beside it and cannot have. SetupError."""
        if is_batch:
            raise SetupError(
                f"dedupe of {channel!r}: the messages of a batch succeed and fail together, so nobody "
                "knows which of them were handled; leave out batch or dedupe"
            )
        if policy is AckPolicy.MANUAL:
            raise SetupError(
                f"dedupe of {channel!r}: with {policy} nobody knows whether the handler succeeded; leave out "
                "one of them"
            )
        if timeout is not None and to_seconds(self.lease, "lease") <= timeout:
            raise SetupError(
                f"dedupe of {channel!r}: a handler that may take {timeout:g} s needs a lease that is longer, "
                f"not {self.lease!r}"
            )
