"""Marks: short texts that several processes share, each changed only by who knows what it was last.

What must happen once stands on them: which messages were handled (`dedupe`), who runs a schedule now
(`schedule`). A store is four methods; it forgets a mark by itself when its time is over, by its own clock,
so that the clocks of the processes do not matter.
"""

import heapq
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import count
from typing import Any, NamedTuple, Protocol

from .errors import SetupError

__all__ = ["Mark", "MarkStore", "Marks", "MemoryMarks"]


class Mark(NamedTuple):
    """One mark.

    Attributes:
        text: what it says.
        revision: tells this text of the key from every other one that it had or will have.
    """

    text: str
    revision: int


class Marks(Protocol):
    """Where marks are. Each method raises StoreError where it cannot be done, or not be known.

    A key is of letters, digits, ``-`` and ``_``.
    """

    async def create(self, key: str, text: str, seconds: float | None) -> int | None:
        """Make a mark for so many seconds, None for ever: its revision, or None where there is one."""
        ...

    async def get(self, key: str) -> Mark | None:
        """The mark as it is after every change that anybody was told of; None where there is none."""
        ...

    async def update(self, key: str, text: str, revision: int, seconds: float | None) -> int | None:
        """Change a mark that is of this revision, and begin its time anew: its new revision, or None where
        it is of another one, or gone."""
        ...

    async def delete(self, key: str, revision: int) -> None:
        """Remove a mark that is of this revision; does nothing where it is of another one, or gone."""
        ...


class MarkStore(Protocol):
    """What a `Dedupe` names: marks that wait for a connection."""

    async def open(self, adapter: Any) -> Marks:
        """The marks, over the connection of a broker where they need one. SetupError, StoreError."""
        ...


@dataclass(slots=True)
class _Kept:
    text: str
    revision: int
    until: float


class MemoryMarks:
    """Marks within the process, for one event loop. A store too, of itself.

    Args:
        max_keys: beyond so many the one that was made first is forgotten before its time.
        clock: seconds that never go back.
    """

    def __init__(self, max_keys: int = 100_000, clock: Callable[[], float] = time.monotonic) -> None:
        if max_keys < 1:
            raise SetupError(f"max_keys is at least 1, not {max_keys!r}")
        self.max_keys = max_keys
        self._clock = clock
        self._kept: dict[str, _Kept] = {}
        self._ends: list[tuple[float, int, str]] = []
        self._revisions = count(1).__next__

    def __len__(self) -> int:
        self._forget_the_old()
        return len(self._kept)

    async def open(self, adapter: Any) -> "MemoryMarks":
        """Itself: it needs no connection."""
        return self

    async def create(self, key: str, text: str, seconds: float | None) -> int | None:
        """See `Marks.create`."""
        self._forget_the_old()
        if key in self._kept:
            return None
        if len(self._kept) >= self.max_keys:
            del self._kept[next(iter(self._kept))]
        return self._keep(key, text, seconds)

    async def get(self, key: str) -> Mark | None:
        """See `Marks.get`."""
        self._forget_the_old()
        kept = self._kept.get(key)
        return None if kept is None else Mark(kept.text, kept.revision)

    async def update(self, key: str, text: str, revision: int, seconds: float | None) -> int | None:
        """See `Marks.update`."""
        self._forget_the_old()
        kept = self._kept.get(key)
        if kept is None or kept.revision != revision:
            return None
        return self._keep(key, text, seconds)

    async def delete(self, key: str, revision: int) -> None:
        """See `Marks.delete`."""
        kept = self._kept.get(key)
        if kept is not None and kept.revision == revision:
            del self._kept[key]

    def _keep(self, key: str, text: str, seconds: float | None) -> int:
        until = float("inf") if seconds is None else self._clock() + seconds
        revision = self._revisions()
        self._kept[key] = _Kept(text, revision, until)
        if seconds is not None:
            heapq.heappush(self._ends, (until, revision, key))
        if len(self._ends) > 2 * self.max_keys:  # most are of marks that were changed or deleted since
            self._ends = [(each.until, each.revision, key) for key, each in self._kept.items()]
            heapq.heapify(self._ends)
        return revision

    def _forget_the_old(self) -> None:
        now = self._clock()
        while self._ends and self._ends[0][0] <= now:
            _, revision, key = heapq.heappop(self._ends)
            kept = self._kept.get(key)
            if kept is not None and kept.revision == revision:
                del self._kept[key]
