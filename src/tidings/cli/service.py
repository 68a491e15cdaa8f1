"""One process of a service: the App loaded and run, and what is said when that fails."""

import asyncio
import json
import logging
import traceback
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path

from tidings.app import App
from tidings.messaging.errors import (
    BrokerConnectionError,
    BrokerRefusedError,
    ConnectionLostError,
    OptionError,
    SetupError,
)
from tidings.messaging.logs import without_secrets

from .embedded import SERVERS_VARIABLE
from .exits import CommandError, Exit
from .loading import Target, load_app
from .logs import LogFormat, LogLevel, LogSettings
from .loops import Loop, loop_factory
from .options import OptionValue

__all__ = ["Service", "reported", "serve"]

log = logging.getLogger("tidings")


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """What to run and how: all that a process of it needs to know.

    Attributes:
        target: MODULE:APP.
        app_dir: the folder to import MODULE from.
        factory: whether APP is a function that returns the App.
        loop: the event loop.
        logs: how it logs.
        options: those of the App's hooks.
        worker_id: which of the workers the process is, from 1.
        workers: how many there are.
        embedded: where the embedded server listens, HOST:PORT; empty where there is none.
    """

    target: str
    app_dir: str = "."
    factory: bool = False
    loop: Loop = Loop.AUTO
    logs: LogSettings = field(default_factory=LogSettings)
    options: dict[str, OptionValue] = field(default_factory=dict)
    worker_id: int = 1
    workers: int = 1
    embedded: str = ""

    @property
    def log_number(self) -> int:
        """The number on its lines of the log; 0 where there is only one process."""
        return self.worker_id if self.workers > 1 else 0

    def to_json(self) -> str:
        """For another process."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> "Service":
        """What `to_json` was of."""
        found = json.loads(text)
        logs = found.pop("logs")
        settings = LogSettings(
            level=LogLevel(logs["level"]), format=LogFormat(logs["format"]), config=logs["config"]
        )
        return cls(**found | {"logs": settings, "loop": Loop(found["loop"])})


def serve(service: Service, prepare: Callable[[App, asyncio.AbstractEventLoop], None] | None = None) -> App:
    """Load the App and run it in this process until it is stopped.

    Args:
        service: what to run.
        prepare: called with the App and its loop, in that loop, before the App starts.

    Returns:
        The App, stopped.

    Raises:
        CommandError: it cannot be loaded, or failed.
    """
    new_loop = loop_factory(service.loop)
    app = load_app(Target.parse(service.target), Path(service.app_dir), factory=service.factory)
    app.context.set_global("worker_id", service.worker_id)
    if service.embedded and service.worker_id == 1:
        _tell_who_does_not_use_it(app, service.embedded)

    async def run() -> None:
        if prepare is not None:
            prepare(app, asyncio.get_running_loop())
        await app.run(**service.options)

    def work() -> None:
        with asyncio.Runner(loop_factory=new_loop) as runner:
            runner.run(run())

    reported(work, is_embedded=bool(service.embedded))
    return app


def _tell_who_does_not_use_it(app: App, embedded: str) -> None:
    """Warn of brokers that connect elsewhere: who works on a service may not mean its real servers."""
    from tidings.brokers.nats import NatsBroker

    for broker in app.brokers:
        if isinstance(broker, NatsBroker) and not broker.adapter.address.endswith(f"//{embedded}"):
            log.warning(
                "the broker of %s does not use the embedded server: it names its own; write NatsBroker() for "
                "one that does",
                broker.adapter.address,
            )


def reported(work: Callable[[], object], *, is_embedded: bool = False) -> None:
    """Do the work; an error of it is raised as the CommandError that says it to people."""
    try:
        work()
    except CommandError:
        raise
    except BrokerConnectionError as error:
        raise CommandError(Exit.NO_SERVER, _no_server(error, is_embedded)) from error
    except OptionError as error:
        message = f"{error}\nWhat tidings itself takes: tidings run --help"
        raise CommandError(Exit.USAGE, message) from error
    except SetupError as error:  # says what to change and where; our own frames would hide it
        raise CommandError(Exit.APP_FAILED, without_secrets(f"the app cannot start: {error}")) from error
    except Exception as error:
        raise CommandError(
            Exit.APP_FAILED,
            without_secrets(f"the app failed: {type(error).__name__}: {error}"),
            details=without_secrets(traceback.format_exc()),
        ) from error


def _no_server(error: BrokerConnectionError, is_embedded: bool) -> str:
    if isinstance(error, BrokerRefusedError):
        text = f"the server refuses us: {error}. Check the user, password or token in {SERVERS_VARIABLE}, "
        return without_secrets(text + "or those that the broker is given")
    if isinstance(error, ConnectionLostError):
        advice = (
            "Start the service again when the server is back; a broker that is to wait for it without end"
        )
        return without_secrets(f"{error}\n{advice} takes max_reconnect_attempts=-1")
    if is_embedded:
        advice = "The embedded server is there, for brokers that name no servers: NatsBroker()"
    else:
        advice = (
            "For one that comes and goes with the service: tidings run --embedded, and a NatsBroker() that "
            "names no servers"
        )
    return without_secrets(f"{error}\n{advice}")
