import pytest
from bench.report import Measurement, Results, is_met, parse_figure, show, table, target_table
from bench.rows import ROWS, TARGETS, Row, Target, Unit

RATE = Row("publish", "awaited publish", "client.publish", ("tidings", "natsio"))
TIME = Row("request", "round trip", "client.request", ("tidings", "natsio"), Unit.TIME)


def results(**figures: list[float | None]) -> Results:
    """Of the row `publish` under asyncio, by contender."""
    return Results(
        Measurement("publish", contender, "asyncio", figure)
        for contender, row in figures.items()
        for figure in row
    )


def line_of(text: str, start: str) -> list[str]:
    """The cells of the table's line that starts so."""
    lines = [line for line in text.splitlines() if line.startswith(f"| {start}")]
    assert len(lines) == 1
    return [cell.strip() for cell in lines[0].strip("|").split("|")]


class TestParseFigure:
    def test_takes_the_last_line(self) -> None:
        assert parse_figure('a warning\n{"figure": 12.5, "wire": "c"}\n') == (12.5, "c")

    def test_wire_is_only_there_for_our_own_client(self) -> None:
        assert parse_figure('{"figure": 3}') == (3.0, "")

    @pytest.mark.parametrize("output", ["", "\n", "Killed", '{"rate": 1}', '{"figure": "1"}', "1"])
    def test_refuses_what_is_no_figure(self, output: str) -> None:
        with pytest.raises(ValueError, match=r"."):
            parse_figure(output)


class TestResults:
    def test_median_and_spread(self) -> None:
        summary = results(natsio=[5.0, 1.0, 2.0]).of("publish", "natsio", "asyncio")
        assert summary is not None
        assert (summary.low, summary.median, summary.high) == (1.0, 2.0, 5.0)

    def test_a_failed_process_does_not_count(self) -> None:
        summary = results(natsio=[None, 4.0, 2.0]).of("publish", "natsio", "asyncio")
        assert summary is not None
        assert summary.median == 3.0

    def test_tried_and_always_failed(self) -> None:
        failed = results(natsio=[None])
        assert failed.tried("publish", "natsio", "asyncio")
        assert failed.of("publish", "natsio", "asyncio") is None

    def test_loops_are_kept_apart(self) -> None:
        assert not results(natsio=[1.0]).tried("publish", "natsio", "uvloop")


class TestTargets:
    @pytest.mark.parametrize(("ratio", "met"), [(4.99, False), (5.0, True), (9.0, True)])
    def test_a_rate_must_reach_its_factor(self, ratio: float, met: bool) -> None:
        assert is_met(ratio, Target("publish", "natsio", 5), Unit.RATE) is met

    @pytest.mark.parametrize(("ratio", "met"), [(0.61, False), (0.6, True), (0.1, True)])
    def test_a_time_must_not_exceed_it(self, ratio: float, met: bool) -> None:
        assert is_met(ratio, Target("request", "natsio", 0.6), Unit.TIME) is met

    def test_a_line_shows_figures_ratio_and_verdict(self) -> None:
        both = results(tidings=[2_000_000.0], natsio=[400_000.0])
        text = target_table([RATE], [Target("publish", "natsio", 5)], both, "asyncio")
        ours, theirs = "tidings: 2,000,000 /s", "natsio: 400,000 /s"
        assert line_of(text, "awaited") == ["awaited publish", ours, theirs, "5.00", "≥ 5", "met"]

    def test_the_ratio_is_the_median_of_those_of_the_rounds(self) -> None:
        # The machine is ten times slower in the second round, which says nothing of either.
        both = results(tidings=[600.0, 50.0, 700.0], natsio=[100.0, 10.0, 100.0])
        text = target_table([RATE], [Target("publish", "natsio", 5)], both, "asyncio")
        assert line_of(text, "awaited")[-3:] == ["6.00 (5.00 to 7.00)", "≥ 5", "met"]

    def test_a_round_in_which_one_failed_has_no_ratio(self) -> None:
        both = results(tidings=[None, 50.0], natsio=[10.0, 10.0])
        text = target_table([RATE], [Target("publish", "natsio", 5)], both, "asyncio")
        assert line_of(text, "awaited")[-3] == "5.00"
        both = results(tidings=[None, 50.0], natsio=[10.0, None])
        text = target_table([RATE], [Target("publish", "natsio", 5)], both, "asyncio")
        assert line_of(text, "awaited")[-1] == "not measured"

    def test_a_missed_target_is_marked(self) -> None:
        both = results(tidings=[2.0], natsio=[1.0])
        text = target_table([RATE], [Target("publish", "natsio", 5)], both, "asyncio")
        assert line_of(text, "awaited")[-1] == "**missed**"

    def test_without_the_peer_there_is_no_verdict(self) -> None:
        text = target_table([RATE], [Target("publish", "natsio", 5)], results(tidings=[2.0]), "asyncio")
        assert line_of(text, "awaited")[2:] == ["natsio: no figure", "", "≥ 5", "not measured"]

    def test_against_another_row_of_ours(self) -> None:
        measured = Results(
            [
                Measurement("publish", "tidings", "asyncio", 10.0),
                Measurement("request", "tidings", "asyncio", 4.0),
            ]
        )
        target = Target("request", "tidings", 0.7, their_row="publish")
        text = target_table([RATE, TIME], [target], measured, "asyncio")
        assert line_of(text, "round")[2:4] == ["tidings, publish: 10 ms", "0.40"]

    def test_rows_that_were_not_asked_for_are_not_there(self) -> None:
        text = target_table([TIME], TARGETS, results(tidings=[1.0]), "asyncio")
        assert len(text.splitlines()) == 2


def test_short_times_have_three_digits_and_the_rest_none_after_the_point() -> None:
    assert show(0.21345, Unit.TIME) == "0.213"
    assert show(1234.5, Unit.TIME) == "1,234"
    assert show(1_234_567.8, Unit.RATE) == "1,234,568"


def test_table_columns_are_aligned() -> None:
    text = table(("a", "long head"), [("longer", "b"), ("c", "")])
    assert text.splitlines() == [
        "| a      | long head |",
        "|--------|-----------|",
        "| longer | b         |",
        "| c      |           |",
    ]


def test_every_target_names_a_row_and_its_contenders() -> None:
    rows = {row.name: row for row in ROWS}
    for target in TARGETS:
        assert target.ours in rows[target.row].contenders
        # Without a rival, the figure itself is the measure.
        assert not target.theirs or target.theirs in rows[target.their_row or target.row].contenders
