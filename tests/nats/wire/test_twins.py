"""The twins are one: the same names and signatures, and the same answer to whatever comes."""

from __future__ import annotations

import inspect
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tidings.nats import wire
from tidings.nats.errors import ProtocolError
from tidings.nats.wire import DROP_NEW

deterministic = settings(derandomize=True, deadline=None, max_examples=100)

CLASSES = ["Parser", "Encoder", "Msg", "Route", "Calls"]
REQUIRED = {"Route": (1,), "Calls": (list,)}
FUNCTIONS = ["check_subject", "encode_headers", "parse_headers"]
SCRIPT = Path(__file__).parents[3] / "scripts" / "fuzz_wire.py"


def test_the_compiled_twin_is_built_where_it_can_be(missing_twin, twin_is_due):
    if missing_twin and twin_is_due:
        pytest.fail(f"a compiler and Python.h are at hand, but {missing_twin}")
    if missing_twin:
        pytest.skip(missing_twin)


def imported(**environment: str) -> subprocess.CompletedProcess[str]:
    """A process that imports the wire core and says which one it got."""
    code = "from tidings.nats import wire; print(wire.IMPLEMENTATION, wire.Parser.__module__)"
    return subprocess.run(
        [sys.executable, "-c", code],
        env={k: v for k, v in os.environ.items() if k != "TIDINGS_PURE"} | environment,
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_which_one_runs_can_be_asked_for(missing_twin):
    assert imported(TIDINGS_PURE="1").stdout.split() == ["python", "tidings.nats.wire.parser"]
    assert "TIDINGS_PURE is 1" in imported(TIDINGS_PURE="yes").stderr
    if missing_twin:
        assert imported().stdout.split() == ["python", "tidings.nats.wire.parser"]
        assert "TIDINGS_PURE=0 insists on the compiled" in imported(TIDINGS_PURE="0").stderr
    else:
        for environment in ({}, {"TIDINGS_PURE": ""}, {"TIDINGS_PURE": "0"}):
            assert imported(**environment).stdout.split() == ["c", "tidings.nats.wire._speedups"]


def test_the_package_gives_one_of_them(twins):
    chosen = twins[wire.IMPLEMENTATION == "c"]
    for name in CLASSES + FUNCTIONS:
        assert getattr(wire, name) is getattr(chosen, name), name


def public(cls: type) -> set[str]:
    return {name for name in dir(cls) if not name.startswith("_")}


@pytest.mark.parametrize("name", CLASSES)
def test_public_names_are_the_same(twins, name):
    reference, compiled = (getattr(twin, name) for twin in twins)
    instances = [made(*REQUIRED.get(name, ())) for made in (reference, compiled)]
    assert set(dir(instances[0])) - set(dir(object)) >= public(compiled)
    names = {each for each in dir(instances[0]) if not each.startswith("_")}
    assert names == public(compiled)
    assert hasattr(reference, "__len__") == hasattr(compiled, "__len__")


def parameters(function: object) -> list[tuple[str, object]]:
    found = inspect.signature(function).parameters.values()  # type: ignore[arg-type]
    return [(each.name, each.kind) for each in found]


def defaults(function: object) -> list[object]:
    found = inspect.signature(function).parameters.values()  # type: ignore[arg-type]
    return [each.default for each in found]


@pytest.mark.parametrize("name", CLASSES)
def test_methods_take_the_same(twins, name):
    reference, compiled = (getattr(twin, name) for twin in twins)
    methods = [each for each in public(compiled) if inspect.isroutine(getattr(compiled, each))]
    assert methods
    for method in methods:
        ours, theirs = getattr(reference, method), getattr(compiled, method)
        assert parameters(ours) == parameters(theirs), method
        assert defaults(ours) == defaults(theirs), method
        assert ours.__doc__, method
        assert theirs.__doc__, method


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions_take_the_same(twins, name):
    ours, theirs = (getattr(twin, name) for twin in twins)
    assert parameters(ours) == parameters(theirs)
    assert defaults(ours) == defaults(theirs)


def test_constructors_take_the_same(twins):
    """Compiled ones have no signature to look at, so each keyword of the reference is tried."""
    values = {"sid": 1, "owner": None, "header_block": b"", "subject": "a", "reply": "b", "data": b""}
    for name in CLASSES:
        reference, compiled = (getattr(twin, name) for twin in twins)
        names = [each for each, _ in parameters(reference.__init__)][1:]
        given_values = {each: values.get(each, None if each == "on_first" else 100) for each in names}
        for made in (reference(**given_values), compiled(**given_values)):
            for each in names:
                if not hasattr(made, each):
                    continue
                assert getattr(made, each) == given_values[each], (name, each)
        for made in (reference, compiled):
            with pytest.raises(TypeError):
                made(**given_values, unknown=1)


def test_constructors_have_the_same_defaults(twins):
    for made in (twin.Encoder() for twin in twins):
        assert (made.max_payload, made.headers_supported, made.max_pending) == (1024 * 1024, True, 0)
        assert (made.refusal, len(made)) == (None, 0)
        assert (made.messages, made.message_bytes) == (0, 0)
    for made in (twin.Parser() for twin in twins):
        assert (made.routes, made.unrouted) == ({}, 0)
        assert (made.messages, made.message_bytes) == (0, 0)
    for made in (twin.Route(1) for twin in twins):
        assert (made.owner, made.max_pending_msgs, made.max_pending_bytes) == (None, 0, 0)
        assert (made.max_msgs, made.received, made.dropped, made.touched) == (0, 0, 0, False)
        assert (made.policy, made.highest_pending_msgs) == (DROP_NEW, 0)


@pytest.mark.parametrize("seed", range(4))
def test_fuzz(twins, fuzz, seed):
    world = fuzz.load()
    for number in range(75):
        fuzz.run(world, seed, number)


@pytest.mark.parametrize("read_size", [16, 64])
def test_fuzz_with_small_buffers(twins, read_size):
    """Their ends, and the way of a message longer than the buffer, are met in every run."""
    command = [sys.executable, str(SCRIPT), "--seed", "0", "--runs", "300", "--seconds", "60"]
    done = subprocess.run(
        [*command, "--read-size", str(read_size)], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert "300 runs" in done.stdout
    assert "no finding" in done.stdout


def test_the_fuzz_sees_a_difference(twins, fuzz):
    class Deaf(twins[0].Parser):
        def buffer_updated(self, size):
            return [event for event in super().buffer_updated(size) if event != wire.Pong()]

    def search() -> None:
        world = fuzz.load()
        reference = world.twins[0]
        world = world._replace(twins=(reference, reference._replace(Parser=Deaf)))
        for number in range(300):
            fuzz.run(world, 0, number)

    with pytest.raises(fuzz.Finding, match="events: the reference"):
        search()


PARTS = b"MSG |HMSG |a |1 |2|12 |14|0|\r\n|\r|\n| |\t|hi|NATS/1.0\r\n\r\n|PING|PONG|-ERR 'x'|INFO |{}|\xff"
WHOLE = [b"MSG a 1 2\r\nhi\r\n", b"HMSG a 1 12 14\r\nNATS/1.0\r\n\r\nhi\r\n"]
parts = st.sampled_from([*PARTS.split(b"|"), *WHOLE])


@given(chunks=st.lists(st.lists(parts, max_size=6).map(b"".join), max_size=4))
@deterministic
def test_streams_put_together_from_parts(twins, taken, chunks):
    outcomes = []
    for twin in twins:
        parser = twin.reader(1)
        outcome = []
        for chunk in chunks:
            try:
                outcome.append(parser.feed(chunk))
            except ProtocolError as error:
                outcome.append(str(error))
            outcome.append(taken(parser))
        outcomes.append([*outcome, parser.unrouted])
    assert outcomes[0] == outcomes[1]
