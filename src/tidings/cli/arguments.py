"""The arguments and options that commands have in common, for typer."""

from pathlib import Path
from typing import Annotated

import typer

from .embedded import STORE_DIR
from .logs import LogFormat, LogLevel
from .loops import Loop

__all__ = [
    "AppDirOption",
    "EmbeddedOption",
    "FactoryOption",
    "LogConfigOption",
    "LogFormatOption",
    "LogLevelOption",
    "LoopOption",
    "PortOption",
    "QuietOption",
    "ReloadDirOption",
    "ReloadExtOption",
    "ReloadOption",
    "RespawnLimitOption",
    "StopTimeoutOption",
    "StoreDirOption",
    "TargetArgument",
    "WorkersOption",
]

TargetArgument = Annotated[
    str,
    typer.Argument(metavar="MODULE:APP", help="The App to run, such as main:app.", show_default=False),
]
WorkersOption = Annotated[
    int,
    typer.Option("--workers", "-w", min=1, envvar="TIDINGS_WORKERS", help="How many processes run it."),
]
StopTimeoutOption = Annotated[
    float,
    typer.Option(min=0, metavar="SECONDS", help="How long a worker may take to stop before it is killed."),
]
RespawnLimitOption = Annotated[
    int,
    typer.Option(min=0, metavar="N", help="How often in a row a worker that fails is started again."),
]
ReloadOption = Annotated[
    bool, typer.Option("--reload", "-r", help="Start it anew when its code changes (extra reload).")
]
ReloadDirOption = Annotated[
    list[Path] | None,
    typer.Option(help="A folder to watch, with all below it. [default: that of --app-dir]", metavar="DIR"),
]
ReloadExtOption = Annotated[
    list[str] | None,
    typer.Option(help="An extension to watch beside Python's, such as toml.", metavar="EXT"),
]
EmbeddedOption = Annotated[
    bool,
    typer.Option("--embedded", help="Start a nats-server for the service, and stop it with it."),
]
StoreDirOption = Annotated[
    Path | None,
    typer.Option(help=f"Where the embedded server keeps its streams. [default: {STORE_DIR}]", metavar="DIR"),
]
PortOption = Annotated[
    int | None,
    typer.Option(min=1, max=65535, help="The embedded server's port. [default: a free one]", metavar="PORT"),
]
LogLevelOption = Annotated[
    LogLevel | None,
    typer.Option(
        "--log-level",
        "-l",
        help="The least level to log. [default: info]",
        case_sensitive=False,
        envvar="TIDINGS_LOG_LEVEL",
        show_default=False,
    ),
]
QuietOption = Annotated[
    bool, typer.Option("--quiet", "-q", help="Log nothing but warnings and errors, as --log-level warning.")
]
LogFormatOption = Annotated[
    LogFormat | None,
    typer.Option(
        help="How lines look: text, or json for programs. [default: text]",
        case_sensitive=False,
        envvar="TIDINGS_LOG_FORMAT",
        show_default=False,
    ),
]
LogConfigOption = Annotated[
    Path | None,
    typer.Option(
        help="A .json, .toml or .ini file for logging.config; says it all in the place of the others.",
        envvar="TIDINGS_LOG_CONFIG",
        metavar="FILE",
    ),
]
AppDirOption = Annotated[Path, typer.Option(help="The folder to import MODULE from.", metavar="DIR")]
FactoryOption = Annotated[
    bool, typer.Option("--factory", "-f", help="APP is a function that returns the App.")
]
LoopOption = Annotated[Loop, typer.Option(help="The event loop; auto is uvloop where it is installed.")]
