"""`tidings run` as a process: what it says, on which stream, and the code it ends with."""

import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tidings.cli import Exit
from tidings.nats.server import NatsServer

LIMIT = 30.0  # seconds

QUIET_APP = "from tidings.app import App\napp = App()\n"


def test_an_app_runs_until_a_signal(start, module) -> None:
    module("main", QUIET_APP)
    command = start("run", "main:app")
    command.wait_line("app starting…")
    command.wait_line("app started, press CTRL+C to exit")
    command.send(signal.SIGTERM)
    command.wait_line("SIGTERM received")
    command.wait_line("app stopped")
    assert command.end() == Exit.OK
    assert command.out() == ""


def test_a_second_signal_ends_it_at_once(start, module) -> None:
    module("main", QUIET_APP + "import asyncio\napp.on_shutdown(asyncio.Event().wait)")
    command = start("run", "main:app")
    command.wait_line("app started")
    command.send(signal.SIGINT)
    command.wait_line("app stopping…")
    command.send(signal.SIGINT)
    assert command.end() == 128 + signal.SIGINT


def test_an_app_that_exits_by_itself(start, module) -> None:
    module("main", QUIET_APP + "app.after_startup(app.exit)")
    assert start("run", "main:app").end() == Exit.OK


@pytest.mark.parametrize(
    ("args", "code", "said"),
    [
        (("main",), Exit.USAGE, "'main' is not of the form MODULE:APP"),
        (("main:app", "--log-level", "loud"), Exit.USAGE, "'loud' is not one of"),
        (("main:app", "--loop", "fast"), Exit.USAGE, "'fast' is not one of"),
        (("main:app", "--store-dir", "here"), Exit.USAGE, "add --embedded"),
        (("main:app", "--app-dir", "nowhere"), Exit.USAGE, "there is no such folder"),
        (("nowhere:app",), Exit.NO_APP, "no module named 'nowhere'"),
        (("main:missing",), Exit.NO_APP, "its Apps are: main:app"),
        (("main:number",), Exit.NO_APP, "an object of type int, not an App"),
        (("main:number", "--factory"), Exit.NO_APP, "--factory wants a function"),
        (("main:app", "--port", "4222"), Exit.USAGE, "--port is the embedded server's: add --embedded"),
        (("main:app", "--port", "many", "--embedded"), Exit.USAGE, "--port"),
        (("main:app", "stray"), Exit.USAGE, "unexpected argument 'stray'"),
        (("main:app", "-x"), Exit.USAGE, "unexpected argument '-x'"),
        (("--model", "big", "main:app"), Exit.USAGE, "'--model' is not of the form MODULE:APP"),
        (
            ("main:app", "--model", "big"),
            Exit.USAGE,
            "no hook asks for the option --model; they ask for none",
        ),
        (("main:app", "--model", "big"), Exit.USAGE, "What tidings itself takes: tidings run --help"),
    ],
)
def test_a_mistake_gets_a_message_and_no_traceback(args, code, said, start, module) -> None:
    module("main", QUIET_APP + "number = 1")
    command = start("run", *args, COLUMNS="200")
    assert command.end() == code
    assert said in command.err
    assert "Traceback" not in command.err
    assert command.out() == ""


def test_an_import_error_shows_the_users_traceback_only(start, module) -> None:
    path = module("main", "import a_library_not_there")
    command = start("run", "main:app")
    assert command.end() == Exit.IMPORT_FAILED
    assert command.err.startswith(f'Traceback (most recent call last):\n  File "{path}", line 1')
    assert command.err.endswith(
        "tidings: cannot import main: ModuleNotFoundError: No module named 'a_library_not_there'\n"
    )


def test_a_syntax_error_shows_its_line_only(start, module) -> None:
    path = module("main", "x = 1\ndef broken(:\n    pass\n")
    command = start("run", "main:app")
    assert command.end() == Exit.IMPORT_FAILED
    assert command.err.startswith(f'  File "{path}", line 2\n    def broken(:\n')
    assert "tidings: cannot import main: SyntaxError" in command.err
    assert "Traceback" not in command.err
    assert "importlib" not in command.err


OPTIONS_APP = (
    QUIET_APP
    + """
from contextlib import asynccontextmanager
@asynccontextmanager
async def lifespan(model: str, size: int = 1):
    print(model, size)
    yield
app = App(lifespan=lifespan)
@app.after_startup
def leave(fast: bool = False, tag: list[str] = []):
    print(fast, tag)
    app.exit()
"""
)


def test_options_that_are_not_ours_are_the_apps(start, module) -> None:
    module("main", OPTIONS_APP)
    command = start("run", "main:app", "--model", "big", "--size=3", "--fast", "--tag", "a", "-q")
    assert command.end() == Exit.OK, command.err
    assert command.out() == "big 3\nTrue ['a']\n"


@pytest.mark.parametrize(
    ("args", "said"),
    [
        ((), "the hook main.lifespan asks for 'model', and no option of that name is given"),
        (("--model", "a", "--size", "big"), "the option --size is not what the hook main.lifespan asks for"),
        (("--model", "a", "--sise", "2"), "no hook asks for the option --sise; they ask for --fast, --model"),
    ],
)
def test_wrong_options_of_the_app_are_told_before_it_starts(args, said, start, module) -> None:
    module("main", OPTIONS_APP)
    command = start("run", "main:app", *args)
    assert command.end() == Exit.USAGE
    assert f"tidings: {said}" in command.err
    assert "Traceback" not in command.err
    assert command.out() == ""


