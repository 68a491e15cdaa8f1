"""`tidings run --workers N`: processes of one service, watched, started again, and stopped together.

==========================================  ========================================================
what happens                                what is done
==========================================  ========================================================
the first worker is ready                   the others are started: a service that cannot start, or
                                            has streams to declare, finds out once
a worker ends before all are ready          all stop; its exit code is ours
a worker fails, or is killed, later         it is started again, after a wait that doubles
it failed so often in a row                 all stop; its exit code is ours
a worker ends by `app.exit()`               all stop, as the one process of a service would
SIGINT or SIGTERM                           all stop; those that take too long are killed
the same again                              all are killed
==========================================  ========================================================
"""

import asyncio
import logging
import signal
from contextlib import suppress
from dataclasses import dataclass, replace

from tidings.messaging.retry import Retry

from .exits import Exit
from .processes import Child, how_it_ended, signals_to
from .service import Service

__all__ = ["Limits", "supervise"]

log = logging.getLogger("tidings")

_BACKOFF = Retry(backoff=0.5, max_delay=30.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How patient one is with workers.

    Attributes:
        stop_timeout: seconds they have to stop before they are killed.
        respawns: how often in a row one may fail and be started again.
        settled: seconds that one has to be ready for its earlier failures to be forgotten.
        backoff: what is waited before one is started again.
    """

    stop_timeout: float = 30.0
    respawns: int = 10
    settled: float = 60.0
    backoff: Retry = _BACKOFF


def supervise(service: Service, limits: Limits) -> int:
    """Run `service.workers` processes until they are stopped; gives the exit code of the worst."""
    return asyncio.run(_Supervisor(service, limits).run())


class _Supervisor:
    def __init__(self, service: Service, limits: Limits) -> None:
        self._service = service
        self._limits = limits
        self._children: dict[int, Child] = {}
        self._were_ready: set[int] = set()
        self._first_ready = asyncio.Event()
        self._stopping = asyncio.Event()
        self._worst: int = Exit.OK
        self._forced = 0

    async def run(self) -> int:
        count = self._service.workers
        with signals_to(self._on_signal, self._on_second_signal):
            try:
                async with asyncio.TaskGroup() as tasks:
                    tasks.create_task(self._keep(1))
                    await self._first_ready.wait()
                    if not self._stopping.is_set():
                        for number in range(2, count + 1):
                            tasks.create_task(self._keep(number))
            finally:
                for child in self._children.values():  # none is left but after an error of ours
                    child.kill()
        log.info("all workers have stopped")
        return self._forced or self._worst

    async def _keep(self, number: int) -> None:
        """Have a worker of the number until all stop."""
        failures = 0
        while not self._stopping.is_set():
            code, ready_for = await self._run_one(number)
            if self._stopping.is_set():
                self._worst = max(self._worst, code)
            elif code == Exit.OK:
                log.info("worker %d ended by itself: the service stops", number)
                self._stop()
            elif len(self._were_ready) < self._service.workers:
                log.error("worker %d %s before the service was up", number, how_it_ended(code))
                self._stop(code)
            else:
                failures = 1 if ready_for >= self._limits.settled else failures + 1
                await self._wait_to_respawn(number, code, failures)

    async def _run_one(self, number: int) -> tuple[int, float]:
        """One life of a worker: its exit code, and for how many seconds it was ready."""
        service = replace(self._service, worker_id=number)
        child = self._children[number] = await Child.start(service, self._on_ready)
        if self._stopping.is_set():
            child.ask_stop()
        try:
            code = await child.wait()
        finally:
            del self._children[number]
            self._first_ready.set()  # if it was not, nobody shall wait for it
        now = asyncio.get_running_loop().time()
        return code, now - (now if child.ready_at is None else child.ready_at)

    def _on_ready(self, child: Child) -> None:
        number, count = child.service.worker_id, self._service.workers
        log.info("worker %d of %d is ready (pid %d)", number, count, child.pid)
        is_news = number not in self._were_ready
        self._were_ready.add(number)
        self._first_ready.set()
        if is_news and len(self._were_ready) == count:
            log.info("all %d workers are ready, press CTRL+C to exit", count)

    async def _wait_to_respawn(self, number: int, code: int, failures: int) -> None:
        limit = self._limits.respawns
        if failures > limit:
            log.error(
                "worker %d %s, %d times in a row: the service stops (--respawn-limit %d)",
                number,
                how_it_ended(code),
                failures,
                limit,
            )
            self._stop(code)
            return
        delay = self._limits.backoff.delay(failures)
        log.error(
            "worker %d %s, is started again in %.3g s (%d of %d)",
            number,
            how_it_ended(code),
            delay,
            failures,
            limit,
        )
        with suppress(TimeoutError):
            await asyncio.wait_for(self._stopping.wait(), delay)

    def _on_signal(self, number: signal.Signals) -> None:
        log.info("%s received, stopping the workers; a second one kills them", number.name)
        self._stop()

    def _on_second_signal(self, number: signal.Signals) -> None:
        self._forced = 128 + number
        for child in self._children.values():
            child.kill()

    def _stop(self, code: int = Exit.OK) -> None:
        """Have all workers stop, and the run end with the code unless one ends worse."""
        if self._stopping.is_set():
            return
        self._stopping.set()
        self._first_ready.set()
        self._worst = code
        for child in self._children.values():
            child.ask_stop()
        asyncio.get_running_loop().call_later(self._limits.stop_timeout, self._kill_the_slow)

    def _kill_the_slow(self) -> None:
        for number, child in self._children.items():
            log.error("worker %d did not stop in %g s, and is killed", number, self._limits.stop_timeout)
            child.kill()
