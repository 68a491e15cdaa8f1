"""The two implementations of the wire core, side by side: the tests of this folder run on each."""

from __future__ import annotations

import importlib.util
import os
import shutil
import sys
import sysconfig
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tidings.nats.errors import ProtocolError
from tidings.nats.wire import calls, commands, headers, message, parser, subjects
from tidings.nats.wire.events import Event

NOT_BUILT = ""
try:
    from tidings.nats.wire import _speedups
except ImportError:
    NOT_BUILT = "the compiled wire twin is NOT built, so these tests ran on the pure one alone"


@dataclass(frozen=True)
class Twin:
    """One implementation of the names that come in two."""

    name: str
    Parser: type[parser.Parser]
    Encoder: type[commands.Encoder]
    Msg: type[message.Msg]
    Route: type[message.Route]
    Calls: type[calls.Calls]
    check_subject: Callable[..., None]
    encode_headers: Callable[..., bytes]
    parse_headers: Callable[[bytes], tuple[int, str, list[tuple[str, str]]]]

    def reader(self, *sids: int, **limits: int) -> parser.Parser:
        """A parser with a route for each of `sids`."""
        made = self.Parser(**limits)
        for sid in sids:
            made.routes[sid] = self.Route(sid, f"owner {sid}")
        return made


TWINS = [
    Twin(
        "python",
        parser.Parser,
        commands.Encoder,
        message.Msg,
        message.Route,
        calls.Calls,
        subjects.check_subject,
        headers.encode_headers,
        headers.parse_headers,
    )
]
if not NOT_BUILT:
    TWINS.append(
        Twin(
            "c",
            _speedups.Parser,
            _speedups.Encoder,
            _speedups.Msg,
            _speedups.Route,
            _speedups.Calls,
            _speedups.check_subject,
            _speedups.encode_headers,
            _speedups.parse_headers,
        )
    )


@pytest.fixture(scope="session", params=TWINS, ids=lambda twin: twin.name)
def twin(request: pytest.FixtureRequest) -> Twin:
    """Each implementation in turn."""
    return request.param


@pytest.fixture(scope="session")
def twins() -> list[Twin]:
    """Both implementations, for the tests that compare them."""
    if NOT_BUILT:
        pytest.skip(NOT_BUILT)
    return TWINS


@pytest.fixture(scope="session")
def missing_twin() -> str:
    """Why the compiled twin is not there; empty when it is."""
    return NOT_BUILT


@pytest.fixture(scope="session")
def twin_is_due() -> bool:
    """Whether this is a machine on which the compiled twin has to be there."""
    header = Path(sysconfig.get_path("include"), "Python.h")
    return os.environ.get("CI") == "true" and bool(shutil.which("gcc")) and header.exists()


@pytest.fixture(scope="session")
def fuzz() -> ModuleType:
    """The script that `make fuzz` runs."""
    path = Path(__file__).parents[3] / "scripts" / "fuzz_wire.py"
    spec = importlib.util.spec_from_file_location("fuzz_wire", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["fuzz_wire"] = module  # its dataclasses look themselves up there
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def pump() -> Callable[[parser.Parser, Iterable[bytes]], list[Event]]:
    """Writes pieces into a parser's own buffers, as a socket does."""

    def write(target: parser.Parser, pieces: Iterable[bytes]) -> list[Event]:
        events: list[Event] = []
        for piece in pieces:
            left = memoryview(piece)
            while left:
                window = target.get_buffer()
                size = min(len(window), len(left))
                assert size, "a buffer without room"
                window[:size] = left[:size]
                left = left[size:]
                events += target.buffer_updated(size)
        return events

    return write


@pytest.fixture(scope="session")
def taken() -> Callable[[parser.Parser], list[tuple[Any, ...]]]:
    """Everything a parser delivered since the last call, as plain values, in the order it came."""

    def values(target: parser.Parser) -> list[tuple[Any, ...]]:
        return [plain(route.pop()) for route in target.take_touched() for _ in range(route.pending_msgs)]

    return values


def plain(one: message.Msg) -> tuple[Any, ...]:
    """A message as a tuple that compares equal for both twins."""
    try:
        block: Any = (one.status, one.status_text, one.headers.pairs(), one.has_headers)
    except ProtocolError as error:
        block = str(error)
    return (one.sid, one.owner, one.subject, one.reply, one.data, block)


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Say aloud when half of the work was not done."""
    if NOT_BUILT:
        terminalreporter.section("wire core", red=True)
        terminalreporter.line(NOT_BUILT, red=True)
