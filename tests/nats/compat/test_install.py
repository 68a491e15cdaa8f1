"""A process in which ``import nats`` means the double: one set of modules, one set of classes."""

from __future__ import annotations

import subprocess
import sys

PROGRAM = """
import tidings.nats.compat
tidings.nats.compat.install()
tidings.nats.compat.install()

import nats
import nats.js.api
import nats.micro
from nats.aio.client import Client
from nats.errors import TimeoutError

import tidings.nats.compat.errors
import tidings.nats.compat.js.api

assert nats is tidings.nats.compat
assert TimeoutError is tidings.nats.compat.errors.TimeoutError
assert nats.js.api is tidings.nats.compat.js.api
assert Client is nats.NATS
assert nats.micro.add_service.__module__ == "tidings.nats.compat.micro"
"""
TOO_LATE = """
import nats
import tidings.nats.compat
try:
    tidings.nats.compat.install()
except ImportError as error:
    assert "first of all" in str(error)
else:
    raise AssertionError("accepted")
"""


def _run(program: str) -> None:
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


def test_import_nats_means_the_double() -> None:
    _run(PROGRAM)


def test_nats_py_that_is_imported_already_is_an_error() -> None:
    _run(TOO_LATE)
