"""`import tidings.nats` loads the client and nothing else."""

from __future__ import annotations

import importlib.metadata
import inspect
import json
import os
import subprocess
import sys
from importlib.util import find_spec

import pytest

import tidings.nats
from tidings.nats import errors


def modules_after(statement: str, **environment: str) -> set[str]:
    """What a fresh interpreter has loaded after `statement`."""
    run = subprocess.run(
        [sys.executable, "-c", f"import json, sys\n{statement}\nprint(json.dumps(list(sys.modules)))"],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
        env={**os.environ, **environment},
    )
    return set(json.loads(run.stdout))


@pytest.fixture(scope="module")
def loaded() -> set[str]:
    return modules_after("import tidings.nats")


def test_no_part_of_the_framework(loaded: set[str]) -> None:
    ours = {name for name in loaded if name.startswith("tidings.") and not name.startswith("tidings.nats")}
    assert not ours


def test_no_part_of_the_client_that_was_not_asked_for(loaded: set[str]) -> None:
    assert "tidings.nats.core.connection" in loaded
    unasked = ("server", "services", "system", "contexts")
    assert not {name for name in loaded if name.startswith(tuple(f"tidings.nats.{each}" for each in unasked))}


def test_nothing_but_the_standard_library(loaded: set[str]) -> None:
    """Whatever happens to be installed beside it; what `site` loads is there before."""
    before = modules_after("")
    strangers = {name.partition(".")[0] for name in loaded - before} - sys.stdlib_module_names - {"tidings"}
    # Cython registers this one for its own types.
    assert {name for name in strangers if not name.startswith(("_cython", "cython_runtime"))} == set()


def test_the_face_of_the_framework_does_not_load_it() -> None:
    loaded = modules_after("import tidings")
    assert not {name for name in loaded if name.startswith("tidings.")}


@pytest.mark.parametrize("pure", ["0", "1"])
def test_one_twin_is_loaded_as_asked(pure: str) -> None:
    statement = "import tidings.nats"
    if pure == "0" and find_spec("tidings.nats.wire._speedups") is None:
        with pytest.raises(subprocess.CalledProcessError):
            modules_after(statement, TIDINGS_PURE=pure)
        return
    loaded = modules_after(statement, TIDINGS_PURE=pure)
    assert ("tidings.nats.wire._speedups" in loaded) is (pure == "0")


def test_it_runs_without_asserts_and_docstrings() -> None:
    assert "tidings.nats" in modules_after("import tidings.nats", PYTHONOPTIMIZE="2")


def test_every_public_name_is_there_once_and_documented() -> None:
    names = tidings.nats.__all__
    assert len(names) == len(set(names))
    for name in names:
        value = getattr(tidings.nats, name)
        assert name == "__version__" or inspect.getdoc(value), name


def test_every_error_is_public_and_in_the_tree_of_the_docstring() -> None:
    assert errors.__doc__
    for name in errors.__all__:
        assert getattr(tidings.nats, name) is getattr(errors, name)
        assert issubclass(getattr(errors, name), errors.Error)
        assert name in errors.__doc__


def test_the_version_is_that_of_the_package() -> None:
    assert tidings.nats.__version__ == importlib.metadata.version("tidings")
