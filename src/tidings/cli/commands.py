"""The commands, their options, and what is said when one fails."""

import asyncio
import logging
import platform
import re
import sys
import traceback
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated

import typer

from tidings.app import App
from tidings.messaging.errors import BrokerConnectionError, BrokerRefusedError, SetupError
from tidings.nats.version import __version__

from .embedded import SERVERS_VARIABLE, STORE_DIR, embedded_server
from .exits import CommandError, Exit
from .loading import Target, load_app
from .logs import LogLevel, configure_logging
from .loops import Loop, loop_factory

__all__ = ["run_command_line"]

log = logging.getLogger("tidings")

# Errors of ours and of the user's code are reported in run_command_line, not by typer.
commands = typer.Typer(
    name="tidings", no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False
)


def run_command_line(args: list[str] | None) -> int:
    """Run one command and return its `Exit` code; an error is told on stderr."""
    try:
        commands(args, prog_name="tidings")
    except CommandError as error:
        print(f"{error.details}tidings: {error}", file=sys.stderr)
        return error.exit_code
    except SystemExit as end:  # how typer ends, after its own messages
        return end.code if isinstance(end.code, int) else Exit.APP_FAILED
    return Exit.OK


def _print_version(wanted: bool) -> None:
    if wanted:
        from tidings.nats.wire import IMPLEMENTATION  # loads the compiled module

        python = f"{platform.python_implementation()} {platform.python_version()}"
        print(f"tidings {__version__} (wire core: {IMPLEMENTATION}, {python})")
        raise typer.Exit


@commands.callback()
def tidings(
    version: Annotated[
        bool,
        typer.Option(
            "--version",
            "-v",
            help="Print the version and which wire core runs.",
            is_eager=True,
            callback=_print_version,
        ),
    ] = False,
) -> None:
    """Event-driven services, from the bytes on the wire to a typed handler."""


@commands.command()
def run(
    target: Annotated[
        str,
        typer.Argument(metavar="MODULE:APP", help="The App to run, such as main:app.", show_default=False),
    ],
    embedded: Annotated[
        bool,
        typer.Option("--embedded", help="Start a nats-server for the service, and stop it with it."),
    ] = False,
    store_dir: Annotated[
        Path | None,
        typer.Option(
            help=f"Where the embedded server keeps its streams. [default: {STORE_DIR}]",
            metavar="DIR",
        ),
    ] = None,
    log_level: Annotated[
        LogLevel,
        typer.Option("--log-level", "-l", help="The least level to log.", case_sensitive=False),
    ] = LogLevel.INFO,
    app_dir: Annotated[Path, typer.Option(help="The folder to import MODULE from.", metavar="DIR")] = Path(),
    factory: Annotated[
        bool, typer.Option("--factory", "-f", help="APP is a function that returns the App.")
    ] = False,
    loop: Annotated[
        Loop, typer.Option(help="The event loop; auto is uvloop where it is installed.")
    ] = Loop.AUTO,
) -> None:
    """Run the service until SIGINT or SIGTERM; what was delivered is handled before it ends."""
    where = Target.parse(target)
    new_loop = loop_factory(loop)
    if store_dir is not None and not embedded:
        raise CommandError(Exit.USAGE, "--store-dir is the embedded server's: add --embedded")
    configure_logging(log_level)
    with ExitStack() as exits:
        if embedded:
            address = exits.enter_context(embedded_server(store_dir or STORE_DIR))
            log.info("embedded nats-server on %s", address)
        # Imported once the server runs, so that the module may read where it is.
        app = load_app(where, app_dir, factory=factory)
        with asyncio.Runner(loop_factory=new_loop) as runner:
            _serve(app, runner)


def _serve(app: App, runner: asyncio.Runner) -> None:
    try:
        runner.run(app.run())
    except BrokerConnectionError as error:
        raise CommandError(Exit.NO_SERVER, _no_server(error)) from error
    except SetupError as error:  # says what to change and where; our own frames would hide it
        raise CommandError(Exit.APP_FAILED, f"the app cannot start: {error}") from error
    except Exception as error:
        raise CommandError(
            Exit.APP_FAILED,
            f"the app failed: {type(error).__name__}: {error}",
            details=traceback.format_exc(),
        ) from error


def _no_server(error: BrokerConnectionError) -> str:
    if isinstance(error, BrokerRefusedError):
        text = f"the server refuses us: {error}. Check the user, password or token in {SERVERS_VARIABLE}, "
        return _without_secrets(text + "or those that the broker is given")
    return _without_secrets(f"{error}\nFor one that comes and goes with the service: tidings run --embedded")


def _without_secrets(text: str) -> str:
    return re.sub(r"://[^@/\s]*@", "://", text)
