"""The `tidings` command. It needs the extra `services`, and says so where that is missing."""

import sys
from importlib.util import find_spec

from .exits import Exit

__all__ = ["Exit", "main"]

_NEEDED = ("typer", "rich", "pydantic")


def main(args: list[str] | None = None) -> None:
    """Run the command line `args` (default: the process's own); ends with an `Exit` code."""
    missing = ", ".join(name for name in _NEEDED if find_spec(name) is None)
    if missing:
        print(f'the tidings command needs {missing}: pip install "tidings[services]"', file=sys.stderr)
        sys.exit(Exit.NOT_INSTALLED)
    from .commands import run_command_line

    sys.exit(run_command_line(args))
