"""The fixtures that users ask for, in a project of theirs."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

PROJECT = """
import asyncio

from tidings.nats import connect


def test_a_server(nats_server):
    async def ask():
        async with await connect(nats_server.url) as client:
            await client.flush()

    asyncio.run(ask())


def test_memory(memory_broker):
    async def run():
        async with memory_broker as broker:
            assert await broker.ping()

    asyncio.run(run())


def test_a_cluster(nats_cluster):
    assert len(nats_cluster.servers) == 3
"""


def test_a_project_with_the_fixtures(tmp_path: Path) -> None:
    (tmp_path / "conftest.py").write_text('pytest_plugins = ["tidings.testing.fixtures"]\n')
    (tmp_path / "test_it.py").write_text(PROJECT)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-W", "error", str(tmp_path)],
        cwd=tmp_path,
        env={**os.environ},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert "3 passed" in done.stdout, done.stdout + done.stderr
