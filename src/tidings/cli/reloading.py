"""`tidings run --reload`: a process of the service that is started anew when its code changes."""

import asyncio
import logging
import signal
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from .exits import CommandError, Exit
from .processes import Child, how_it_ended, signals_to
from .service import Service

if TYPE_CHECKING:
    from watchfiles import BaseFilter

__all__ = ["Watched", "reload"]

log = logging.getLogger("tidings")


@dataclass(frozen=True, slots=True, kw_only=True)
class Watched:
    """Which files are watched.

    Attributes:
        folders: with all below them; what tools keep there (.git, .venv, __pycache__ …) is left out.
        extensions: of files beside Python's, such as ".toml".
    """

    folders: Sequence[Path]
    extensions: Sequence[str] = ()

    def check(self) -> None:
        """CommandError for a folder that is not there, or where watchfiles is missing."""
        for folder in self.folders:
            if not folder.is_dir():
                raise CommandError(Exit.USAGE, f"--reload-dir {folder}: there is no such folder")
        self.filter()

    def filter(self) -> "BaseFilter":
        """What tells the files apart. CommandError where watchfiles is missing."""
        try:
            from watchfiles import PythonFilter
        except ModuleNotFoundError:
            raise CommandError(
                Exit.NOT_INSTALLED,
                '--reload: watchfiles is not installed: pip install "tidings[reload]"',
            ) from None
        dotted = ["." + each.removeprefix(".") for each in self.extensions]
        return PythonFilter(extra_extensions=dotted)


def reload(service: Service, watched: Watched, stop_timeout: float) -> int:
    """Run the service until it is stopped, anew after each change; gives the exit code.

    A service that fails, by a syntax error for example, says so; the next change starts it again.
    """
    return asyncio.run(_Reloader(service, watched, stop_timeout).run())


async def _next(changes: AsyncGenerator[str, None]) -> str:
    return await anext(changes)


class _Reloader:
    def __init__(self, service: Service, watched: Watched, stop_timeout: float) -> None:
        self._service = service
        self._watched = watched
        self._stop_timeout = stop_timeout
        self._stopping = asyncio.Event()
        self._child: Child | None = None
        self._code: int = Exit.OK
        self._forced = 0

    async def run(self) -> int:
        with signals_to(self._on_signal, self._on_second_signal):
            names = ", ".join(map(str, self._watched.folders))
            log.info("watching %s for changes", names)
            changes = self._changes()
            change = asyncio.create_task(_next(changes))
            try:
                while not self._stopping.is_set():
                    child = self._child = await Child.start(self._service)
                    end = asyncio.create_task(child.wait())
                    await self._first_of(change, end)
                    if end.done():
                        if end.result() == Exit.OK:
                            break
                        ended = how_it_ended(end.result())
                        log.error("the app %s, and is started again after a change", ended)
                        await self._first_of(change)
                    if change.done() and not self._stopping.is_set():
                        log.info("%s changed, starting again", change.result())
                        change = asyncio.create_task(_next(changes))
                    await self._stop(child, end)
            finally:
                change.cancel()
                await asyncio.wait([change])
                await changes.aclose()
                if self._child is not None:  # after an error of ours
                    self._child.kill()
        return self._forced or self._code

    async def _stop(self, child: Child, end: "asyncio.Task[int]") -> None:
        """Stop the child if it still runs; its exit code is ours if that is the end."""
        if not end.done():
            child.ask_stop()
            timer = asyncio.get_running_loop().call_later(self._stop_timeout, self._kill_the_slow, child)
            code = await end
            timer.cancel()
            if self._stopping.is_set():
                self._code = code
        self._child = None

    async def _first_of(self, *tasks: "asyncio.Task[str] | asyncio.Task[int]") -> None:
        """Wait for one of the tasks, or for the stop."""
        stop = asyncio.create_task(self._stopping.wait())
        try:
            await asyncio.wait([*tasks, stop], return_when=asyncio.FIRST_COMPLETED)
        finally:
            stop.cancel()

    async def _changes(self) -> AsyncGenerator[str, None]:
        """The names of files that changed, each time some did."""
        from watchfiles import awatch

        try:
            async for changes in awatch(*self._watched.folders, watch_filter=self._watched.filter()):
                yield ", ".join(sorted({Path(path).name for _, path in changes}))
        except OSError as error:  # too many folders for the kernel, most of the time
            raise CommandError(
                Exit.APP_FAILED,
                f"--reload: the files cannot be watched: {error}. Name fewer folders with --reload-dir, "
                "or set WATCHFILES_FORCE_POLLING=true",
            ) from error

    def _on_signal(self, number: signal.Signals) -> None:
        log.info("%s received, stopping; a second one ends the process at once", number.name)
        self._stopping.set()

    def _on_second_signal(self, number: signal.Signals) -> None:
        self._forced = 128 + number
        if self._child is not None:
            self._child.kill()

    def _kill_the_slow(self, child: Child) -> None:
        log.error("the app did not stop in %g s, and is killed", self._stop_timeout)
        child.kill()
