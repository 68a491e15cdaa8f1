"""`tidings run --reload` and `tidings dev`: the service as it is now, whatever its code went through."""

import signal
import subprocess
import sys

import pytest
from tests.cli.conftest import LIMIT

from tidings.cli import Exit

pytest.importorskip("watchfiles")


def saying(word: str, more: str = "") -> str:
    """A module whose App says a word once it has started."""
    return f"""
        import sys
        from tidings.app import App
        app = App()
        {more}
        @app.after_startup
        def say() -> None:
            print("it is {word}", file=sys.stderr, flush=True)
        """


def test_a_change_starts_it_anew(start, module) -> None:
    module("main", saying("one"))
    command = start("run", "main:app", "--reload")
    command.wait_line("watching . for changes")
    command.wait_line("it is one")
    module("main", saying("another"))
    command.wait_line("main.py changed, starting again")
    command.wait_line("app stopped")
    command.wait_line("it is another")
    command.send_to_group(signal.SIGINT)
    assert command.end() == Exit.OK
    assert command.err.count("app stopped") == 2


def test_it_waits_for_a_change_after_an_error(start, module) -> None:
    command = start("run", "main:app", "--reload")
    command.wait_line("tidings: no module named 'main'")
    command.wait_line("the app ended with exit code 3, and is started again after a change")
    path = module("main", "def broken(:\n")
    command.wait_line("main.py changed, starting again")
    command.wait_line(f'File "{path}", line 1')
    command.wait_line("tidings: cannot import main: SyntaxError")
    module("main", saying("mended"))
    command.wait_line("it is mended")
    command.send(signal.SIGTERM)
    assert command.end() == Exit.OK
    assert "Traceback" not in command.err


def test_files_of_another_kind_and_place(start, module, folder) -> None:
    module("code/main", saying("one"))
    (folder / "settings").mkdir()
    command = start(
        *("run", "main:app", "--app-dir", "code", "-r"),
        *("--reload-dir", "settings", "--reload-ext", "toml"),
    )
    command.wait_line("it is one")
    module("code/main", saying("not watched"))
    (folder / "settings" / "here.txt").write_text("neither")
    (folder / "settings" / "here.toml").write_text("")
    command.wait_line("here.toml changed, starting again")
    command.wait_line("it is not watched")
    command.send(signal.SIGTERM)
    assert command.end() == Exit.OK
    assert command.err.count("starting again") == 1


def test_an_app_that_exits_ends_it(start, module) -> None:
    module("main", saying("one", "app.after_startup(app.exit)"))
    assert start("run", "main:app", "--reload").end() == Exit.OK


def test_a_second_signal_kills_it(start, module) -> None:
    module("main", saying("one", "import asyncio; app.on_shutdown(asyncio.Event().wait)"))
    command = start("run", "main:app", "--reload")
    command.wait_line("it is one")
    command.send(signal.SIGTERM)
    command.wait_line("app stopping…")
    command.send(signal.SIGTERM)
    assert command.end() == 128 + signal.SIGTERM


def test_nothing_is_left_when_the_watcher_is_killed(start, module) -> None:
    module("main", saying("one"))
    command = start("run", "main:app", "--reload")
    command.wait_line("it is one")
    command.send(signal.SIGKILL)
    command.end()
    assert command.all_ended()
    assert "app stopped" in command.err


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (("--reload", "--workers", "2"), "--reload is for one process"),
        (("--reload-ext", "toml"), "--reload-ext is for the watcher: add --reload"),
        (("--reload-dir", "."), "--reload-dir is for the watcher: add --reload"),
        (("--reload", "--reload-dir", "nowhere"), "--reload-dir nowhere: there is no such folder"),
    ],
)
def test_options_that_do_not_go_together(args, said, start, module) -> None:
    module("main", saying("one"))
    command = start("run", "main:app", *args)
    assert command.end() == Exit.USAGE
    assert f"tidings: {said}" in command.err


@pytest.mark.parametrize("args", [["run", "main:app", "--reload"], ["dev", "main:app"]])
def test_without_the_extra_one_line_names_it(args: list[str], folder) -> None:
    hide = "import sys; sys.modules['watchfiles'] = None; from tidings.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", hide, *args],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=LIMIT,
        check=False,
    )
    assert done.returncode == Exit.NOT_INSTALLED
    assert 'tidings: --reload: watchfiles is not installed: pip install "tidings[reload]"' in done.stderr


ECHO = """
from tidings import App
from tidings.brokers.nats import NatsBroker

broker = NatsBroker()
app = App(broker)

@broker.subscriber("echo")
async def echo(text: str) -> str:
    return "{}" + text
"""


def test_dev_has_a_server_which_other_commands_find(start, module, folder) -> None:
    module("main", ECHO.format("first: "))
    command = start("dev", "main:app")
    address = command.wait_line("nats-server on").partition("nats-server on ")[2].partition(",")[0]
    command.wait_line("from another shell: tidings publish")
    command.wait_line("app started")
    assert (folder / ".tidings/nats/url").read_text().strip().endswith(f"@{address}")

    asked = start("request", "echo", "hello")
    assert asked.end() == Exit.OK, asked.err
    assert asked.out() == "first: hello\n"

    module("main", ECHO.format("and second: "))
    command.wait_line("starting again")
    command.wait_line("app started")
    asked = start("request", "echo", "hello")
    assert asked.end() == Exit.OK, asked.err
    assert asked.out() == "and second: hello\n"

    command.send(signal.SIGINT)
    assert command.end() == Exit.OK
    assert not (folder / ".tidings/nats/url").exists()


def test_the_port_of_the_server_can_be_chosen_and_may_be_taken(start, module, nats_server) -> None:
    module("main", ECHO.format(""))
    command = start("dev", "main:app", "--port", str(nats_server.port))
    assert command.end() == Exit.NO_SERVER
    assert f"tidings: --port {nats_server.port}: another program listens there" in command.err
    assert "Traceback" not in command.err
