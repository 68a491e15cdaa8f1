"""The talk's app, run: what the command line needs of it, and what its log shows."""

import asyncio
import logging
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tidings import App, Logger
from tidings.brokers.nats import NatsBroker

from .model import LIMIT, TIDINGS

AN_APP = """
from tidings import App
from tidings.brokers.nats import NatsBroker

broker = NatsBroker()
app = App(broker)
"""

LOGGING = """
from tidings import App, Logger
from tidings.brokers.nats import NatsBroker

broker = NatsBroker()
app = App(broker)

@broker.subscriber("in")
async def handler(msg, logger: Logger):
    logger.info(msg)
    app.exit()
"""


def test_an_app_for_the_command_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "talk_main.py").write_text(AN_APP)
    monkeypatch.syspath_prepend(tmp_path)
    from importlib import import_module

    module = import_module("talk_main")
    assert isinstance(module.app, App)
    assert module.app.brokers == [module.broker]


async def test_logging(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "tidings")
    broker = NatsBroker()
    app = App(broker)
    handled = asyncio.Event()

    @broker.subscriber("in")
    async def handler(msg: Any, logger: Logger) -> None:
        logger.info(msg)
        handled.set()

    async with app:
        await broker.publish("Hello, tidings!", "in", correlation_id="0fd3e176-f")
        await asyncio.wait_for(handled.wait(), LIMIT)
    hello = next(record for record in caplog.records if record.getMessage() == "Hello, tidings!")
    assert vars(hello)["channel"] == "in"
    assert vars(hello)["correlation_id"] == "0fd3e176-f"


async def test_the_log_of_a_run(tmp_path: Path) -> None:
    (tmp_path / "main.py").write_text(LOGGING)
    service = await asyncio.create_subprocess_exec(
        *TIDINGS, "run", "main:app", cwd=tmp_path, stderr=subprocess.PIPE
    )
    assert service.stderr is not None
    lines: list[str] = []
    try:
        async with asyncio.timeout(LIMIT):
            while not any("app started" in line for line in lines):
                lines.append((await service.stderr.readline()).decode())
                assert lines[-1], "".join(lines)
            async with NatsBroker() as broker:
                await broker.publish("Hello, tidings!", "in", correlation_id="0fd3e176-f")
            lines += (await service.stderr.read()).decode().splitlines()
            assert await service.wait() == 0
    finally:
        if service.returncode is None:
            service.send_signal(signal.SIGKILL)
            await service.wait()
    starting, started = (
        next(i for i, line in enumerate(lines) if f"app {word}" in line) for word in ("starting", "started")
    )
    hello = next(i for i, line in enumerate(lines) if "Hello, tidings!" in line)
    assert starting < started < hello
    assert "INFO" in lines[hello]
    assert " in " in lines[hello]
    assert "0fd3e176-f" in lines[hello]
