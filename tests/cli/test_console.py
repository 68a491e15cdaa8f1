"""The console of `tidings dev`: what is typed into its terminal."""

import os
import pty
import signal
from collections.abc import Iterator
from contextlib import suppress

import pytest

from tidings.cli import Exit
from tidings.cli.console import arguments, run_line

ECHO = """
from tidings import App
from tidings.brokers.nats import NatsBroker

broker = NatsBroker()
app = App(broker)

@broker.subscriber("echo")
async def echo(body: dict) -> dict:
    return {"got": body}

@broker.subscriber("noted")
async def noted(body: str) -> None:
    print("noted", body, flush=True)
"""


@pytest.mark.parametrize(
    ("line", "args"),
    [
        ("", []),
        ("help", ["--help"]),
        ("publish orders.new hello", ["publish", "orders.new", "hello"]),
        ("publish orders.new 'two words' -H 'a: b'", ["publish", "orders.new", "two words", "-H", "a: b"]),
        ('tidings request a {"id": 1, "of": [2]}', ["request", "a", '{"id": 1, "of": [2]}']),
        ("request a --timeout 2 [1, 2]", ["request", "a", "--timeout", "2", "[1, 2]"]),
        ("request a '{\"id\": 1}' -t 2", ["request", "a", '{"id": 1}', "-t", "2"]),
    ],
    ids=["empty", "help", "plain", "quoted", "json", "json-after-options", "quoted-json"],
)
def test_a_line_is_split_as_a_shell_does_and_json_is_left_alone(line: str, args: list[str]) -> None:
    assert arguments(line) == args


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("publish a 'open", "tidings: No closing quotation in "),
        ("run main:app", "tidings: no command 'run' here: publish, request, dlq and help"),
        ("publish", "Missing argument"),
    ],
    ids=["quotes", "unknown", "argument"],
)
def test_what_cannot_be_run_is_told(line: str, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_line(line) == Exit.USAGE
    assert said in capsys.readouterr().err


@pytest.fixture
def terminal() -> Iterator[tuple[int, int]]:
    """Both ends of a terminal: what is written to the first is typed into the second."""
    ours, theirs = pty.openpty()
    try:
        yield ours, theirs
    finally:
        for end in (ours, theirs):
            with suppress(OSError):
                os.close(end)


def test_commands_go_to_the_service(start, module, terminal) -> None:
    pytest.importorskip("watchfiles")
    ours, theirs = terminal
    module("main", ECHO)
    command = start("dev", "main:app", terminal=theirs)
    command.wait_line("type here: publish SUBJECT MESSAGE")
    command.wait_line("app started")
    os.write(ours, b'request echo {"id": 1}\n')
    command.wait_line("echo ")
    os.write(ours, b"request nowhere x\n")
    command.wait_line("tidings: nobody is subscribed to 'nowhere'")
    os.write(ours, b"publish noted 'two words'\nwhat\n")
    command.wait_line("tidings: no command 'what' here")
    os.write(ours, b"\x04")  # CTRL+D: no more commands, and the service goes on
    module("main", ECHO + "\n")
    command.wait_line("starting again")
    command.wait_line("app started")
    command.send(signal.SIGINT)
    assert command.end() == Exit.OK
    out = command.out().splitlines()
    assert out[0] == '{"got":{"id":1}}'
    assert sorted(out[1:]) == ["noted two words", "published 1 message to 'noted'"]


def test_without_a_terminal_there_is_none(start, module) -> None:
    pytest.importorskip("watchfiles")
    module("main", ECHO)
    command = start("dev", "main:app", stdin=b"publish noted hello\n")
    command.wait_line("app started")
    command.send(signal.SIGINT)
    assert command.end() == Exit.OK
    assert "type here" not in command.err
    assert command.out() == ""
