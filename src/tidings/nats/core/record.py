"""Records: what frozen dataclasses are, without the time it takes to make one at each import.

`dataclasses` compiles an ``__init__`` for each class; with `Options` that alone took a tenth of
``import tidings.nats``. Type checkers see dataclasses.
"""

from __future__ import annotations

from typing import Any, ClassVar, dataclass_transform

__all__ = ["Record"]


@dataclass_transform(kw_only_default=True, frozen_default=True)
class Record:
    """Values with names that do not change. The annotations of a subclass are its fields, in order.

    Raises:
        TypeError: a field that there is not, or one without a default that was not given.
    """

    fields: ClassVar[tuple[str, ...]] = ()
    hidden: ClassVar[frozenset[str]] = frozenset()
    """The fields that `repr` leaves out, since they hold secrets."""

    def __init_subclass__(cls) -> None:
        cls.fields = tuple(name for name in cls.__annotations__ if name != "hidden")

    def __init__(self, **given: Any) -> None:
        name = type(self).__name__
        if not given.keys() <= set(self.fields):
            unknown = ", ".join(sorted(map(repr, given.keys() - set(self.fields))))
            raise TypeError(f"{name} has no {unknown}")
        # A field that is not given is read from the class, where its default stands.
        self.__dict__.update(given)
        missing = [field for field in self.fields if not hasattr(self, field)]
        if missing:
            raise TypeError(f"{name} needs {', '.join(missing)}")
        self._check()

    def _check(self) -> None:
        """Refuse values that make no sense; a subclass says how."""

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"{type(self).__name__} does not change; make another one")

    def __delattr__(self, name: str) -> None:
        self.__setattr__(name, None)

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        return all(getattr(self, name) == getattr(other, name) for name in self.fields)

    def __hash__(self) -> int:
        return hash(tuple(getattr(self, name) for name in self.fields))

    def __repr__(self) -> str:
        shown = (f"{name}={getattr(self, name)!r}" for name in self.fields if name not in self.hidden)
        return f"{type(self).__name__}({', '.join(shown)})"
