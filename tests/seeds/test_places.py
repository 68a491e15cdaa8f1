"""None of the talk's snippets is forgotten."""

import re
from pathlib import Path

from .places import PLACES, Needs, Shown

HERE = Path(__file__).parent


def test_each_place_has_an_answer() -> None:
    assert list(PLACES) == list(range(1, 49))


def test_each_snippet_has_a_test_and_each_test_a_snippet() -> None:
    sources = (path.read_text() for path in HERE.glob("test_*.py") if path != Path(__file__))
    tests = {name for source in sources for name in re.findall(r"^(?:async )?def (test_\w+)", source, re.M)}
    shown = [place.tests.split() for place in PLACES.values() if isinstance(place, Shown)]
    assert {name for names in shown for name in names} == tests


def test_what_is_waited_for() -> None:
    waiting = {place.part for place in PLACES.values() if isinstance(place, Needs)}
    assert waiting == {"RabbitMQ", "Kafka", "Redis", "ASGI", "traces", "AsyncAPI"}