def test_a_failing_hook_shows_its_traceback(start, module) -> None:
    path = module("main", QUIET_APP + "@app.on_startup\ndef load_model():\n    return 1 / 0")
    command = start("run", "main:app")
    assert command.end() == Exit.APP_FAILED
    assert f'File "{path}", line 5, in load_model' in command.err
    assert "tidings: the app failed: ZeroDivisionError" in command.err


def test_what_was_set_up_wrong_is_said_without_a_traceback(start, module) -> None:
    module(
        "main",
        """
from tidings import App, SetupError
app = App()
@app.on_startup
def declare():
    raise SetupError("there is no stream 'ORDERS': make it")
""",
    )
    command = start("run", "main:app")
    assert command.end() == Exit.APP_FAILED
    assert command.err.endswith("tidings: the app cannot start: there is no stream 'ORDERS': make it\n")
    assert "Traceback" not in command.err


def test_the_folder_of_the_module_and_a_factory(start, module, folder) -> None:
    module("src/service", "def make():\n    import main\n    return main.app")
    module("src/main", QUIET_APP + "app.after_startup(app.exit)")
    assert start("run", "service:make", "--app-dir", "src", "--factory").end() == Exit.OK


@pytest.mark.parametrize("loop", ["asyncio", "uvloop", "auto"])
def test_the_event_loop_asked_for(loop, start, module) -> None:
    if loop == "uvloop":
        pytest.importorskip("uvloop")
    module(
        "main",
        QUIET_APP
        + """
import asyncio
@app.on_startup
def tell():
    print(type(asyncio.get_running_loop()).__module__)
    app.exit()
""",
    )
    command = start("run", "main:app", "--loop", loop)
    assert command.end() == Exit.OK
    used = command.out().partition(".")[0].strip()
    assert used in ({loop} if loop != "auto" else {"asyncio", "uvloop"})


def test_the_log_level(start, module) -> None:
    module(
        "main",
        QUIET_APP
        + """
import logging
logging.getLogger(__name__).warning("heard")
logging.getLogger(__name__).info("not heard")
app.after_startup(app.exit)
""",
    )
    command = start("run", "main:app", "--log-level", "WARNING")
    assert command.end() == Exit.OK
    assert re.fullmatch(r"[\d-]+ [\d:]+,\d+ WARNING  - heard\n", command.err)


def test_version(start) -> None:
    command = start("--version")
    assert command.end() == Exit.OK
    assert re.fullmatch(r"tidings \S+ \(wire core: (c|python), \S+ \S+\)\n", command.out())


def test_without_a_command_it_shows_what_there_is(start) -> None:
    command = start()
    assert command.end() == Exit.USAGE
    assert "run" in command.out() + command.err


@pytest.mark.parametrize("library", ["typer", "rich", "pydantic"])
def test_without_the_extra_one_line_names_it(library: str, folder: Path) -> None:
    hide = f"import sys; sys.modules[{library!r}] = None; from tidings.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", hide, "run", "main:app"],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=LIMIT,
        check=False,
    )
    assert done.returncode == Exit.NOT_INSTALLED
    assert done.stderr == f'the tidings command needs {library}: pip install "tidings[services]"\n'


def test_no_server_is_told_without_secrets_and_with_what_to_do(start, module) -> None:
    module(
        "main",
        """
        from tidings import App
        from tidings.brokers.nats import NatsBroker
        app = App(NatsBroker(connect_attempts=1))
        """,
    )
    # Port 1 is tcpmux: nothing listens there.
    command = start("run", "main:app", TIDINGS_NATS_SERVERS="nats://me:secret@127.0.0.1:1")
    assert command.end() == Exit.NO_SERVER
    assert "tidings: no connection to nats://127.0.0.1:1" in command.err
    assert "nats-server" in command.err
    assert "TIDINGS_NATS_SERVERS" in command.err
    assert "--embedded" in command.err
    assert "secret" not in command.err
    assert "Traceback" not in command.err


def test_refused_credentials_are_told_without_them(start, module, nats_server) -> None:
    module(
        "main",
        "from tidings import App\nfrom tidings.brokers.nats import NatsBroker\napp = App(NatsBroker())",
    )
    url = f"nats://me:secret@{nats_server.host}:{nats_server.port}"
    command = start("run", "main:app", TIDINGS_NATS_SERVERS=url)
    assert command.end() == Exit.NO_SERVER
    assert "tidings: the server refuses us" in command.err
    assert "secret" not in command.err
    assert "Traceback" not in command.err


def test_a_server_lost_for_good_ends_it_with_what_to_do(start, module) -> None:
    module(
        "main",
        """
        from tidings import App
        from tidings.brokers.nats import NatsBroker
        broker = NatsBroker(max_reconnect_attempts=1, reconnect_time_wait=0.01)
        app = App(broker)

        @app.on_shutdown
        def say(): print("shut down", flush=True)
        """,
    )
    with NatsServer() as server:
        command = start("run", "main:app", TIDINGS_NATS_SERVERS=server.url)
        command.wait_line("app started")
    assert command.end() == Exit.NO_SERVER
    assert f"tidings: the connection to nats://127.0.0.1:{server.port} is lost for good" in command.err
    assert "max_reconnect_attempts=-1" in command.err
    assert server.url not in command.err  # it has a token
    assert "--embedded" not in command.err
    assert "Traceback" not in command.err
    assert command.out() == "shut down\n"


def test_what_the_users_code_says_when_it_exits_is_shown(start, module) -> None:
    module(
        "main", 'import sys\nfrom tidings import App\napp = App(on_startup=[lambda: sys.exit("no config")])'
    )
    command = start("run", "main:app")
    assert command.end() == Exit.APP_FAILED
    assert "no config\n" in command.err
    assert "Traceback" not in command.err
