"""The options of an App as the command line has them."""

import pytest

from tidings.cli.exits import CommandError, Exit
from tidings.cli.options import parse_options


@pytest.mark.parametrize(
    ("args", "options"),
    [
        ("", {}),
        ("--name value", {"name": "value"}),
        ("--name=value", {"name": "value"}),
        ("--name=", {"name": ""}),
        ("--name=a=b", {"name": "a=b"}),
        ("--some-name value", {"some_name": "value"}),
        ("--level -5", {"level": "-5"}),
        ("--flag", {"flag": True}),
        ("--flag --no-other", {"flag": True, "other": False}),
        ("--no-flag value", {"no_flag": "value"}),
        ("--tag a --tag b --tag=c", {"tag": ["a", "b", "c"]}),
    ],
)
def test_what_hooks_get(args: str, options: dict[str, object]) -> None:
    assert parse_options(args.split()) == options


@pytest.mark.parametrize(
    ("args", "said"),
    [
        ("stray", "unexpected argument 'stray'"),
        ("-x 1", "unexpected argument '-x'"),
        ("--name value stray", "unexpected argument 'stray'"),
        ("--", "unexpected argument '--'"),
        ("--2x 1", "unexpected argument '--2x'"),
        ("--flag --flag", "--flag is given several times, once without a value"),
        ("--some-tag a --some-tag", "--some-tag is given several times"),
    ],
)
def test_what_belongs_to_no_option(args: str, said: str) -> None:
    with pytest.raises(CommandError, match=said) as caught:
        parse_options(args.split())
    assert caught.value.exit_code is Exit.USAGE
