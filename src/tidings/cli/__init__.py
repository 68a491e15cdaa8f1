"""The `tidings` command. It needs typer and rich, and says so where they are missing."""

import sys

from .exits import Exit

__all__ = ["Exit", "main"]

_NEEDED = ("typer", "rich", "pydantic")


def main(args: list[str] | None = None) -> None:
    """Run the command line `args` (default: the process's own); ends with an `Exit` code."""
    try:
        from .commands import run_command_line
    except ModuleNotFoundError as error:
        if error.name not in _NEEDED:
            raise
        print(
            f'the tidings command needs {error.name}: pip install "tidings[services]"',
            file=sys.stderr,
        )
        sys.exit(Exit.NOT_INSTALLED)
    sys.exit(run_command_line(args))
