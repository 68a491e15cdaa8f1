"""`tidings run` and `tidings dev`: their options, and which way of running they choose."""

import logging
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import typer

from .arguments import (
    AppDirOption,
    EmbeddedOption,
    FactoryOption,
    LogConfigOption,
    LogFormatOption,
    LogLevelOption,
    LoopOption,
    PortOption,
    QuietOption,
    ReloadDirOption,
    ReloadExtOption,
    ReloadOption,
    RespawnLimitOption,
    StopTimeoutOption,
    StoreDirOption,
    TargetArgument,
    WorkersOption,
)
from .console import console
from .embedded import STORE_DIR, URL_FILE, embedded_server
from .exits import CommandError, Exit
from .loading import Target
from .logs import LogFormat, LogLevel, LogSettings, configure_logging
from .loops import Loop, loop_factory
from .options import parse_options
from .reloading import Watched, reload
from .service import Service, serve
from .workers import Limits, supervise

__all__ = ["APP_OPTIONS", "dev", "run"]

log = logging.getLogger("tidings")

APP_OPTIONS = {"allow_extra_args": True, "ignore_unknown_options": True}
"""For typer: what is none of our options is the App's."""

_LIMITS = Limits()
_DEV_STOP_TIMEOUT = 5.0  # seconds: who changes code does not wait for what it did before


def run(
    context: typer.Context,
    target: TargetArgument,
    workers: WorkersOption = 1,
    reload_code: ReloadOption = False,
    reload_dir: ReloadDirOption = None,
    reload_ext: ReloadExtOption = None,
    embedded: EmbeddedOption = False,
    store_dir: StoreDirOption = None,
    port: PortOption = None,
    log_level: LogLevelOption = None,
    quiet: QuietOption = False,
    log_format: LogFormatOption = None,
    log_config: LogConfigOption = None,
    app_dir: AppDirOption = Path(),
    factory: FactoryOption = False,
    loop: LoopOption = Loop.AUTO,
    stop_timeout: StopTimeoutOption = _LIMITS.stop_timeout,
    respawn_limit: RespawnLimitOption = _LIMITS.respawns,
) -> None:
    """Run the service until SIGINT or SIGTERM; what was delivered is handled before it ends.

    Options that are none of these go to the hooks and the lifespan of the App: --name VALUE.
    """
    service = Service(
        target=str(Target.parse(target)),
        app_dir=str(app_dir),
        factory=factory,
        loop=loop,
        logs=_log_settings(log_level, quiet, log_format, log_config),
        options=parse_options(context.args),
        workers=workers,
    )
    loop_factory(loop)  # to say at once what is not installed
    if not embedded and (store_dir is not None or port is not None):
        option = "--port" if store_dir is None else "--store-dir"
        raise CommandError(Exit.USAGE, f"{option} is the embedded server's: add --embedded")
    if workers > 1 and reload_code:
        raise CommandError(Exit.USAGE, "--reload is for one process: leave out --workers")
    if not reload_code and (reload_dir or reload_ext):
        option = "--reload-dir" if reload_dir else "--reload-ext"
        raise CommandError(Exit.USAGE, f"{option} is for the watcher: add --reload")
    configure_logging(service.logs)
    with ExitStack() as exits:
        if embedded:
            address = exits.enter_context(embedded_server(store_dir or STORE_DIR, port or 0))
            log.info("embedded nats-server on %s", address)
            service = replace(service, embedded=address)
        # Whatever imports the module, it may read there where the server is.
        if reload_code:
            raise typer.Exit(reload(service, _watched(app_dir, reload_dir, reload_ext), stop_timeout))
        if workers > 1:
            limits = Limits(stop_timeout=stop_timeout, respawns=respawn_limit)
            raise typer.Exit(supervise(service, limits))
        serve(service)


def dev(
    context: typer.Context,
    target: TargetArgument,
    store_dir: StoreDirOption = None,
    port: PortOption = None,
    reload_dir: ReloadDirOption = None,
    reload_ext: ReloadExtOption = None,
    log_level: LogLevelOption = None,
    quiet: QuietOption = False,
    log_format: LogFormatOption = None,
    log_config: LogConfigOption = None,
    app_dir: AppDirOption = Path(),
    factory: FactoryOption = False,
    loop: LoopOption = Loop.AUTO,
) -> None:
    """Run the service for who works on it: with a nats-server of its own, and anew at each change.

    In its terminal it takes the commands publish, request and dlq, as a shell would.

    Options that are none of these go to the hooks and the lifespan of the App: --name VALUE.
    """
    service = Service(
        target=str(Target.parse(target)),
        app_dir=str(app_dir),
        factory=factory,
        loop=loop,
        logs=_log_settings(log_level, quiet, log_format, log_config),
        options=parse_options(context.args),
    )
    loop_factory(loop)
    watched = _watched(app_dir, reload_dir, reload_ext)
    configure_logging(service.logs)
    folder = store_dir or STORE_DIR
    with embedded_server(folder, port or 0) as address:
        log.info("nats-server on %s, its streams in %s", address, folder)
        service = replace(service, embedded=address)
        with console() as has_terminal:
            if has_terminal:
                log.info("type here: publish SUBJECT MESSAGE, request SUBJECT MESSAGE, help")
            log.info("from another shell: tidings publish SUBJECT MESSAGE, tidings request SUBJECT MESSAGE")
            log.info("from other programs: TIDINGS_NATS_SERVERS=$(cat %s)", folder / URL_FILE)
            raise typer.Exit(reload(service, watched, _DEV_STOP_TIMEOUT))


def _watched(app_dir: Path, folders: list[Path] | None, extensions: list[str] | None) -> Watched:
    watched = Watched(folders=folders or [app_dir], extensions=extensions or [])
    watched.check()
    return watched


def _log_settings(
    level: LogLevel | None, quiet: bool, log_format: LogFormat | None, config: Path | None
) -> LogSettings:
    """What the options say together. CommandError where they contradict each other."""
    if quiet and level is not None:
        raise CommandError(Exit.USAGE, "--quiet and --log-level both say what is logged: leave out one")
    if config is None:
        return LogSettings(
            level=level or (LogLevel.WARNING if quiet else LogLevel.INFO), format=log_format or LogFormat.TEXT
        )
    if quiet or level is not None or log_format is not None:
        raise CommandError(
            Exit.USAGE, "--log-config says it all: leave out --quiet, --log-level and --log-format"
        )
    return LogSettings(config=str(config.resolve()))
