"""The options of an App on the command line: ``--name value``, whatever the names."""

from typing import TypeAlias

from .exits import CommandError, Exit

__all__ = ["OptionValue", "parse_options"]

OptionValue: TypeAlias = str | bool | list[str]


def parse_options(args: list[str]) -> dict[str, OptionValue]:
    """What hooks get of the arguments that are not ours.

    ======================================  =====================================
    ``--name value``, ``--name=value``      ``name="value"``
    ``--some-name value``                   ``some_name="value"``
    ``--flag``, ``--no-flag``               ``flag=True``, ``flag=False``
    one that comes several times            a list of its values
    ======================================  =====================================

    Raises:
        CommandError: an argument that belongs to no option, or one with and without values.
    """
    found: dict[str, OptionValue] = {}
    rest = list(args)
    while rest:
        flag = rest.pop(0)
        name, equals, value = flag.removeprefix("--").partition("=")
        key = name.replace("-", "_")
        if not flag.startswith("--") or not key.isidentifier():
            raise CommandError(
                Exit.USAGE, f"unexpected argument {flag!r}: options of the app are written --name VALUE"
            )
        if equals:
            _add(found, key, value)
        elif rest and not rest[0].startswith("--"):
            _add(found, key, rest.pop(0))
        elif key.startswith("no_"):
            _add(found, key.removeprefix("no_"), False)
        else:
            _add(found, key, True)
    return found


def _add(found: dict[str, OptionValue], key: str, value: str | bool) -> None:
    before = found.get(key)
    if before is None:
        found[key] = value
    elif isinstance(value, bool) or isinstance(before, bool):
        raise CommandError(
            Exit.USAGE, f"--{key.replace('_', '-')} is given several times, once without a value"
        )
    else:
        found[key] = [*(before if isinstance(before, list) else [before]), value]
