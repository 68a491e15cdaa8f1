"""The demo: the service and a producer on an embedded server, then a table of what happened.

    python -m examples.temperatures

The exit code is 0 only if every reading came through each of the three handlers.
"""

import argparse
import os
import sys
from pathlib import Path

from rich.console import Console

from tidings.nats.server import NatsServer

from .flow import Flow
from .source import data_folder, read_rows


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="temperatures", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--data", type=Path, help="folder of the files (default: vega_datasets')")
    parser.add_argument("--rows", type=int, help="stop after so many readings")
    parser.add_argument("--window", type=int, default=32, help="readings under way at once (32)")
    parser.add_argument("--patience", type=float, default=5.0, help="seconds to wait for one (5)")
    return parser.parse_args()


def main() -> int:
    asked = options()
    console = Console(highlight=False)
    rows = read_rows(asked.data or data_folder(), asked.rows)
    with NatsServer() as server:
        console.print(f"{len(rows):,} readings by way of nats-server {server.host}:{server.port}")
        # The service's broker, made when its module is imported, takes its servers from here.
        os.environ["TIDINGS_NATS_SERVERS"] = server.url
        from . import demo

        return 0 if demo.run(rows, Flow(asked.window, asked.patience), console) else 1


if __name__ == "__main__":
    sys.exit(main())
