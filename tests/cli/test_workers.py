"""`tidings run --workers`: real processes, watched, started again and stopped together."""

import os
import re
import signal
import socket
import subprocess
import sys

import pytest

from tidings.cli import Exit

LIMIT = 30.0  # seconds

APP = "from tidings.app import App\napp = App()\n"
WAITS_AT_STOP = APP + "import asyncio\napp.on_shutdown(asyncio.Event().wait)\n"


def pid_in(line: str) -> int:
    found = re.search(r"\(pid (\d+)\)", line)
    assert found
    return int(found[1])


def all_ready(command, count: int) -> dict[int, int]:
    """Wait until all are; their process ids by their numbers."""
    pids: dict[int, int] = {}
    while len(pids) < count:
        line = command.wait_line("is ready (pid")
        pids[int(line.split(" worker ")[1].split()[0])] = pid_in(line)
    command.wait_line(f"all {count} workers are ready")
    return pids


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_all_are_ready_and_all_stop(number: signal.Signals, start, module) -> None:
    """Also when CTRL+C goes to every process of the terminal at once."""
    module("main", APP)
    command = start("run", "main:app", "--workers", "3")
    assert len(set(all_ready(command, 3).values())) == 3
    command.send_to_group(number)
    assert command.end() == Exit.OK
    assert command.err.count("app stopped") == 3
    assert "Traceback" not in command.err


def test_a_worker_knows_its_number_and_gets_the_options(start, module) -> None:
    module(
        "main",
        APP
        + """
from tidings import Context
@app.on_startup
def tell(name: str, worker_id: int = Context()):
    print(name, worker_id, flush=True)
""",
    )
    command = start("run", "main:app", "--workers", "2", "--name", "shop")
    all_ready(command, 2)
    command.send(signal.SIGTERM)
    assert command.end() == Exit.OK
    assert sorted(command.out().splitlines()) == ["shop 1", "shop 2"]
    assert re.search(r"INFO     \[2\] - app stopped", command.err)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_one_that_ends_is_started_again(number: signal.Signals, start, module) -> None:
    """A signal meant for one worker is no stop of the service."""
    module("main", APP)
    command = start("run", "main:app", "--workers", "2")
    before = all_ready(command, 2)
    os.kill(before[1], number)
    command.wait_line(f"worker 1 was ended by {number.name}, is started again in")
    again = pid_in(command.wait_line("worker 1 of 2 is ready"))
    assert again not in before.values()
    command.send(signal.SIGTERM)
    assert command.end() == Exit.OK


def test_one_that_fails_too_often_ends_the_service(start, module) -> None:
    module("main", APP)
    command = start("run", "main:app", "-w", "2", "--respawn-limit", "1")
    pids = all_ready(command, 2)
    os.kill(pids[2], signal.SIGKILL)
    os.kill(pid_in(command.wait_line("worker 2 of 2 is ready")), signal.SIGKILL)
    command.wait_line(
        "worker 2 was ended by SIGKILL, 2 times in a row: the service stops (--respawn-limit 1)"
    )
    assert command.end() == 128 + signal.SIGKILL
    assert command.err.count("app stopped") == 1


def test_what_cannot_be_imported_is_told_once(start, module) -> None:
    module("main", "import a_library_not_there")
    command = start("run", "main:app", "--workers", "3")
    assert command.end() == Exit.IMPORT_FAILED
    assert command.err.count("Traceback") == 1
    assert "worker 1 ended with exit code 4 before the service was up" in command.err


def test_a_start_that_fails_later_stops_those_that_run(start, module) -> None:
    module(
        "main",
        APP
        + """
from tidings import Context
@app.on_startup
def fail(worker_id: int = Context()):
    if worker_id == 2:
        raise ValueError("not me")
""",
    )
    command = start("run", "main:app", "--workers", "2")
    assert command.end() == Exit.APP_FAILED
    assert "tidings: the app failed: ValueError: not me" in command.err
    assert "worker 2 ended with exit code 1 before the service was up" in command.err
    assert command.err.count("app stopped") == 1


