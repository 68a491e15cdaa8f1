"""The diagram of the states in the docs is the one that the table gives."""

from __future__ import annotations

import importlib.util
from pathlib import Path

SCRIPT = Path(__file__).parents[2] / "scripts" / "draw_states.py"


def test_the_diagram_is_the_table() -> None:
    spec = importlib.util.spec_from_file_location("draw_states", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    text = script.PAGE.read_text()
    assert script.DIAGRAM.search(text)
    assert script.drawn(text) == text, "run python scripts/draw_states.py"
