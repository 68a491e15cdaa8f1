"""How the suite runs: `async def` tests in a loop of their own, and a header that says on what."""

from __future__ import annotations

import asyncio
import inspect
import platform
import signal
from typing import Any

import pytest

from tidings.nats.wire import IMPLEMENTATION

pytest_plugins = ["tests.fixtures_nats"]

# No test waits longer, on a loaded machine either; a hang becomes a failure that names its line.
_LIMIT_SECONDS = 180.0


def pytest_configure() -> None:
    # A shell that starts us in the background has SIGINT ignored, and so had programs that tests interrupt.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_report_header() -> str:
    return f"tidings: wire core {IMPLEMENTATION}, Python {platform.python_version()}"


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    if not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    names = pyfuncitem._fixtureinfo.argnames
    arguments: dict[str, Any] = {name: pyfuncitem.funcargs[name] for name in names}

    async def bounded() -> None:
        async with asyncio.timeout(_LIMIT_SECONDS):
            await pyfuncitem.obj(**arguments)

    asyncio.run(bounded(), debug=False)
    return True
