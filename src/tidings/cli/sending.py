"""`tidings publish` and `tidings request`: messages from the command line to the handlers of a service."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from tidings.brokers.nats import NatsBroker, NatsMessage
from tidings.messaging.errors import (
    BrokerConnectionError,
    NoRespondersError,
    PublishError,
    RemoteError,
    RequestTimeoutError,
    SetupError,
)
from tidings.messaging.logs import without_secrets

from .arguments import AppDirOption
from .embedded import SERVERS_VARIABLE, STORE_DIR, URL_FILE
from .exits import CommandError, Exit
from .loading import Target, load_app

__all__ = ["ServerOption", "publish", "request", "with_broker"]

SubjectArgument = Annotated[
    str, typer.Argument(help="Where to, such as orders.new.", metavar="SUBJECT", show_default=False)
]
MessageArgument = Annotated[
    str | None,
    typer.Argument(help="The body, as it is; - or none for what stdin has.", show_default=False),
]
FileOption = Annotated[
    Path | None, typer.Option("--file", help="The file whose content is the body.", metavar="FILE")
]
HeaderOption = Annotated[
    list[str] | None,
    typer.Option("--header", "-H", help="A header; may come several times.", metavar="NAME:VALUE"),
]
CorrelationOption = Annotated[
    str, typer.Option(help="The correlation id. [default: a new one]", metavar="ID", show_default=False)
]
ServerOption = Annotated[
    str,
    typer.Option(
        "--server",
        "-s",
        help=f"The URL of the server. [default: {SERVERS_VARIABLE}, else that of a `tidings dev` here, "
        "else nats://localhost:4222]",
        metavar="URL",
        show_default=False,
    ),
]
AppOption = Annotated[
    str,
    typer.Option(
        "--app",
        help="Take the first NATS broker of this App, with its server, credentials and middlewares.",
        metavar="MODULE:APP",
        show_default=False,
    ),
]
TimeoutOption = Annotated[
    float,
    typer.Option("--timeout", "-t", min=0.001, help="How long to wait for an answer.", metavar="SECONDS"),
]


def publish(
    subject: SubjectArgument,
    message: MessageArgument = None,
    file: FileOption = None,
    header: HeaderOption = None,
    count: Annotated[int, typer.Option(min=1, help="How many times.", metavar="N")] = 1,
    stream: Annotated[
        str,
        typer.Option(
            help="The stream that must store it; then its acknowledgement is waited for.",
            metavar="NAME",
            show_default=False,
        ),
    ] = "",
    msg_id: Annotated[
        str,
        typer.Option(help="By which the stream knows duplicates.", metavar="ID", show_default=False),
    ] = "",
    reply_to: Annotated[
        str, typer.Option(help="The subject for answers.", metavar="SUBJECT", show_default=False)
    ] = "",
    correlation_id: CorrelationOption = "",
    timeout: TimeoutOption = 5.0,
    server: ServerOption = "",
    app: AppOption = "",
    app_dir: AppDirOption = Path(),
) -> None:
    """Publish a message. It is sent as it is: text, JSON, or the bytes of a file."""
    if msg_id and not stream:
        raise CommandError(Exit.USAGE, "--msg-id is for a stream: say which, with --stream")
    if reply_to and stream:
        raise CommandError(Exit.USAGE, "--reply-to and --stream: what a stream stores asks for no answer")
    body, headers = _body(message, file), _headers(header)

    async def publish_all(broker: NatsBroker) -> str:
        for _ in range(count):
            await broker.publish(
                body, subject, headers=headers, reply_to=reply_to, correlation_id=correlation_id
            )
        if not await broker.ping(timeout):
            raise CommandError(Exit.NOT_PUBLISHED, f"the server did not confirm within {timeout:g} s")
        return ""

    async def store_all(broker: NatsBroker) -> str:
        stored = [
            await broker.publish(
                body,
                subject,
                stream=stream,
                headers=headers,
                correlation_id=correlation_id,
                timeout=timeout,
                msg_id=msg_id or None,
            )
            for _ in range(count)
        ]
        last = stored[-1]
        where = f"as {last.seq}" if count == 1 else f"up to {last.seq}"
        return f", stored in {last.stream} {where}{', which it had already' if last.duplicate else ''}"

    stored = with_broker(store_all if stream else publish_all, server, app, app_dir)
    messages = "1 message" if count == 1 else f"{count} messages"
    print(f"published {messages} to {subject!r}{stored}")


def request(
    subject: SubjectArgument,
    message: MessageArgument = None,
    file: FileOption = None,
    header: HeaderOption = None,
    correlation_id: CorrelationOption = "",
    timeout: TimeoutOption = 5.0,
    raw: Annotated[bool, typer.Option("--raw", help="Write the answer's bytes, and no line break.")] = False,
    server: ServerOption = "",
    app: AppOption = "",
    app_dir: AppDirOption = Path(),
) -> None:
    """Send a request and print the answer to it."""
    body, headers = _body(message, file), _headers(header)

    async def work(broker: NatsBroker) -> NatsMessage:
        return await broker.request(
            body, subject, headers=headers, correlation_id=correlation_id, timeout=timeout
        )

    answer = with_broker(work, server, app, app_dir).body
    out = sys.stdout.buffer
    out.write(answer if raw or answer.endswith(b"\n") else answer + b"\n")
    out.flush()


def _body(message: str | None, file: Path | None) -> bytes:
    if file is not None:
        if message is not None:
            raise CommandError(Exit.USAGE, "a message and --file: give one of them")
        try:
            return file.read_bytes()
        except OSError as error:
            raise CommandError(Exit.USAGE, f"--file {file}: {error.strerror}") from error
    if message is not None and message != "-":
        return os.fsencode(message)
    if message is None and sys.stdin.isatty():
        raise CommandError(
            Exit.USAGE, 'no message: give one after the subject ("" for an empty one), --file, or stdin'
        )
    return sys.stdin.buffer.read()


def _headers(given: list[str] | None) -> dict[str, str]:
    headers: dict[str, str] = {}
    for each in given or ():
        name, colon, value = each.partition(":")
        if not colon or not name.strip():
            raise CommandError(Exit.USAGE, f"--header {each!r} is not of the form NAME:VALUE")
        if name.strip() in headers:
            raise CommandError(Exit.USAGE, f"--header {name.strip()!r} comes twice")
        headers[name.strip()] = value.strip()
    return headers


def with_broker(work: Callable[[NatsBroker], Awaitable[Any]], server: str, app: str, app_dir: Path) -> Any:
    """What `work` gives for a connected broker; errors of it as CommandErrors."""
    refusals: list[Exception] = []

    async def run() -> Any:
        async with _broker(server, app, app_dir, refusals) as broker:
            return await work(broker)

    try:
        result = asyncio.run(run())
    except BrokerConnectionError as error:
        raise CommandError(Exit.NO_SERVER, without_secrets(f"{error}, or --server URL")) from error
    except RemoteError as error:
        raise CommandError(Exit.ERROR_ANSWER, f"answered with an error: {error}") from error
    except NoRespondersError as error:
        raise CommandError(Exit.NO_ANSWER, f"{error}: is the service running?") from error
    except RequestTimeoutError as error:
        raise CommandError(Exit.NO_ANSWER, f"{error} (--timeout SECONDS waits longer)") from error
    except PublishError as error:
        raise CommandError(Exit.NOT_PUBLISHED, without_secrets(f"not published: {error}")) from error
    except SetupError as error:
        raise CommandError(Exit.USAGE, without_secrets(str(error))) from error
    if refusals:  # told by the server after a publish, which waits for no answer
        raise CommandError(Exit.NOT_PUBLISHED, without_secrets(f"not published: {refusals[0]}"))
    return result


@asynccontextmanager
async def _broker(
    server: str, app: str, app_dir: Path, refusals: list[Exception]
) -> AsyncIterator[NatsBroker]:
    """The broker to send by, connected, in one try."""
    if app:
        if server:
            raise CommandError(Exit.USAGE, "--server and --app: give one of them")
        broker = _broker_of(app, app_dir)
    else:
        broker = NatsBroker(
            server or _server_here(), connect_attempts=1, logger=None, error_cb=refusals.append
        )
    async with broker:
        yield broker


def _broker_of(app: str, app_dir: Path) -> NatsBroker:
    for broker in load_app(Target.parse(app), app_dir).brokers:
        if isinstance(broker, NatsBroker):
            return broker
    raise CommandError(Exit.NO_APP, f"--app {app}: it has no NATS broker")


def _server_here() -> str | None:
    """The server of a `tidings dev` in this folder; None where the broker shall look for itself."""
    if os.environ.get(SERVERS_VARIABLE):
        return None
    try:
        return (STORE_DIR / URL_FILE).read_text().strip() or None
    except OSError:
        return None
