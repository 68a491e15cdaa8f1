"""`tidings dlq`: the dead letters of a stream, to look at, to send back, to remove."""

import json
import re
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from tidings.brokers.nats import NatsBroker
from tidings.brokers.nats.dead_letters import DeadLetter, DeadLetters, Selection
from tidings.messaging.errors import NoRespondersError, PublishError, SetupError

from .exits import CommandError, Exit
from .sending import ServerOption, with_broker

__all__ = ["dlq"]

_HEAD = 60  # bytes of a payload in a list

dlq = typer.Typer(
    name="dlq",
    no_args_is_help=True,
    help="Dead letters in a stream: list them, send them back to where they came from, or remove them.",
)

WhereArgument = Annotated[
    str,
    typer.Argument(
        help="The dead_letter= address of the subscriber, or the name of the stream that stores it.",
        metavar="STREAM_OR_ADDRESS",
        show_default=False,
    ),
]
OriginOption = Annotated[
    str,
    typer.Option(
        help="Only those that came by this subject; wildcards allowed.",
        metavar="SUBJECT",
        show_default=False,
    ),
]
ErrorOption = Annotated[
    str,
    typer.Option(help="Only those whose error has this text in it.", metavar="TEXT", show_default=False),
]
SequenceOption = Annotated[
    list[str] | None,
    typer.Option(
        "--seq",
        help="Only this sequence of the dead-letter stream, or these: 7, 7-12, 7-. May come several times.",
        metavar="N[-M]",
    ),
]
CountOption = Annotated[
    int, typer.Option("--count", "-n", min=0, help="So many at the most, the oldest first; 0 is all.")
]
DryRunOption = Annotated[bool, typer.Option("--dry-run", help="Only tell what would be done.")]


@dlq.command("list")
def list_letters(
    where: WhereArgument,
    origin: OriginOption = "",
    error: ErrorOption = "",
    seq: SequenceOption = None,
    count: CountOption = 0,
    as_json: Annotated[
        bool, typer.Option("--json", help="One JSON object a line, with headers and the whole payload.")
    ] = False,
    server: ServerOption = "",
) -> None:
    """List dead letters: sequence, time, origin, tries, error, payload."""
    selection = _selection(origin, error, seq, count)

    async def show(letters: DeadLetters, letter: DeadLetter) -> None:
        print(_as_json(letter) if as_json else _line(letter))

    done = _for_each(where, server, selection, show)
    print(f"{_number(done.count)} in stream {done.stream}", file=sys.stderr)


@dlq.command()
def replay(
    where: WhereArgument,
    origin: OriginOption = "",
    error: ErrorOption = "",
    seq: SequenceOption = None,
    count: CountOption = 0,
    dry_run: DryRunOption = False,
    server: ServerOption = "",
) -> None:
    """Send dead letters back to where they came from; each is removed once it is there.

    All subscribers of its origin get it again. What is broken off in between is sent again the next time.
    """
    selection = _selection(origin, error, seq, count)

    async def send(letters: DeadLetters, letter: DeadLetter) -> None:
        if not dry_run:
            await letters.replay(letter)
        print(f"{'would replay' if dry_run else 'replayed'} {_line(letter)}")

    done = _for_each(where, server, selection, send)
    print(f"{_number(done.count)} {'would be ' if dry_run else ''}replayed", file=sys.stderr)
    if done.failed:
        raise CommandError(
            Exit.NOT_PUBLISHED,
            f"{_number(done.failed)} could not be replayed, and stay in stream {done.stream}",
        )


@dlq.command()
def purge(
    where: WhereArgument,
    origin: OriginOption = "",
    error: ErrorOption = "",
    seq: SequenceOption = None,
    count: CountOption = 0,
    dry_run: DryRunOption = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    server: ServerOption = "",
) -> None:
    """Remove dead letters for good. Other messages of the stream are left alone."""
    selection = _selection(origin, error, seq, count)
    if not (yes or dry_run):
        _confirm(where)

    async def remove(letters: DeadLetters, letter: DeadLetter) -> None:
        if dry_run:
            print(f"would remove {_line(letter)}")
        else:
            await letters.remove(letter)

    done = _for_each(where, server, selection, remove)
    print(
        f"{_number(done.count)} {'would be ' if dry_run else ''}removed from stream {done.stream}",
        file=sys.stderr,
    )


def _confirm(where: str) -> None:
    if not sys.stdin.isatty():
        raise CommandError(
            Exit.USAGE, "purge removes for good, and there is nobody to ask: add --yes, or --dry-run to look"
        )
    if not typer.confirm(f"Remove dead letters of {where} for good?", err=True):
        raise CommandError(Exit.USAGE, "nothing was removed")


@dataclass
class _Done:
    """What became of the dead letters of a selection."""

    stream: str = ""
    count: int = 0
    failed: int = 0


def _for_each(
    where: str,
    server: str,
    selection: Selection,
    act: Callable[[DeadLetters, DeadLetter], Awaitable[None]],
) -> _Done:
    """Act on each dead letter of a selection; those that nobody takes are told and counted."""
    done = _Done()

    async def work(broker: NatsBroker) -> None:
        letters = await DeadLetters.find(broker.client, broker.adapter.jetstream, where)
        done.stream = letters.name
        async for letter in letters.select(selection):
            try:
                await act(letters, letter)
            except (PublishError, NoRespondersError) as error:
                done.failed += 1
                print(f"tidings: {letter.sequence} is not taken: {error}", file=sys.stderr)
            else:
                done.count += 1

    with_broker(work, server, "", Path())
    return done


def _selection(origin: str, error: str, sequences: list[str] | None, count: int) -> Selection:
    try:
        return Selection(origin, error, tuple(map(_range, sequences or ())), count)
    except SetupError as problem:
        raise CommandError(Exit.USAGE, str(problem)) from problem


def _range(text: str) -> tuple[int, int | None]:
    """Of "7", "7-12" or "7-"."""
    found = re.fullmatch(r"(\d+)(?:(-)(\d*))?", text, re.ASCII)
    if found is None:
        raise CommandError(Exit.USAGE, f"--seq {text!r} is not of the form 7, 7-12 or 7-")
    first = int(found[1])
    if found[2] is None:
        return first, first
    return first, int(found[3]) if found[3] else None


def _line(letter: DeadLetter) -> str:
    origin = letter.origin
    if letter.origin_stream:
        origin += f" ({letter.origin_stream} {letter.origin_sequence})"
    tries = f"after try {letter.attempts}"
    if letter.replays:
        tries += f", replayed {letter.replays} before"
    payload = repr(letter.stored.data[:_HEAD])[1:]
    line = "  ".join((str(letter.sequence), letter.time, origin, tries, letter.error, payload))
    # Headers are what a sender wrote: nothing in them may steer the terminal.
    return "".join(char if char.isprintable() else "?" for char in line)


def _as_json(letter: DeadLetter) -> str:
    headers = letter.stored.headers
    return json.dumps(
        {
            "sequence": letter.sequence,
            "subject": letter.stored.subject,
            "origin": letter.origin,
            "origin_stream": letter.origin_stream,
            "origin_sequence": letter.origin_sequence,
            "attempts": letter.attempts,
            "error": letter.error,
            "time": letter.time,
            "replays": letter.replays,
            "headers": {name: headers.get_all(name) for name in headers},
            "payload": letter.stored.data.decode("utf-8", "backslashreplace"),
        }
    )


def _number(count: int) -> str:
    return f"{count} dead letter{'' if count == 1 else 's'}"
