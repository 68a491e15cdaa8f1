"""From measurements to tables. Nothing here reads a clock, a file or a process."""

import json
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from bench.rows import Row, Target, Unit


@dataclass(frozen=True)
class Measurement:
    """One figure of one process; None where it failed."""

    row: str
    contender: str
    loop: str
    figure: float | None


@dataclass(frozen=True)
class Summary:
    """The figures of one contender on one row; at least one."""

    low: float
    median: float
    high: float


def parse_figure(output: str) -> tuple[float, str]:
    """The figure and the wire core, if any, from the last line that a measuring process printed.

    Raises ValueError when it is not such a line.
    """
    lines = output.strip().splitlines()
    if not lines:
        raise ValueError("the process printed nothing")
    parsed = json.loads(lines[-1])
    if not isinstance(parsed, dict) or not isinstance(parsed.get("figure"), int | float):
        raise ValueError(f"not a figure: {lines[-1]}")
    return float(parsed["figure"]), str(parsed.get("wire", ""))


Key = tuple[str, str, str]
"""Row, contender and loop."""


class Results:
    """All measurements of a run, each contender's in the order of the rounds."""

    def __init__(self, measurements: Iterable[Measurement]) -> None:
        self._figures: dict[Key, list[float | None]] = {}
        for each in measurements:
            self._figures.setdefault((each.row, each.contender, each.loop), []).append(each.figure)

    def tried(self, row: str, contender: str, loop: str) -> bool:
        """Whether there was any attempt, be it a failed one."""
        return (row, contender, loop) in self._figures

    def of(self, row: str, contender: str, loop: str) -> Summary | None:
        """None when it was not tried, or failed each time."""
        return _summary([each for each in self._figures.get((row, contender, loop), ()) if each is not None])

    def ratio(self, ours: Key, theirs: Key) -> Summary | None:
        """Of the figures of each round, in which they were taken one after the other.

        So a machine that is slower in one round than in another does not count. None where no round has both.
        """
        pairs = zip(self._figures.get(ours, ()), self._figures.get(theirs, ()), strict=False)
        return _summary([one / other for one, other in pairs if one is not None and other is not None])


def _summary(figures: Sequence[float]) -> Summary | None:
    return Summary(min(figures), statistics.median(figures), max(figures)) if figures else None


def is_met(ratio: float, target: Target, unit: Unit) -> bool:
    """Of rates the ratio must reach the factor, of all else it must not exceed it."""
    return ratio >= target.factor if unit is Unit.RATE else ratio <= target.factor


def target_table(rows: Sequence[Row], targets: Sequence[Target], results: Results, loop: str) -> str:
    """One line a target: the figures, the ratio, what it should be and whether it is."""
    by_name = {row.name: row for row in rows}
    lines = [
        _target_line(by_name[target.row], target, results, loop)
        for target in targets
        if target.row in by_name and results.tried(target.row, target.ours, loop)
    ]
    return table(("row", "ours", "against", "ratio", "target", ""), lines)


def _target_line(row: Row, target: Target, results: Results, loop: str) -> Sequence[str]:
    ours = results.of(row.name, target.ours, loop)
    wanted = f"{'≥' if row.unit is Unit.RATE else '≤'} {target.factor:g}"
    if not target.theirs:
        if ours is None:
            return row.title, f"{target.ours}: no figure", "", "", wanted, "not measured"
        verdict = "met" if is_met(ours.median, target, row.unit) else "**missed**"
        return row.title, f"{target.ours}: {_median(ours, row)}", "", "", wanted, verdict
    theirs = results.of(target.their_row or row.name, target.theirs, loop)
    their_name = f"{target.theirs}, {target.their_row}" if target.their_row else target.theirs
    named = (f"{target.ours}: {_median(ours, row)}", f"{their_name}: {_median(theirs, row)}")
    ratio = results.ratio((row.name, target.ours, loop), (target.their_row or row.name, target.theirs, loop))
    if ratio is None:
        return row.title, *named, "", wanted, "not measured"
    met = is_met(ratio.median, target, row.unit)
    shown = f"{ratio.median:.2f}"
    if ratio.low != ratio.high:
        shown += f" ({ratio.low:.2f} to {ratio.high:.2f})"
    return row.title, *named, shown, wanted, "met" if met else "**missed**"


def _median(summary: Summary | None, row: Row) -> str:
    return f"{show(summary.median, row.unit)} {row.unit.value}" if summary else "no figure"


def figure_table(rows: Sequence[Row], contenders: Sequence[str], results: Results, loop: str) -> str:
    """One line a row: each contender's median, with the lowest and highest figure."""
    tried = [row for row in rows if any(results.tried(row.name, name, loop) for name in contenders)]
    there = [name for name in contenders if any(results.tried(row.name, name, loop) for row in tried)]
    lines = [
        (f"{row.title}, {row.unit.value}", *(_cell(results, row, name, loop) for name in there))
        for row in tried
    ]
    return table(("row", *there), lines)


def _cell(results: Results, row: Row, contender: str, loop: str) -> str:
    if not results.tried(row.name, contender, loop):
        return ""
    summary = results.of(row.name, contender, loop)
    if summary is None:
        return "failed"
    low, median, high = (show(figure, row.unit) for figure in (summary.low, summary.median, summary.high))
    return median if low == high else f"{median} ({low} to {high})"


def show(figure: float, unit: Unit) -> str:
    """Three digits of a short time, else a whole number."""
    return f"{figure:.3g}" if unit in (Unit.TIME, Unit.SHORT_TIME) and figure < 100 else f"{figure:,.0f}"


def table(head: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    """A Markdown table with its columns aligned, so that it reads in a terminal as well."""
    cells = [tuple(head), *map(tuple, lines)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    rows = [
        "| " + " | ".join(map(str.ljust, line, widths)) + " |"  # one cell a column
        for line in cells
    ]
    rule = "|" + "|".join("-" * (width + 2) for width in widths) + "|"
    return "\n".join([rows[0], rule, *rows[1:]])


def facts(pairs: Mapping[str, str]) -> str:
    """A list of named facts."""
    return "\n".join(f"- {name}: {value}" for name, value in pairs.items())
