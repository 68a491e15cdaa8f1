"""The demo, as `make demo` runs it: exit code 0 only if every reading came through."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

LIMIT = 60.0  # seconds
ROOT = Path(__file__).parents[2]
HOURS = 40


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Two small files of the form that vega_datasets has: columns and times as each city writes them."""
    hours = [(1 + hour // 24, hour % 24, 40 + hour % 24) for hour in range(HOURS)]
    seattle = [f"2010/01/{day:02} {hour:02}:00,{temp}.5" for day, hour, temp in hours]
    sf = [f"{temp}.2,2010/01/{day:02} {hour:02}:00:00" for day, hour, temp in hours]
    (tmp_path / "seattle-temps.csv").write_text("\n".join(["date,temp", *seattle]))
    (tmp_path / "sf-temps.csv").write_text("\n".join(["temp,date", *sf]) + "\n")
    return tmp_path


def demo(*args: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "examples.temperatures", *map(str, args)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=LIMIT,
        check=False,
    )


def rows(out: str) -> dict[str, tuple[str, str]]:
    """The table: readings and missing of each handler."""
    found = re.findall(r"^ *(check|compare|watch) +(\S+) +(\S+)", out, re.MULTILINE)
    return {handler: (readings, missing) for handler, readings, missing in found}


def test_every_reading_comes_through(data: Path) -> None:
    done = demo("--data", data)
    assert (done.returncode, done.stderr) == (0, "")
    assert rows(done.stdout) == dict.fromkeys(["check", "compare", "watch"], (f"{2 * HOURS}", "0"))
    assert re.search(r"\d readings/s, \d+ alerts", done.stdout)
    assert re.search(r"p50 [\d.]+ ms, p95 [\d.]+ ms, p99 [\d.]+ ms", done.stdout)
    assert "\x1b" not in done.stdout  # not a terminal: no colours, no moving bar


def test_a_window_of_one_and_a_limit(data: Path) -> None:
    done = demo("--data", data, "--window", "1", "--rows", "7")
    assert done.returncode == 0
    assert rows(done.stdout)["watch"] == ("7", "0")


def test_a_reading_lost_on_the_way_is_a_failure(data: Path) -> None:
    file = data / "seattle-temps.csv"
    file.write_text(file.read_text().replace("2010/01/01 05:00,45.5", "2010/01/01 05:00,n/a"))
    done = demo("--data", data, "--patience", "0.2")
    assert done.returncode == 1
    assert rows(done.stdout)["watch"] == (f"{2 * HOURS - 1}", "1")
    assert "lost: seattle:7" in done.stdout
    assert "field 'temp'" in done.stderr


def test_the_readings_of_vega_datasets() -> None:
    done = demo("--rows", "500")
    assert (done.returncode, done.stderr) == (0, "")
    assert rows(done.stdout)["watch"] == ("500", "0")


def test_ctrl_c_ends_it(data: Path) -> None:
    """With one reading that never arrives, and a patience beyond the test's own."""
    file = data / "seattle-temps.csv"
    file.write_text("date,temp\n2010/01/01 05:00,n/a\n")
    with subprocess.Popen(
        [sys.executable, "-m", "examples.temperatures", "--data", str(data), "--patience", "600"],
        cwd=ROOT,
        env=os.environ | {"PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stderr is not None
        assert "field 'temp'" in process.stderr.readline()
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=LIMIT)
    assert process.returncode == 1
    assert "interrupted" in out
    assert "Traceback" not in err
