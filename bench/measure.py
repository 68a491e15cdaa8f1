"""One measurement in a process of its own.

usage: python -m bench.measure ROW URL SECONDS WARMUP SIZE DRIVER LOOP

Prints one line of JSON: {"figure": 123.4} with, for our own client, which wire core ran.
"""

import asyncio
import json
import logging
import os
import sys
from collections.abc import Callable
from importlib import import_module

from bench import drivers
from bench.rows import ROWS
from bench.workloads import Run


def main() -> None:
    name, url, seconds, warmup, size, driver, loop = sys.argv[1:]
    logging.basicConfig(level=logging.WARNING)
    row = next(row for row in ROWS if row.name == name)
    module, _, function = row.workload.rpartition(".")
    workload = getattr(import_module(f"bench.workloads.{module}"), function)
    run = Run(url, float(seconds), float(warmup), int(size))
    with asyncio.Runner(loop_factory=loop_factory(loop)) as runner:
        figure = runner.run(workload(drivers.load(driver), run))
        print(json.dumps({"figure": figure, **implementation()}), flush=True)
        # What is still on its way is no part of the figure, and some take seconds to work it off.
        os._exit(0)


def loop_factory(name: str) -> Callable[[], asyncio.AbstractEventLoop]:
    """`asyncio` or `uvloop`."""
    return import_module(name).new_event_loop


def implementation() -> dict[str, str]:
    """Which of the twins of our wire core is loaded, if any."""
    wire = sys.modules.get("tidings.nats.wire")
    return {"wire": wire.IMPLEMENTATION} if wire else {}


if __name__ == "__main__":
    main()
