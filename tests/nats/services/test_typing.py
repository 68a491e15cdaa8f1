"""What type checkers see of services and of what servers answer."""

from __future__ import annotations

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

GOOD = """
from typing import assert_type
from tidings.nats import Client, Msg
from tidings.nats.services import Endpoint, Group, Request, Service, ServiceInfo, ServiceStats
from tidings.nats.system import Answer
from tidings.nats.system.types import Connz, Varz

async def answer(request: Request) -> bytes:
    return request.data

async def silent(request: Request) -> None:
    await request.respond_error(404, "gone")

async def main(client: Client) -> None:
    service = await client.add_service("calc", "1.0.0", queue_group="", metadata={"a": "b"})
    assert_type(service, Service)
    group = service.add_group("v1")
    assert_type(group, Group)
    assert_type(await group.add_endpoint("a", answer, workers=2), Endpoint)
    await service.add_endpoint("b", silent)
    await service.add_endpoint("c", lambda request: request.subject)
    services = client.services()
    assert_type(await services.info("calc"), list[ServiceInfo])
    assert_type(await services.stats(), list[ServiceStats])
    assert_type(await services.request("a"), Msg)
    answers = await client.system().varz(server_name="n1")
    assert_type(answers, list[Answer[Varz]])
    assert_type(answers[0].data["connections"], int)
    assert_type(await client.system().account("A").connz(state="closed"), list[Answer[Connz]])
"""

BAD = """
from tidings.nats import Client
from tidings.nats.services import Request

def number(request: Request) -> int:
    return 1

async def main(client: Client) -> None:
    await client.add_service("calc", "1.0.0", wrong=1)  # BAD
    service = await client.add_service("calc", "1.0.0")
    await service.add_endpoint("e", number)  # BAD
    await service.add_endpoint("e", lambda request: request.nothing)  # BAD
    answers = await client.system().varz(acc="A")  # BAD
    await client.system().connz(state="ajar")  # BAD
    answers[0].data["no_such_figure"]  # BAD
"""


def mypy(tmp_path: Path, source: str) -> str:
    program = tmp_path / "program.py"
    program.write_text(source)
    command = [
        sys.executable,
        "-m",
        "mypy",
        "--strict",
        "--no-error-summary",
        "--cache-dir",
        str(tmp_path),
        program,
    ]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False).stdout


@pytest.mark.skipif(find_spec("mypy") is None, reason="mypy is not installed")
class TestTypes:
    def test_what_is_right(self, tmp_path: Path) -> None:
        assert mypy(tmp_path, GOOD) == ""

    def test_what_is_wrong(self, tmp_path: Path) -> None:
        said = mypy(tmp_path, BAD)
        lines = [number for number, line in enumerate(BAD.splitlines(), 1) if line.endswith("# BAD")]
        assert [int(line.split(":")[1]) for line in said.splitlines() if ": error:" in line] == lines
