#!/usr/bin/env python3
"""Fuzzes the wire core with streams and calls that are nearly right.

The invariant: whatever bytes come, in whatever pieces, each twin parses them or raises ProtocolError,
never anything else, and both do the same; whatever a caller gives, both write the same or refuse it alike.

Runs are numbered; a finding names its seed and number, and ``--seed S --first N --runs 1`` repeats it.
A small ``--read-size`` (bytes) puts the ends of the buffers, where an overread would be, into every run.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import itertools
import operator
import os
import random
import sys
import time
import traceback
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

SIDS = (1, 2, 9)
RISKY = ".*> \t\r\n\x00\x0b\x0c\x7f\x85:aZé\N{GRINNING FACE}\udc80\udcff\ud800"
PLAIN = ("a", "a.b", "orders.new", "$JS.API.INFO", "_INBOX.x.1", "é.ü")
NUMBERS = (b"0", b"1", b"2", b"00", b"-1", b"+1", b"1_0", b"999999999", b"9999999999", b"9" * 25)
CONTROL = (b"PING", b"pong", b"+OK", b"-ERR 'x'", b"-ERR", b"INFO {}", b'INFO {"a":["\xc3\xa9"]}', b"PING ")
NOISE = (
    b"\r\n",
    b"\r",
    b"\n",
    b" ",
    b"\t",
    b"\x00",
    b"\x0b",
    b"\xff",
    b"MSG ",
    b"HMSG ",
    b"PUB",
    b"NATS/1.0",
)
LINES = (b"A: 1", b"b:2 ", b"C : 3", b"\xff: \xc3", b":", b"D", b"e: " + b"v" * 500)
COMMANDS = ("subscribe", "unsubscribe", "ping", "pong", "connect", "take", "drop_control", "clear")
REFUSALS = {"BadSubjectError", "BadHeaderError", "MaxPayloadError", "OutboundBufferLimitError", "TypeError"}
REFUSALS |= {"UnicodeEncodeError"}  # of a text payload


class Finding(Exception):
    """The invariant does not hold."""


class Twin(NamedTuple):
    """The names of one implementation."""

    Parser: Any
    Encoder: Any
    Route: Any
    check_subject: Any
    encode_headers: Any
    parse_headers: Any


class World(NamedTuple):
    """What is fuzzed."""

    twins: tuple[Twin, Twin]  # the reference and the compiled one
    Headers: Any
    read_size: int


def load(extension: str = "", read_size: int = 0) -> World:
    """Both twins; `extension` is a file to take the compiled one from.

    With arguments, `tidings.nats.wire` must not have loaded the compiled one yet.
    """
    name = "tidings.nats.wire"
    parser, *_ = modules = [
        importlib.import_module(f"{name}.{part}")
        for part in ("parser", "commands", "message", "subjects", "headers")
    ]
    if read_size:
        vars(parser)["READ_SIZE"] = read_size
    if extension:
        spec = importlib.util.spec_from_file_location(f"{name}._speedups", extension)
        assert spec is not None
        assert spec.loader is not None
        compiled = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(compiled)
    else:
        compiled = importlib.import_module(f"{name}._speedups")
    reference = {key: value for module in modules for key, value in vars(module).items()}
    twins = [Twin(*(names[field] for field in Twin._fields)) for names in (reference, vars(compiled))]
    return World((twins[0], twins[1]), reference["Headers"], reference["READ_SIZE"])


def same(what: str, things: Iterable[Any], call: Callable[[Any], Any], errors: Iterable[str] = ()) -> Any:
    """What `call` makes of each of `things`, which has to be the same: a value, or one of `errors`."""
    outcomes = []
    for thing in things:
        try:
            outcomes.append(("value", call(thing)))
        except Exception as error:
            if type(error).__name__ not in errors:
                raise Finding(f"{what}: {type(error).__name__} out of {thing!r:.200}") from error
            outcomes.append((type(error).__name__, str(error)))
    if outcomes[0] != outcomes[1]:
        raise Finding(f"{what}: the reference {outcomes[0]!r:.1000}, the compiled twin {outcomes[1]!r:.1000}")
    return outcomes[0]


# What the server might send


def a_stream(rng: random.Random, read_size: int) -> tuple[bytes, bool]:
    """Bytes of a server, and whether they are the protocol for sure."""
    items = [
        a_message(rng, read_size) if rng.random() < 0.7 else rng.choice(CONTROL) + b"\r\n"
        for _ in range(rng.choice((1, 3, 10)))
    ]
    data = b"".join(items)
    changes = rng.choice((0, 0, 0, 1, 1, 1, 2, 5))
    for _ in range(changes):
        data = mutated(rng, data)
    return data, changes == 0


def a_message(rng: random.Random, read_size: int) -> bytes:
    """MSG or HMSG, right in all its numbers."""
    words = [rng.choice((b"a", b"a.b", b"x" * 70, b"\xff", b"a\x0bb")), b"%d" % rng.choice(SIDS)]
    words += [b"r.1"] * rng.randint(0, 1)
    size = rng.choice((0, 1, 2, 5, 40, rng.randint(0, 200)))
    if read_size <= 4096 or rng.random() < 0.02:
        around = max(read_size + rng.randint(-30, 30), 0)
        size = rng.choice((size, around, rng.randint(0, 3 * read_size)))
    body = rng.randbytes(size)
    if rng.random() < 0.5:
        return b"MSG %b %d\r\n%b\r\n" % (b" ".join(words), size, body)
    block = a_block(rng)
    return b"HMSG %b %d %d\r\n%b%b\r\n" % (b" ".join(words), len(block), len(block) + size, block, body)


def a_block(rng: random.Random) -> bytes:
    """A header block, most often a good one."""
    first = rng.choice((b"NATS/1.0", b"NATS/1.0", b"NATS/1.0 503 No Responders", b"NATS/1.0 404"))
    block = b"\r\n".join([first, *rng.choices(LINES, k=rng.randint(0, 3))]) + b"\r\n\r\n"
    return mutated(rng, block) if rng.random() < 0.2 else block


def mutated(rng: random.Random, data: bytes) -> bytes:
    """`data` with one change, at a place of meaning more often than not."""
    places = [i for i, byte in enumerate(data) if byte in b" \r\n:0123456789"]
    at = rng.choice(places) if places and rng.random() < 0.7 else rng.randint(0, len(data))
    to = min(at + rng.choice((0, 1, 1, 2, 3, 10)), len(data))
    old = data[at:to]
    match rng.choice(("flip", "cut", "insert", "number", "repeat", "case", "end")):
        case "flip":
            new = rng.randbytes(1)
        case "insert":
            new = rng.choice(NOISE) + old
        case "number":
            new = b" " * rng.randint(0, 1) + rng.choice(NUMBERS)
            to = next((i for i in range(to, len(data)) if not data[i : i + 1].isdigit()), len(data))
        case "repeat":
            new = old * 2
        case "case":
            new = old.swapcase()
        case "end":
            return data[:at]
        case _:
            new = b""
    return data[:at] + new + data[to:]


def pieces(rng: random.Random, data: bytes, read_size: int) -> Iterator[bytes]:
    """`data` as it might come out of a socket."""
    most = max(rng.choice((1, 3, 17, 100, read_size, 10 * read_size)), len(data) // 300)
    at = 0
    while at < len(data):
        size = rng.randint(1, most)
        yield data[at : at + size]
        at += size


class Readers:
    """Two parsers side by side, given the same and compared after each step."""

    def __init__(self, rng: random.Random, world: World) -> None:
        self.rng, self.twins = rng, world.twins
        small = {"max_control_line": 60, "max_payload": 300, "max_headers": 50}
        self.limits = {name: value for name, value in small.items() if rng.random() < 0.1}
        self.parsers = [twin.Parser(**self.limits) for twin in world.twins]
        self.old: list[list[memoryview]] = []  # windows that somebody still holds
        self.broken = False
        for sid in SIDS[: rng.randint(0, 3)]:
            self.subscribe(sid)

    def subscribe(self, sid: int) -> None:
        names = ("max_pending_msgs", "max_pending_bytes", "max_msgs")
        limits = {name: self.rng.choice((0, 0, 1, 20)) for name in names}
        limits["policy"] = self.rng.choice((0, 0, 1, 2, 3))
        for twin, parser in zip(self.twins, self.parsers, strict=True):
            parser.routes[sid] = twin.Route(sid, f"owner {sid}", **limits)

    def unsubscribe(self, sid: int) -> None:
        for parser in self.parsers:
            parser.routes.pop(sid, None)

    def feed(self, piece: bytes) -> None:
        self._parse(operator.methodcaller("feed", piece))

    def write(self, piece: bytes) -> None:
        """Through the buffers, each time as much as both have room for."""
        while piece:
            windows = [parser.get_buffer() for parser in self.parsers]
            size = min(len(piece), *map(len, windows))
            if not 0 < size <= max(map(len, windows)) < 2**24:
                raise Finding(f"buffers of {[len(window) for window in windows]} bytes")
            for window in windows:
                window[:size] = piece[:size]
            self._parse(operator.methodcaller("buffer_updated", size))
            piece = piece[size:]
            self.old = [windows, *self.old[:3]]

    def _parse(self, call: Callable[[Any], Any]) -> None:
        kind, _ = same("events", self.parsers, call, ["ProtocolError"])
        if self.broken and kind == "value":
            raise Finding("an error was forgotten")
        self.broken = kind != "value"

    def look(self) -> None:
        """Compare the routes and take some messages."""
        for window in itertools.chain.from_iterable(self.old):
            window[-1:].tobytes()  # a checker sees it when the memory is gone
        same("unrouted", self.parsers, lambda parser: parser.unrouted)
        same("counted", self.parsers, lambda parser: (parser.messages, parser.message_bytes))
        same("touched", self.parsers, lambda parser: [route.sid for route in parser.take_touched()])
        for sid in list(self.parsers[0].routes):
            routes = [parser.routes[sid] for parser in self.parsers]
            messages = [[route.pop() for _ in range(self.rng.choice((0, 1, 3, 100)))] for route in routes[:1]]
            messages += [[route.pop() for _ in messages[0]] for route in routes[1:]]
            for pair in zip(*messages, strict=True):
                self._compare(pair)
            same(f"counters of {sid}", routes, counters)

    def _compare(self, pair: tuple[Any, Any]) -> None:
        if None in pair:
            same("end of the queue", pair, lambda message: message)
            return
        same("message", pair, fields)
        same("headers", pair, lambda message: message.headers.pairs(), ["ProtocolError"])
        same("status", pair, lambda message: (message.status, message.status_text), ["ProtocolError"])


def counters(route: Any) -> tuple[Any, ...]:
    return (
        (route.pending_msgs, route.pending_bytes, route.highest_pending_msgs, route.max_msgs),
        (route.received, route.dropped, route.touched),
    )


def fields(message: Any) -> tuple[Any, ...]:
    return message.sid, message.owner, message.subject, message.reply, message.data, message.has_headers


def fuzz_parser(rng: random.Random, world: World) -> None:
    readers = Readers(rng, world)
    data, sound = a_stream(rng, world.read_size)
    for piece in pieces(rng, data, world.read_size):
        (readers.write if rng.random() < 0.8 else readers.feed)(piece)
        if rng.random() < 0.3:
            readers.look()
        if rng.random() < 0.05:
            readers.subscribe(rng.choice(SIDS))
        if rng.random() < 0.05:
            readers.unsubscribe(rng.choice(SIDS))
    readers.look()
    if sound and readers.broken and not readers.limits:
        raise Finding(f"refused though right: {data!r:.1000}")


# What a caller might give


def a_text(rng: random.Random) -> Any:
    if rng.random() < 0.6:
        return rng.choice(PLAIN)
    if rng.random() < 0.03:
        return rng.choice((None, 1, b"a"))
    return "".join(rng.choices(RISKY, k=rng.choice((0, 1, 2, 5, 60))))


def a_payload(rng: random.Random) -> Any:
    data = rng.randbytes(rng.choice((0, 1, 16, 100, 5000)))
    kinds: tuple[Callable[[], Any], ...] = (
        lambda: data,
        lambda: bytearray(data),
        lambda: memoryview(data)[:: rng.choice((1, 2, -1))],
        lambda: data.decode("latin-1"),
        lambda: a_text(rng),
        lambda: rng.choice((None, 1, [1])),
    )
    return rng.choice(kinds)()


def some_headers(rng: random.Random, world: World) -> Any:
    values = ("v", "v" * 200, a_text(rng), [a_text(rng), "w"], (), rng.choice(("x", "x", 1)))
    headers = {rng.choice(("A", "b-C", a_text(rng))): rng.choice(values) for _ in range(rng.randint(0, 3))}
    sound = all(isinstance(value, str | list | tuple) for value in headers.values())
    return rng.choice((None, None, headers, world.Headers(headers) if sound else headers))


def fuzz_encoder(rng: random.Random, world: World) -> None:
    firsts: tuple[list[int], list[int]] = ([], [])
    limits = {"max_payload": rng.choice((100, 2**20)), "max_control_line": rng.choice((30, 4096))}
    max_pending = rng.choice((0, 0, 500))
    encoders = []
    for twin, calls in zip(world.twins, firsts, strict=True):
        encoders.append(twin.Encoder(lambda calls=calls: calls.append(1), **limits))
        encoders[-1].max_pending = max_pending
    for _ in range(rng.choice((1, 5, 30))):
        name, args = a_call(rng, world)
        if name == "publish" and rng.random() < 0.1:  # to the end of a buffer
            args = ("a", bytes(max(4096 - len(encoders[0]) - rng.randint(0, 80), 0)))
        call = f"{name}{args!r:.500}"
        same(call, encoders, operator.methodcaller(name, *args), REFUSALS)
        same(f"length after {call}", encoders, len)
        same(f"on_first after {call}", firsts, len)
    same("bytes", encoders, lambda encoder: encoder.take())


def a_call(rng: random.Random, world: World) -> tuple[str, tuple[Any, ...]]:
    name = rng.choice(("publish",) * 8 + COMMANDS)
    match name:
        case "publish":
            reply = rng.choice(("", None, a_text(rng)))
            return name, (a_text(rng), a_payload(rng), reply, some_headers(rng, world))
        case "subscribe":
            return name, (rng.randint(1, 99), a_text(rng), rng.choice(("", a_text(rng))))
        case "unsubscribe":
            return name, (rng.randint(1, 99), rng.randint(0, 2))
        case "connect":
            return name, ({"name": str(a_text(rng))},)
    return name, ()


def fuzz_functions(rng: random.Random, world: World) -> None:
    subject, block, headers = a_text(rng), mutated(rng, a_block(rng)), some_headers(rng, world) or {}
    same(f"subject {subject!r}", world.twins, lambda twin: twin.check_subject(subject), REFUSALS)
    same(f"block {block!r}", world.twins, lambda twin: twin.parse_headers(block), ["ProtocolError"])
    same(f"headers {headers!r}", world.twins, lambda twin: twin.encode_headers(headers), REFUSALS)


def run(world: World, seed: int, number: int) -> None:
    """One run. Raises Finding."""
    rng = random.Random(f"{seed} {number}")
    rng.choice((fuzz_parser, fuzz_parser, fuzz_parser, fuzz_encoder, fuzz_functions))(rng, world)


def main() -> int:
    """Run until the time or the number is used up; 1 when there was a finding."""
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--seconds", type=float, default=10.0, help="stop after this time (default 10)")
    options.add_argument("--runs", type=int, default=0, help="stop after so many runs (default: no limit)")
    options.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    options.add_argument("--first", type=int, default=0, help="number of the first run")
    options.add_argument("--read-size", type=int, default=0, help="bytes of the parsers' buffers")
    options.add_argument("--extension", default="", help="file of the compiled twin to use")
    asked = options.parse_args()
    os.environ["TIDINGS_PURE"] = "1"  # so that the compiled twin is not loaded before it is set up
    world = load(asked.extension, asked.read_size)
    # Said first, because a memory checker ends the process at once.
    print(f"seed {asked.seed}, {world.read_size}-byte buffers", flush=True)
    began = time.monotonic()
    number = asked.first
    while time.monotonic() - began < asked.seconds and (not asked.runs or number < asked.first + asked.runs):
        try:
            run(world, asked.seed, number)
        except Finding:
            traceback.print_exc()
            again = f"--seed {asked.seed} --first {number} --runs 1 --read-size {world.read_size}"
            print(f"FINDING; to repeat it: {sys.argv[0]} {again}", file=sys.stderr)
            return 1
        number += 1
    print(f"{number - asked.first} runs in {time.monotonic() - began:.1f} s: no finding")
    return 0


if __name__ == "__main__":
    sys.exit(main())
