"""What the types of nats-py's JetStream API have in common: how they are written for the server and read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime
from typing import Any, ClassVar, Self

__all__ = ["Base"]

_NANOSECONDS = 10**9


@dataclass
class Base:
    """A type of the API; fields that it does not know are left out when one is read."""

    seconds: ClassVar[frozenset[str]] = frozenset()
    """Fields that are seconds here and nanoseconds there."""
    zeroed: ClassVar[frozenset[str]] = frozenset()
    """Those of them that are sent as 0 when they are None."""
    times: ClassVar[frozenset[str]] = frozenset()
    """Fields that are a datetime here and text there."""
    nested: ClassVar[Mapping[str, type[Base]]] = {}
    """Fields that are such a type themselves, or a list of them."""

    @classmethod
    def from_response(cls, resp: dict[str, Any]) -> Self:
        """Read from what the server answered, which is left as it is."""
        return cls(
            **{
                field.name: cls._read(field.name, resp[field.name])
                for field in fields(cls)
                if field.name in resp
            }
        )

    @classmethod
    def _read(cls, name: str, value: Any) -> Any:
        if value is None:
            return None
        if name in cls.seconds:
            return (
                [each / _NANOSECONDS for each in value] if isinstance(value, list) else value / _NANOSECONDS
            )
        if name in cls.times:
            return cls._parse_utc_iso(value) if value else value
        if name in cls.nested:
            kind = cls.nested[name]
            return (
                [kind.from_response(each) for each in value]
                if isinstance(value, list)
                else kind.from_response(value)
            )
        return value

    def evolve(self, **params: Any) -> Self:
        """A copy with other values in the place of these."""
        return replace(self, **params)

    def as_dict(self) -> dict[str, object]:
        """What is sent to the server."""
        written: dict[str, object] = {
            field.name: self._write(field.name, value)
            for field in fields(self)
            if (value := getattr(self, field.name)) is not None
        }
        return written | dict.fromkeys(self.zeroed - written.keys(), 0)

    def _write(self, name: str, value: Any) -> Any:
        if name in self.seconds:
            return (
                [int(each * _NANOSECONDS) for each in value]
                if isinstance(value, list)
                else int(value * _NANOSECONDS)
            )
        if name in self.times:
            return self._to_utc_iso(value)
        if isinstance(value, Base):
            return value.as_dict()
        if isinstance(value, list):
            return [each.as_dict() if isinstance(each, Base) else each for each in value]
        return value

    @staticmethod
    def _to_utc_iso(date: datetime | str) -> str:
        """A time as text, in UTC, which a time without a zone is taken to be; text stays as it is."""
        if isinstance(date, str):
            return date
        date = date.replace(tzinfo=UTC) if date.tzinfo is None else date.astimezone(UTC)
        return date.isoformat().replace("+00:00", "Z")

    @staticmethod
    def _parse_utc_iso(time_string: str) -> datetime:
        """A time from text, to the microsecond."""
        # fromisoformat reads any number of digits, and ignores those beyond the sixth.
        return datetime.fromisoformat(time_string).astimezone(UTC)
