"""Runs the benchmark and writes its tables.

usage: python -m bench.run --ours VENV/bin/python --peers VENV/bin/python
                           [--short] [--rounds N] [--rows publish,callback] [--output FILE]
"""

import argparse
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from bench import machine, report
from bench.contenders import CONTENDERS, Bench, Contender, c_program
from bench.report import Measurement, Results
from bench.rows import LOOPS, ROWS, TARGETS, Row
from bench.server import Servers, nats_servers
from bench.workloads import Run

ROOT = Path(__file__).parent.parent
# By hand: why a target that is missed cannot be reached. It ends up under the tables.
NOTES = Path(__file__).parent / "notes.md"
TIMEOUT = 90.0  # seconds; far more than any measurement takes
LAST_WORDS = 12  # lines of a failed process that are shown


@dataclass(frozen=True)
class Plan:
    """How often each figure is taken, and for how long (seconds)."""

    rounds: Mapping[str, int]  # by loop
    seconds: float
    warmup: float
    uvloop_rows: tuple[str, ...] = ()  # all of them, where it names none
    most: int | None = None  # bytes of a payload, where a row has larger ones

    def loops(self, row: Row) -> tuple[str, ...]:
        """The loops that the row is measured with."""
        chosen = not self.uvloop_rows or row.name in self.uvloop_rows
        return tuple(loop for loop in row.loops if loop == LOOPS[0] or chosen)

    def size(self, row: Row) -> int:
        """Bytes of the row's payloads."""
        return row.size if self.most is None else min(row.size, self.most)

    def __str__(self) -> str:
        rounds = " or ".join(f"{number} ({loop})" for loop, number in self.rounds.items())
        return (
            f"median of {rounds} processes, each of {self.seconds:g} s after {self.warmup:g} s of warm-up; "
            "each ratio: median of those of the rounds"
        )


FULL = Plan({"asyncio": 5, "uvloop": 3}, seconds=0.5, warmup=0.1)
SHORT = Plan(
    {"asyncio": 1, "uvloop": 1}, seconds=0.12, warmup=0.04, uvloop_rows=("callback", "model"), most=1_000_000
)


@dataclass
class Record:
    """What the measuring brought."""

    measurements: list[Measurement] = field(default_factory=list)
    wires: dict[str, str] = field(default_factory=dict)  # contender: which wire core ran


def main() -> None:
    options = parse_arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("terminated"))  # and the server with it
    plan = SHORT if options.short else FULL
    if options.rounds:
        plan = replace(plan, rounds=dict.fromkeys(LOOPS, options.rounds))
    rows = [row for row in ROWS if not options.rows or row.name in options.rows]

    with c_program() as program:
        bench = Bench(options.ours, options.peers, program)
        versions = bench.versions()
        about = machine.describe() | {"load before": machine.load()}
        about |= bench.describe(versions) | {"each figure": str(plan)}
        present = [each for each in CONTENDERS if each.distribution in versions]
        with nats_servers(bench.server) as servers:
            record = measure_all(bench, plan, schedule(plan, rows, present), servers)
    about["load after"] = machine.load()
    about["wire core"] = ", ".join(f"{name} {wire}" for name, wire in record.wires.items())

    text = render(about, rows, present, record, plan)
    print(text)
    if options.output:
        options.output.write_text(text)
    if any(each.figure is None for each in record.measurements):
        sys.exit("some measurements failed: their last words are above")


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--ours", type=Path, required=True, help="an interpreter with tidings")
    parser.add_argument("--peers", type=Path, required=True, help="an interpreter with the peers")
    parser.add_argument("--short", action="store_true", help="one short round, for a look")
    parser.add_argument("--rounds", type=int, help="how often each figure is taken")
    parser.add_argument("--rows", type=lambda text: text.split(","), help="only these")
    parser.add_argument("--output", type=Path, help="where to write what is printed")
    return parser.parse_args()


Step = tuple[Row, str, Contender]


def schedule(plan: Plan, rows: Sequence[Row], present: Sequence[Contender]) -> Iterator[Step]:
    """The order of all measurements: the contenders of a row take turns at being the first."""
    for number in range(max(plan.rounds.values())):
        for row in rows:
            for loop in plan.loops(row):
                if number >= plan.rounds[loop]:
                    continue
                here = [
                    each
                    for each in present
                    if each.name in row.contenders and (each.driver or loop == LOOPS[0])
                ]
                turn = number % max(1, len(here))
                yield from ((row, loop, each) for each in here[turn:] + here[:turn])


def measure_all(bench: Bench, plan: Plan, steps: Iterator[Step], servers: Servers) -> Record:
    """Each step in a process of its own."""
    record, todo = Record(), list(steps)
    for done, (row, loop, contender) in enumerate(todo, start=1):
        run = Run(servers.urls[row.scheme], plan.seconds, plan.warmup, plan.size(row))
        # Not for plain rows: they would be measured with what no user of them sets.
        env = {"SSL_CERT_FILE": str(servers.ca_file)} if row.scheme == "tls" else {}
        command = bench.command(contender, row, loop, run)
        figure = measure(command, contender, env, record)
        if figure is None and not contender.ours:  # a fault of ours is shown, one of a peer is its own affair
            figure = measure(command, contender, env, record)
        # The C client knows no event loop: it is measured once and stands in every table.
        for each in (loop,) if contender.driver else plan.loops(row):
            record.measurements.append(Measurement(row.name, contender.name, each, figure))
        shown = "failed" if figure is None else f"{report.show(figure, row.unit)} {row.unit.value}"
        place = f"[{done}/{len(todo)}]"
        print(f"{place} {row.name} {loop} {contender.name}: {shown}", file=sys.stderr)
    return record


def measure(
    command: list[str], contender: Contender, extra: Mapping[str, str], record: Record
) -> float | None:
    """One figure; None when the process failed, whose last words are printed."""
    env, words = os.environ | contender.env | extra, ""
    try:
        done = subprocess.run(command, capture_output=True, text=True, env=env, cwd=ROOT, timeout=TIMEOUT)
        words = "\n".join(done.stderr.splitlines()[-LAST_WORDS:])
        figure, wire = report.parse_figure(done.stdout)
    except (subprocess.TimeoutExpired, ValueError) as error:
        print(f"{' '.join(command)}\n{error}\n{words}", file=sys.stderr)
        return None
    if wire:
        record.wires[contender.name] = wire
    return figure


def render(
    about: dict[str, str],
    rows: Sequence[Row],
    present: Sequence[Contender],
    record: Record,
    plan: Plan,
) -> str:
    """Everything that is printed and written."""
    results = Results(record.measurements)
    names = [each.name for each in CONTENDERS]
    parts = ["# Results of `make bench`", report.facts(about)]
    if max(plan.rounds.values()) == 1:
        parts.append("One round: a look, not a measurement.")
    missing = {each.distribution for each in CONTENDERS} - {each.distribution for each in present}
    if missing:
        parts.append(f"Left out, since not to be had here: {', '.join(sorted(missing))}.")
    for loop in LOOPS:
        shown = [row for row in rows if loop in plan.loops(row)]
        if shown:
            targets = report.target_table(shown, TARGETS, results, loop)
            figures = report.figure_table(shown, names, results, loop)
            parts += [f"## {loop}: targets", targets]
            parts += [f"## {loop}: medians (lowest to highest)", figures]
    if NOTES.exists():
        parts.append(NOTES.read_text().strip())
    return "\n\n".join(parts) + "\n"


if __name__ == "__main__":
    main()
