"""SIGINT and SIGTERM: the first one stops, whenever it comes, the second one ends the process."""

import asyncio
import contextvars
import signal
import socket
import subprocess
import sys
import textwrap
import threading

import pytest

from tidings.app import App
from tidings.app.signals import stop_signals

LIMIT = 30.0  # seconds, for a child process to do what it should


# What the children of the signal tests begin with.
CHILD = """
import asyncio, sys, time
from tidings.app import App
from tidings.brokers.nats import NatsBroker

def say(word):
    print(word, flush=True)

async def wait():
    say("waiting")
    await asyncio.Event().wait()

def block():
    say("waiting")
    while True:
        time.sleep(0.01)  # a signal that comes right before a sleep is handled after it

app = App(after_shutdown=[lambda: say("closed")], logger=None)
"""


class Child:
    """A Python process that runs an App; its lines are read as they come."""

    def __init__(self, code: str, runner: str) -> None:
        script = textwrap.dedent(CHILD) + textwrap.dedent(code) + "\n" + runner
        self.process = subprocess.Popen(
            [sys.executable, "-c", script],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._watchdog = threading.Timer(LIMIT, self.process.kill)

    def __enter__(self) -> "Child":
        self._watchdog.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._watchdog.cancel()
        self.process.kill()
        self.process.communicate()

    def line(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def send(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def end(self) -> tuple[int, str, str]:
        out, err = self.process.communicate()
        return self.process.returncode, out, err


RUN = "with asyncio.Runner(loop_factory={}) as runner: runner.run(app.run())"


@pytest.fixture(params=["asyncio", "uvloop"])
def runner(request: pytest.FixtureRequest) -> str:
    pytest.importorskip(request.param)
    return f"import {request.param}\n" + RUN.format(f"{request.param}.new_event_loop")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_one_signal_stops_gracefully(number: signal.Signals, runner: str) -> None:
    with Child('app.after_startup(lambda: say("up"))', runner) as child:
        assert child.line() == "up"
        child.send(number)
        assert child.end() == (0, "closed\n", "")


def test_a_signal_abandons_a_start_that_takes_too_long(runner: str) -> None:
    with Child("app.on_startup(wait)", runner) as child:
        assert child.line() == "waiting"
        child.send(signal.SIGTERM)
        assert child.end() == (0, "closed\n", "")


@pytest.mark.parametrize("hook", ["wait", "block"])
def test_a_second_signal_forces_the_exit(hook: str, runner: str) -> None:
    """Also where the first stop waits for ever, or its hook blocks the event loop."""
    with Child(f'app.after_startup(lambda: say("up"))\napp.on_shutdown({hook})', runner) as child:
        assert child.line() == "up"
        child.send(signal.SIGINT)
        assert child.line() == "waiting"
        child.send(signal.SIGTERM)
        code, out, err = child.end()
        assert (code, out) == (128 + signal.SIGTERM, "")
        assert "second signal" in err


def test_signal_handlers_are_given_back() -> None:
    before = signal.getsignal(signal.SIGTERM)
    seen: list[object] = []
    app = App(on_startup=[lambda: seen.append(signal.getsignal(signal.SIGTERM))], logger=None)
    app.after_startup(app.exit)
    asyncio.run(app.run())
    assert seen != [before]
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_signal_wakes_a_loop_that_is_about_to_wait() -> None:
    """By a socket that Python writes to as soon as the signal comes, also after the loop's last look."""
    seen: list[int] = []

    def look() -> None:
        seen.append(signal.set_wakeup_fd(-1))
        signal.set_wakeup_fd(seen[-1], warn_on_full_buffer=False)

    app = App(on_startup=[look], logger=None)
    app.after_startup(app.exit)
    asyncio.run(app.run())
    assert seen[0] != -1
    assert signal.set_wakeup_fd(-1) == -1


def test_the_wakeup_socket_of_somebody_else_is_left_alone() -> None:
    near, far = socket.socketpair()
    with near, far:
        far.setblocking(False)
        signal.set_wakeup_fd(far.fileno())
        try:
            app = App(logger=None)
            app.after_startup(app.exit)
            asyncio.run(app.run())
        finally:
            assert signal.set_wakeup_fd(-1) == far.fileno()


async def test_a_loop_wakes_by_the_signal_alone() -> None:
    """The handler is called by Python, not by the loop: here its part of the work is left out."""
    loop = asyncio.get_running_loop()
    came: asyncio.Future[signal.Signals] = loop.create_future()
    with stop_signals(loop, came.set_result):
        signal.raise_signal(signal.SIGTERM)
        assert await asyncio.wait_for(came, LIMIT) is signal.SIGTERM


def test_it_is_known_which_signal_ended_a_run() -> None:
    app = App(logger=None)
    app.after_startup(lambda: signal.raise_signal(signal.SIGTERM))
    asyncio.run(app.run())
    assert app.stopped_by is signal.SIGTERM
    app._after_startup = [app.exit]
    asyncio.run(app.run())
    assert app.stopped_by is None


def test_an_app_runs_in_a_thread_without_signals() -> None:
    calls: list[str] = []
    app = App(after_shutdown=[lambda: calls.append("closed")], logger=None)
    app.after_startup(app.exit)
    thread = threading.Thread(target=lambda: asyncio.run(app.run()))
    thread.start()
    thread.join(LIMIT)
    assert calls == ["closed"]


async def test_what_a_signal_causes_has_nothing_of_whom_it_interrupts() -> None:
    of_handler: contextvars.ContextVar[str] = contextvars.ContextVar("of_handler", default="nobody's")
    seen: asyncio.Queue[str] = asyncio.Queue()
    with stop_signals(asyncio.get_running_loop(), lambda number: seen.put_nowait(of_handler.get())):

        async def handler() -> None:
            of_handler.set("a message's")
            signal.raise_signal(signal.SIGINT)

        await asyncio.create_task(handler())
        async with asyncio.timeout(LIMIT):
            assert await seen.get() == "nobody's"
