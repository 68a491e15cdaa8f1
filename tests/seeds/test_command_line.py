"""The talk's command lines: two workers, and a reload."""

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from tidings.brokers.nats import NatsBroker

from .model import LIMIT, TIDINGS

STARTED = """
import os
from tidings import App
from tidings.brokers.nats import NatsBroker

broker = NatsBroker()
app = App(broker)

@app.after_startup
async def tell():
    await broker.publish([os.getpid(), "first"], "started")
"""


@asynccontextmanager
async def running(folder: Path, *arguments: str) -> AsyncIterator["asyncio.Queue[list[Any]]"]:
    """`tidings run` with what its processes tell when they start; it stops as it should."""
    started: asyncio.Queue[list[Any]] = asyncio.Queue()
    broker = NatsBroker()

    @broker.subscriber("started")
    async def tells(pid_and_what: list[Any]) -> None:
        await started.put(pid_and_what)

    (folder / "main.py").write_text(STARTED)
    async with broker:
        await broker.start()
        service = await asyncio.create_subprocess_exec(*TIDINGS, "run", "main:app", *arguments, cwd=folder)
        try:
            yield started
            service.send_signal(signal.SIGTERM)
            assert await asyncio.wait_for(service.wait(), LIMIT) == 0
        finally:
            if service.returncode is None:
                service.kill()
                await service.wait()


async def test_two_workers(tmp_path: Path) -> None:
    async with running(tmp_path, "--workers", "2") as started:
        pids = {(await asyncio.wait_for(started.get(), LIMIT))[0] for _ in range(2)}
        assert len(pids) == 2


async def test_a_reload(tmp_path: Path) -> None:
    async with running(tmp_path, "--reload") as started:
        before, what = await asyncio.wait_for(started.get(), LIMIT)
        assert what == "first"
        (tmp_path / "main.py").write_text(STARTED.replace("first", "second, changed"))
        after, what = await asyncio.wait_for(started.get(), LIMIT)
        assert what == "second, changed"
        assert after != before
