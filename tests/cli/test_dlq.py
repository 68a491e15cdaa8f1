"""`tidings dlq`, run as a user does."""

import asyncio
import json
import os
import signal
from typing import Any

import pytest
from tests.cli.conftest import Start

from tidings.cli import Exit, main
from tidings.nats import connect
from tidings.nats.jetstream import StreamConfig

MANY = 2000  # letters: more than are sent between the first one and a signal


class Dlq:
    """Runs the command against a stream of three dead letters of `orders.*`, and one message that is none."""

    def __init__(self, url: str, capsys: pytest.CaptureFixture[str]) -> None:
        self.url = url
        self.name = f"T{os.urandom(6).hex()}"
        self.out = self.err = ""
        self._capsys = capsys

    async def _make(self) -> None:
        async with await connect(self.url) as client:
            js = client.jetstream()
            await js.create_stream(StreamConfig(name=self.name, subjects=[f"{self.name}.in.*"]))
            await js.create_stream(StreamConfig(name=f"{self.name}D", subjects=[f"{self.name}.dead"]))
            for number, kind in enumerate(("new", "old", "new"), 1):
                headers = {
                    "tenant": "a",
                    "dead-letter-source": f"{self.name}.in.{kind}",
                    "dead-letter-stream": self.name,
                    "dead-letter-sequence": str(number),
                    "dead-letter-attempts": "5",
                    "dead-letter-error": f"KeyError: {number} \x1b[31m",
                    "dead-letter-time": "2026-01-02T03:04:05.678+00:00",
                }
                await js.publish(f"{self.name}.dead", f'{{"id":{number}}}'.encode(), headers=headers)
            await js.publish(f"{self.name}.dead", b"none")

    def make(self) -> None:
        asyncio.run(self._make())

    def __call__(self, *args: str) -> int:
        """Run ``tidings dlq ARGS…``; its exit code."""
        with pytest.raises(SystemExit) as end:
            main(["dlq", *args, "--server", self.url])
        self.out, self.err = self._capsys.readouterr()
        assert isinstance(end.value.code, int)
        return end.value.code

    @property
    def address(self) -> str:
        return f"{self.name}.dead"

    def sequences(self) -> list[int]:
        """The letters there are."""
        assert self("list", self.address) == Exit.OK
        return [int(line.split()[0]) for line in self.out.splitlines()]

    def stored(self) -> list[tuple[str, bytes, dict[str, str]]]:
        """What the origin has."""

        async def read() -> list[Any]:
            async with await connect(self.url) as client:
                stream = await client.jetstream().stream(self.name)
                last = (await stream.info()).state.last_seq
                return [await stream.get_msg(sequence) for sequence in range(1, last + 1)]

        return [(each.subject, each.data, dict(each.headers)) for each in asyncio.run(read())]


@pytest.fixture
def dlq(nats_url: str, capsys: pytest.CaptureFixture[str]) -> Dlq:
    dlq = Dlq(nats_url, capsys)
    dlq.make()
    return dlq


def test_a_list(dlq: Dlq) -> None:
    assert dlq("list", dlq.address) == Exit.OK
    first, second, third = dlq.out.splitlines()
    assert first.startswith(
        f"1  2026-01-02T03:04:05.678+00:00  {dlq.name}.in.new ({dlq.name} 1)  after try 5"
    )
    assert "KeyError: 1 ?[31m" in first
    assert first.endswith("""'{"id":1}'""")
    assert second.startswith("2 ")
    assert third.startswith("3 ")
    assert dlq.err == f"3 dead letters in stream {dlq.name}D\n"


def test_a_list_for_programs(dlq: Dlq) -> None:
    assert dlq("list", f"{dlq.name}D", "--json", "-n", "1") == Exit.OK
    letter = json.loads(dlq.out)
    assert (letter["sequence"], letter["origin"]) == (1, f"{dlq.name}.in.new")
    assert (letter["payload"], letter["headers"]["tenant"]) == ('{"id":1}', ["a"])


@pytest.mark.parametrize(
    ("args", "sequences"),
    [
        (("--origin", "*.in.new"), [1, 3]),
        (("--error", "KeyError: 2"), [2]),
        (("--seq", "2"), [2]),
        (("--seq", "2-"), [2, 3]),
        (("--seq", "1-1", "--seq", "3-9"), [1, 3]),
        (("--count", "2"), [1, 2]),
    ],
    ids=["origin", "error", "one", "from", "ranges", "count"],
)
def test_which(dlq: Dlq, args: tuple[str, ...], sequences: list[int]) -> None:
    assert dlq("list", dlq.address, *args) == Exit.OK
    assert [int(line.split()[0]) for line in dlq.out.splitlines()] == sequences


