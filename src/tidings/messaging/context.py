"""The values that `Context("name")` finds, beside those of the message."""

from collections.abc import Mapping
from typing import Any

from .errors import ContextError
from .params import MISSING

__all__ = ["ContextRepo", "follow"]


class ContextRepo:
    """Named values of an application, for handlers and dependencies to ask for."""

    def __init__(self, values: Mapping[str, Any] | None = None) -> None:
        self._globals = dict(values or {})

    def set_global(self, key: str, value: Any) -> None:
        """Make `value` what `Context(key)` finds."""
        self._globals[key] = value

    def reset_global(self, key: str) -> None:
        """Forget the value; does nothing where there is none."""
        self._globals.pop(key, None)

    def get(self, key: str, default: Any = None) -> Any:
        """The value called `key`, or `default`."""
        return self._globals.get(key, default)

    def resolve(self, name: str) -> Any:
        """The value of a dotted name: "settings.database.url". ContextError if it is not there."""
        key, *rest = name.split(".")
        value = self._globals.get(key, MISSING)
        if value is MISSING:
            raise ContextError(
                f"there is no {key!r} in the context; set it with context.set_global({key!r}, …)"
            )
        return follow(value, rest)


def follow(value: Any, names: list[str]) -> Any:
    """The value behind the names: of each a key where it is a mapping, else an attribute."""
    for name in names:
        try:
            value = value[name] if isinstance(value, Mapping) else getattr(value, name)
        except (KeyError, AttributeError):
            raise ContextError(f"a {type(value).__name__} of the context has no {name!r}") from None
    return value
