"""From `module:app` to the App: each way it can fail says which, where, and what to do."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tidings.app import App
from tidings.cli.exits import CommandError, Exit
from tidings.cli.loading import Target, load_app

Module = Callable[[str, str], Path]


@pytest.fixture(autouse=True)
def _forget_modules() -> Iterator[None]:
    """Each test imports modules of its own, under names another test may use too."""
    path, modules = list(sys.path), set(sys.modules)
    yield
    sys.path[:] = path
    for name in set(sys.modules) - modules:
        del sys.modules[name]


def failure(text: str, folder: Path, *, factory: bool = False) -> CommandError:
    with pytest.raises(CommandError) as caught:
        load_app(Target.parse(text), folder, factory=factory)
    return caught.value


@pytest.mark.parametrize(
    ("text", "suggestion"),
    [
        ("main", "'main:app'"),
        ("main.py", "'main:app'"),
        ("main.py:service", "'main:service'"),
        ("src/main.py:app", "'src.main:app'"),
        ("./main", "'main:app'"),
        (":app", "'main:app'"),
        ("main:", "'main:app'"),
        ("main:app:other", "'main:app'"),
        ("", "'main:app'"),
    ],
)
def test_another_form_is_answered_with_the_right_one(text: str, suggestion: str) -> None:
    with pytest.raises(CommandError, match="MODULE:APP") as caught:
        Target.parse(text)
    assert suggestion in str(caught.value)
    assert caught.value.exit_code is Exit.USAGE


def test_an_app_is_found_by_dotted_names(folder: Path, module: Module) -> None:
    module("shop/service", "from tidings.app import App\nclass apps:\n    orders = App()")
    assert isinstance(load_app(Target.parse("shop.service:apps.orders"), folder), App)


def test_a_factory_is_called(folder: Path, module: Module) -> None:
    module("main", "from tidings.app import App\ndef make():\n    return App()")
    assert isinstance(load_app(Target.parse("main:make"), folder, factory=True), App)


@pytest.mark.parametrize("text", ["nowhere:app", "nowhere.service:app"])
def test_a_module_that_is_not_there(text: str, folder: Path) -> None:
    error = failure(text, folder)
    assert error.exit_code is Exit.NO_APP
    assert "no module named 'nowhere'" in str(error)
    assert str(folder.resolve()) in str(error)
    assert not error.details


def test_a_folder_that_is_not_there(folder: Path) -> None:
    error = failure("main:app", folder / "missing")
    assert error.exit_code is Exit.USAGE
    assert "there is no such folder" in str(error)


def test_a_name_that_is_not_there_lists_the_apps(folder: Path, module: Module) -> None:
    module("main", "from tidings.app import App\norders = App()\nbilling = App()\nother = 1")
    error = failure("main:app", folder)
    assert error.exit_code is Exit.NO_APP
    assert str(error) == "module 'main' has no 'app'; its Apps are: main:orders, main:billing"


def test_a_module_without_any_app(folder: Path, module: Module) -> None:
    module("main", "other = 1")
    assert "it has no App at all" in str(failure("main:app", folder))


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("1", "an object of type int, not an App"),
        ("lambda: None", "a function, not an App: with --factory"),
        ("__import__('json')", "a module, not an App"),
        ("type('MyBroker', (), {'subscriber': print})()", "wrap it, app = App(app)"),
    ],
)
def test_something_that_is_no_app(value: str, said: str, folder: Path, module: Module) -> None:
    module("main", f"app = {value}")
    error = failure("main:app", folder)
    assert error.exit_code is Exit.NO_APP
    assert said in str(error)


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("from tidings.app import App\napp = App()", "--factory wants a function"),
        ("def app():\n    return 1", "an object of type int, not an App"),
        ("async def app():\n    return 1", "is an async function: make the App in a plain one"),
    ],
)
def test_something_that_is_no_factory(code: str, said: str, folder: Path, module: Module) -> None:
    module("main", code)
    error = failure("main:app", folder, factory=True)
    assert error.exit_code is Exit.NO_APP
    assert said in str(error)


@pytest.mark.parametrize(
    ("code", "factory", "said"),
    [
        ("import a_library_not_there", False, "No module named 'a_library_not_there'"),
        ("app = 1 / 0", False, "ZeroDivisionError"),
        ("def app(:", False, "SyntaxError"),
        ("def app():\n    return 1 / 0", True, "main:app() failed: ZeroDivisionError"),
    ],
)
def test_an_error_of_the_users_code_comes_with_its_traceback(
    code: str, factory: bool, said: str, folder: Path, module: Module
) -> None:
    path = module("main", code)
    error = failure("main:app", folder, factory=factory)
    assert error.exit_code is Exit.IMPORT_FAILED
    assert said in str(error)
    assert f'File "{path}", line' in error.details
    assert "importlib" not in error.details
    assert "loading.py" not in error.details


def test_an_error_of_the_users_code_tells_no_secret(folder: Path, module: Module) -> None:
    module("main", "url = 'nats://u:secret@here:1'\nraise ValueError('no ' + url)")
    error = failure("main:app", folder)
    assert str(error) == "cannot import main: ValueError: no nats://here:1"
    assert "ValueError: no nats://here:1" in error.details
    module("other", "raise ValueError('nats://u:secret@here:1')")
    assert "secret" not in failure("other:app", folder).details