def test_a_replay(dlq: Dlq) -> None:
    assert dlq("replay", dlq.address, "--origin", "*.in.new") == Exit.OK
    assert dlq.err == "2 dead letters replayed\n"
    assert dlq.sequences() == [2]
    (subject, body, headers), (_, other, _) = dlq.stored()
    assert (subject, body, other) == (f"{dlq.name}.in.new", b'{"id":1}', b'{"id":3}')
    assert headers.pop("Nats-Msg-Id").startswith("replay.")
    headers.pop("Nats-Expected-Stream")
    assert headers == {"tenant": "a", "dead-letter-replays": "1"}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL], ids=["interrupted", "killed"])
def test_a_replay_that_is_broken_off_loses_none_and_sends_none_twice(
    dlq: Dlq, start: Start, number: signal.Signals
) -> None:
    async def bury() -> None:
        async with await connect(dlq.url) as client:
            js = client.jetstream()
            headers = {"dead-letter-source": f"{dlq.name}.in.new", "dead-letter-stream": dlq.name}
            for each in range(MANY):
                await js.publish_async(f"{dlq.name}.dead", str(each).encode(), headers=headers)
            await js.publish_async_completed()

    asyncio.run(bury())
    command = start("dlq", "replay", dlq.address, "--seq", "5-", "--server", dlq.url)
    assert command.process.stdout is not None
    command.process.stdout.readline()  # the first one is sent
    command.send(number)
    assert command.end() != Exit.OK
    left = [sequence for sequence in dlq.sequences() if sequence > 4]
    assert 0 < len(left) < MANY
    sent = [int(body) for _, body, _ in dlq.stored()]
    assert {sequence - 5 for sequence in left} | set(sent) == set(range(MANY))
    assert dlq("replay", dlq.address, "--seq", "5-") == Exit.OK
    assert [int(body) for _, body, _ in dlq.stored()] == list(range(MANY))


@pytest.mark.parametrize("command", ["replay", "purge"])
def test_a_dry_run_changes_nothing(dlq: Dlq, command: str) -> None:
    assert dlq(command, dlq.address, "--dry-run") == Exit.OK
    assert len(dlq.out.splitlines()) == 3
    assert "3 dead letters would be" in dlq.err
    assert dlq.sequences() == [1, 2, 3]
    assert dlq.stored() == []


def test_a_replay_that_is_not_taken(dlq: Dlq) -> None:
    async def without_origin() -> None:
        async with await connect(dlq.url) as client:
            await client.jetstream().delete_stream(dlq.name)

    asyncio.run(without_origin())
    assert dlq("replay", dlq.address, "-n", "1") == Exit.NOT_PUBLISHED
    assert "1 is not taken" in dlq.err
    assert f"1 dead letter could not be replayed, and stay in stream {dlq.name}D" in dlq.err
    assert dlq.sequences() == [1, 2, 3]


def test_a_purge(dlq: Dlq) -> None:
    assert dlq("purge", dlq.address, "--seq", "1-2", "--yes") == Exit.OK
    assert dlq.err == f"2 dead letters removed from stream {dlq.name}D\n"
    assert dlq.sequences() == [3]
    assert dlq("purge", dlq.address, "--yes") == Exit.OK
    assert dlq.sequences() == []

    async def left() -> int:
        async with await connect(dlq.url) as client:
            info = await (await client.jetstream().stream(f"{dlq.name}D")).info()
            return info.state.messages

    assert asyncio.run(left()) == 1  # no dead letter


def test_a_purge_asks(dlq: Dlq, monkeypatch: pytest.MonkeyPatch) -> None:
    assert dlq("purge", dlq.address) == Exit.USAGE
    assert "--yes" in dlq.err
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    for answer, left in ((False, [1, 2, 3]), (True, [])):
        monkeypatch.setattr("typer.confirm", lambda *args, answer=answer, **options: answer)
        assert dlq("purge", dlq.address) == (Exit.OK if answer else Exit.USAGE)
        assert dlq.sequences() == left


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (("list", "not.there"), "there is no stream 'not.there'"),
        (("list", "not there"), "dead letters of 'not there': "),
        (("list", "x", "--seq", "a"), "--seq 'a' is not of the form"),
        (("replay", "x", "--seq", "3-2"), "sequences"),
        (("purge", "x", "--origin", "a b", "--yes"), "origin"),
    ],
    ids=["stream", "no-subject", "no-number", "order", "origin"],
)
def test_what_cannot_be(dlq: Dlq, args: tuple[str, ...], words: str) -> None:
    assert dlq(*args) == Exit.USAGE
    assert words in dlq.err
    assert "Traceback" not in dlq.err


def test_without_a_server(dlq: Dlq) -> None:
    dlq.url = "nats://secret:word@127.0.0.1:1"
    assert dlq("list", dlq.address) == Exit.NO_SERVER
    assert "127.0.0.1:1" in dlq.err
    assert "word" not in dlq.err
