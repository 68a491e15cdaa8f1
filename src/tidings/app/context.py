"""The context of a broker in an App: its own values, with the App's behind them."""

from typing import Any

from tidings.messaging.context import ContextRepo
from tidings.messaging.params import MISSING

__all__ = ["LayeredContext"]


class LayeredContext(ContextRepo):
    """A broker's context, with the App's behind it."""

    def __init__(self, own: ContextRepo, behind: ContextRepo) -> None:
        super().__init__()
        self._own, self._behind = own, behind

    def set_global(self, key: str, value: Any) -> None:  # noqa: D102 the base class's
        self._own.set_global(key, value)

    def reset_global(self, key: str) -> None:  # noqa: D102 the base class's
        self._own.reset_global(key)

    def get(self, key: str, default: Any = None) -> Any:  # noqa: D102 the base class's
        found = self._own.get(key, MISSING)
        return self._behind.get(key, default) if found is MISSING else found

    def resolve(self, name: str) -> Any:  # noqa: D102 the base class's
        key = name.partition(".")[0]
        layer = self._behind if self._own.get(key, MISSING) is MISSING else self._own
        return layer.resolve(name)
