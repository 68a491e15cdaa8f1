"""Draws the states of a connection into docs/nats/connection.md, from the table in core/reconnect.py."""

from __future__ import annotations

import re
from pathlib import Path

from tidings.nats.core.reconnect import draw_states

PAGE = Path(__file__).parents[1] / "docs" / "nats" / "connection.md"
DIAGRAM = re.compile(r"(?<=^```mermaid\n).*?(?=^```$)", re.M | re.S)


def drawn(text: str) -> str:
    """The page with the diagram as the table has it."""
    return DIAGRAM.sub(lambda match: draw_states(), text, count=1)


if __name__ == "__main__":
    PAGE.write_text(drawn(PAGE.read_text()))
