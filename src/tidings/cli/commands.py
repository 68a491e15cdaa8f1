"""The commands, their options, and what is said when one fails."""

import platform
import sys
from typing import Annotated

import typer

from tidings.nats.version import __version__

from .dlq import dlq
from .exits import Exit, exit_code_of
from .running import APP_OPTIONS, dev, run
from .sending import publish, request

__all__ = ["run_command_line"]

# Errors of ours and of the user's code are reported in run_command_line, not by typer.
commands = typer.Typer(
    name="tidings", no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False
)


def run_command_line(args: list[str] | None) -> int:
    """Run one command and return its `Exit` code; an error is told on stderr."""
    try:
        return exit_code_of(lambda: commands(args, prog_name="tidings"))
    except SystemExit as end:  # how typer ends, after its own messages
        if isinstance(end.code, str):  # of the user's own `sys.exit("why")`
            print(end.code, file=sys.stderr)
        return end.code if isinstance(end.code, int) else Exit.APP_FAILED


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


commands.command(context_settings=APP_OPTIONS)(run)
commands.command(context_settings=APP_OPTIONS)(dev)
commands.command()(publish)
commands.command()(request)
commands.add_typer(dlq)
