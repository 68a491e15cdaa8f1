"""Turns: of all processes that know a schedule one runs each tick.

Two marks (`marks`) hold what they share: ``…-last``, the last tick that was run, for ever, and ``…-run``,
who runs one now, for the time of a lease. A tick is run by who makes the second one and finds an earlier
tick in the first. So none is run twice, however the clocks of the processes differ: the schedule goes by
the first of them, and the others find the tick run already.
"""

import re
from dataclasses import dataclass
from hashlib import sha256
from os import urandom

from ..marks import Mark, Marks

__all__ = ["Busy", "Turn", "Turns"]

_OTHER = re.compile(r"[^A-Za-z0-9_-]+")
_READABLE = 60  # characters of a name that a key shows


@dataclass(slots=True)
class Turn:
    """The right to run a tick.

    Attributes:
        tick: which one.
        token, revision: of the lease.
        last: what was run before.
    """

    tick: float
    token: str
    revision: int
    last: Mark | None


class Busy(Exception):
    """Another process runs the schedule now, or has died while it did.

    Attributes:
        tick: the one that it runs.
    """

    def __init__(self, tick: float) -> None:
        super().__init__(tick)
        self.tick = tick


class Turns:
    """Those of one schedule. Each method raises what the store does.

    Args:
        marks: shared by the processes.
        name: of the schedule.
        lease: seconds that a process holds a turn without a sign of life.
        is_kept: whether a tick counts as run only when its handler has ended, so that it is run by another
            one when the process dies.
    """

    def __init__(self, marks: Marks, name: str, lease: float, *, is_kept: bool) -> None:
        key = f"{_OTHER.sub('-', name)[-_READABLE:]}-{sha256(name.encode()).hexdigest()[:12]}"
        self._marks = marks
        self._last, self._run = f"{key}-last", f"{key}-run"
        self._lease = lease
        self._is_kept = is_kept

    async def take(self, tick: float) -> Turn | None:
        """The turn to run a tick; None where it was run. Raises Busy."""
        token = f"{tick!r} {urandom(8).hex()}"
        revision = await self._marks.create(self._run, token, self._lease)
        if revision is None:
            mark = await self._marks.get(self._run)
            if mark is None or mark.text != token:  # ours where the answer to an earlier try was lost
                raise Busy(tick if mark is None else float(mark.text.split()[0]))
            revision = mark.revision
        turn = Turn(tick, token, revision, None)
        try:
            turn.last = await self._marks.get(self._last)
            was_run = turn.last is not None and float(turn.last.text) >= tick
            if not was_run and (self._is_kept or await self._record(turn)):
                return turn
        except BaseException:
            await self._leave(turn)
            raise
        await self._leave(turn)
        return None

    async def renew(self, turn: Turn) -> bool:
        """Begin the lease anew; False where it has ended, and another one may have the next turn."""
        revision = await self._marks.update(self._run, turn.token, turn.revision, self._lease)
        if revision is None:
            return False
        turn.revision = revision
        return True

    async def end(self, turn: Turn, *, is_run: bool) -> None:
        """Let go of a turn, whose tick was run or not."""
        try:
            if is_run and self._is_kept:
                await self._record(turn)
        finally:
            await self._leave(turn)

    async def begin(self, tick: float) -> None:
        """Count every tick until this one as run where nothing is known: a new schedule has missed none."""
        await self._marks.create(self._last, repr(tick), None)

    async def _record(self, turn: Turn) -> bool:
        if turn.last is None:
            return await self._marks.create(self._last, repr(turn.tick), None) is not None
        return await self._marks.update(self._last, repr(turn.tick), turn.last.revision, None) is not None

    async def _leave(self, turn: Turn) -> None:
        # By its token: a renewal that was cancelled may have changed the revision.
        mark = await self._marks.get(self._run)
        if mark is not None and mark.text == turn.token:
            await self._marks.delete(self._run, mark.revision)
