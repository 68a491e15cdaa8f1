"""From the text `module:app` to the App object, with an error a person understands at each step."""

import importlib
import sys
import traceback
from collections.abc import Iterator
from dataclasses import dataclass
from inspect import iscoroutinefunction
from pathlib import Path
from types import ModuleType, TracebackType

from tidings.app import App
from tidings.messaging.logs import without_secrets

from .exits import CommandError, Exit

__all__ = ["Target", "load_app"]


@dataclass(frozen=True, slots=True)
class Target:
    """Where an App is: `attribute` (dots allowed) of the importable `module`."""

    module: str
    attribute: str

    @classmethod
    def parse(cls, text: str) -> "Target":
        """Read `module:attribute`; a CommandError says what is wrong with another form."""
        module, colon, attribute = text.partition(":")
        if _is_dotted_name(module) and _is_dotted_name(attribute) and not module.endswith(".py"):
            return cls(module, attribute)
        hint = cls(_module_of(module) or "main", attribute if _is_dotted_name(attribute) else "app")
        missing = "" if colon else ": the colon and the name of the App are missing"
        raise CommandError(
            Exit.USAGE,
            f"{text!r} is not of the form MODULE:APP{missing}; for example {str(hint)!r}",
        )

    def __str__(self) -> str:
        return f"{self.module}:{self.attribute}"


def load_app(target: Target, app_dir: Path, *, factory: bool = False) -> App:
    """Import the module from `app_dir` (or the installed packages) and take the App out of it.

    With `factory` the attribute is called, without arguments, and gives the App.
    Raises CommandError: NO_APP, or IMPORT_FAILED with the traceback of the user's code.
    """
    module = _import(target, app_dir)
    found = _attribute(module, target)
    if factory:
        found = _build(found, target)
    if isinstance(found, App):
        return found
    raise CommandError(Exit.NO_APP, f"{target} is {_kind(found)}, not an App{_advice(found, target)}")


def _import(target: Target, app_dir: Path) -> ModuleType:
    folder = app_dir.resolve()
    if not folder.is_dir():
        raise CommandError(Exit.USAGE, f"--app-dir {app_dir}: there is no such folder")
    sys.path.insert(0, str(folder))
    try:
        return importlib.import_module(target.module)
    except ModuleNotFoundError as error:
        if _is_target_or_parent(error.name, target.module):
            raise CommandError(
                Exit.NO_APP,
                f"no module named {error.name!r}: looked in {folder} and the installed packages"
                " (--app-dir DIR names another folder)",
            ) from error
        raise _users_error(error, f"cannot import {target.module}") from error
    except Exception as error:
        raise _users_error(error, f"cannot import {target.module}") from error


def _attribute(module: ModuleType, target: Target) -> object:
    found: object = module
    for name in target.attribute.split("."):
        if not hasattr(found, name):
            raise CommandError(
                Exit.NO_APP,
                f"module {module.__name__!r} has no {target.attribute!r}; {_apps(module)}",
            )
        found = getattr(found, name)
    return found


def _build(factory: object, target: Target) -> object:
    if not callable(factory) or isinstance(factory, App):
        raise CommandError(
            Exit.NO_APP,
            f"{target} is {_kind(factory)}: --factory wants a function that returns an App",
        )
    if iscoroutinefunction(factory):
        raise CommandError(
            Exit.NO_APP, f"{target} is an async function: make the App in a plain one, and await in its hooks"
        )
    try:
        return factory()
    except Exception as error:
        raise _users_error(error, f"{target}() failed") from error


def _users_error(error: BaseException, message: str) -> CommandError:
    """The error of the user's code, with the part of its traceback that is the user's."""
    frames = list(_users_frames(error.__traceback__))
    lines = traceback.format_exception(error.with_traceback(frames[0] if frames else None))
    return CommandError(
        Exit.IMPORT_FAILED,
        without_secrets(f"{message}: {type(error).__name__}: {error}"),
        details=without_secrets("".join(lines)),
    )


def _users_frames(trace: TracebackType | None) -> Iterator[TracebackType]:
    """The traceback from the first frame on that is not this file's or the import system's."""
    ours = {__file__, importlib.__file__}
    while trace is not None:
        filename = trace.tb_frame.f_code.co_filename
        if filename not in ours and not filename.startswith("<frozen importlib"):
            yield trace
        trace = trace.tb_next


def _apps(module: ModuleType) -> str:
    names = [name for name, value in vars(module).items() if isinstance(value, App)]
    if not names:
        return "it has no App at all: write app = App(broker)"
    return "its Apps are: " + ", ".join(f"{module.__name__}:{name}" for name in names)


def _advice(found: object, target: Target) -> str:
    if callable(getattr(found, "subscriber", None)):
        return f": wrap it, app = App({target.attribute}), and name that"
    if callable(found):
        return ": with --factory it is called to make one"
    return ""


def _kind(value: object) -> str:
    if isinstance(value, ModuleType):
        return "a module"
    kind = type(value).__name__
    return f"an object of type {kind}" if kind != "function" else "a function"


def _is_target_or_parent(missing: str | None, module: str) -> bool:
    return missing is not None and (module == missing or module.startswith(missing + "."))


def _is_dotted_name(text: str) -> bool:
    return all(part.isidentifier() for part in text.split("."))


def _module_of(text: str) -> str:
    """The module a path such as `service/main.py` would be."""
    name = text.removesuffix(".py").strip("./\\").replace("/", ".").replace("\\", ".")
    return name if _is_dotted_name(name) else ""