def test_an_exit_of_one_ends_the_service(start, module) -> None:
    module(
        "main",
        APP
        + """
import asyncio, os
from pathlib import Path
from tidings import Context
tasks = []
@app.after_startup
async def leave(worker_id: int = Context()):
    async def when_told():
        with open("told") as fifo:
            fifo.read()
        app.exit()
    if worker_id == 2:
        tasks.append(asyncio.create_task(asyncio.to_thread(lambda: asyncio.run(when_told()))))
""",
    )
    fifo = module("unused", "").parent / "told"
    os.mkfifo(fifo)
    command = start("run", "main:app", "--workers", "2")
    all_ready(command, 2)
    fifo.write_text("leave")
    command.wait_line("worker 2 ended by itself: the service stops")
    assert command.end() == Exit.OK


def test_a_second_signal_kills_them(start, module) -> None:
    module("main", WAITS_AT_STOP)
    command = start("run", "main:app", "--workers", "2")
    all_ready(command, 2)
    command.send(signal.SIGTERM)
    for _ in range(2):
        command.wait_line("app stopping…")
    command.send(signal.SIGINT)
    assert command.end() == 128 + signal.SIGINT
    assert "app stopped" not in command.err


def test_those_that_take_too_long_to_stop_are_killed(start, module) -> None:
    module("main", WAITS_AT_STOP)
    command = start("run", "main:app", "--workers", "2", "--stop-timeout", "0.5")
    all_ready(command, 2)
    command.send(signal.SIGTERM)
    assert command.end() == 128 + signal.SIGKILL
    assert "worker 2 did not stop in 0.5 s, and is killed" in command.err


@pytest.mark.parametrize(
    ("code", "sign"),
    [
        (
            "import sys, threading\nprint('here', file=sys.stderr, flush=True)\nthreading.Event().wait()",
            "here",
        ),
        (APP + "import asyncio\napp.on_startup(asyncio.Event().wait)", "app starting…"),
    ],
    ids=["loading", "starting"],
)
def test_a_stop_does_not_wait_for_those_that_are_not_up(code: str, sign: str, start, module) -> None:
    module("main", code)
    command = start("run", "main:app", "--workers", "2")
    command.wait_line(sign)
    command.send(signal.SIGTERM)
    assert command.end() == Exit.OK
    assert "killed" not in command.err


def test_none_is_left_when_the_supervisor_is_killed(start, module) -> None:
    """They hold our end of stderr: it ends when the last of them has."""
    module("main", APP)
    command = start("run", "main:app", "--workers", "2")
    all_ready(command, 2)
    command.send(signal.SIGKILL)
    assert command.end() == -signal.SIGKILL
    assert command.all_ended()
    assert command.err.count("app stopped") == 2


def test_one_whose_loop_is_blocked_ends_too_when_the_supervisor_is_gone() -> None:
    script = """
import socket, sys, threading
from tidings.cli import child
child.PATIENCE = 0.1
line = socket.socket(fileno=int(sys.argv[1]))
lifeline = child._Lifeline(line)
lifeline.loaded()
lifeline.attach(lambda: None)
line.sendall(b"up")
threading.Event().wait()
"""
    ours, theirs = socket.socketpair()
    with ours:
        with theirs:
            args = [sys.executable, "-c", script, str(theirs.fileno())]
            process = subprocess.Popen(args, pass_fds=(theirs.fileno(),))
        try:
            ours.settimeout(LIMIT)
            assert ours.recv(2) == b"up"
            ours.close()
            assert process.wait(LIMIT) == Exit.APP_FAILED
        finally:
            process.kill()
            process.wait(LIMIT)


ANSWERING_APP = """
import os
from tidings import App, Context
from tidings.brokers.nats import NatsBroker
broker = NatsBroker()
app = App(broker)
print(os.environ["TIDINGS_NATS_SERVERS"], flush=True)

@broker.subscriber("who", queue="workers")
async def who(worker_id: int = Context()) -> int:
    return worker_id
"""


def test_one_embedded_server_for_all(start, module) -> None:
    module("main", ANSWERING_APP)
    command = start("run", "main:app", "--workers", "2", "--embedded")
    all_ready(command, 2)
    asked = start("request", "who", "")
    assert asked.end() == Exit.OK, asked.err
    assert asked.out() in ("1\n", "2\n")
    command.send(signal.SIGTERM)
    assert command.end() == Exit.OK
    urls = command.out().split()
    assert len(urls) == 2
    assert len(set(urls)) == 1


def test_a_number_that_is_none(start, module) -> None:
    command = start("run", "main:app", "--workers", "0", COLUMNS="200")
    assert command.end() == Exit.USAGE
    assert "--workers" in command.err
