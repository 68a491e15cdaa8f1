"""What travels: typed data, in MessagePack, with arrays by their buffer.

A kind of one's own is a dataclass over `Data`::

    @dataclass(frozen=True)
    class Sweep(Data, kind="lidar-sweep"):
        angles: list[float]
        ranges: bytes
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field, fields
from types import UnionType
from typing import Any, ClassVar, Self, Union, get_args, get_origin, get_type_hints

from tidings.pubsub.errors import DataError, UnknownKindError
from tidings.pubsub.msgpack import Buffer, pack, unpack

__all__ = ["BytesData", "Data", "SensorData"]

_KIND = "kind"
# How an array stands among the fields: anybody who reads MessagePack can make one of it.
_ARRAY = frozenset(("dtype", "shape", "array"))
# Numbers and booleans. An array of Python's objects would have to be pickled.
_ARRAY_KINDS = "biufc"
_kinds: dict[str, type[Data]] = {}


class Data:
    """Something to publish.

    A subclass is a dataclass whose fields are numbers, texts, bytes, arrays, lists or dicts.

    Attributes:
        kind: the name under which it travels.
    """

    kind: ClassVar[str]

    def __init_subclass__(cls, kind: str | None = None, **rest: Any) -> None:
        super().__init_subclass__(**rest)
        # A dataclass with slots is made twice, the second time with what the first one has.
        kind = kind if kind is not None else cls.__dict__.get("kind")
        if kind is None:
            return
        known = _kinds.get(kind)
        if known is not None and (known.__module__, known.__qualname__) != (cls.__module__, cls.__qualname__):
            raise ValueError(f"the kind {kind!r} is {known.__qualname__} already")
        cls.kind = kind
        _kinds[kind] = cls

    def serialize(self) -> bytes:
        """The bytes to publish. Arrays and buffers are copied once, into them.

        Raises:
            DataError: a field that has no form in MessagePack; the text names it.
        """
        if "kind" not in type(self).__dict__:
            name, base = (each.__name__ for each in type(self).__mro__[:2])
            raise DataError(f"{name} has no kind to travel under: class {name}({base}, kind='…')")
        values = {each.name: getattr(self, each.name) for each in fields(self)}  # type: ignore[arg-type]
        packed = {name: _from_array(value) if _is_array(value) else value for name, value in values.items()}
        try:
            return pack({_KIND: self.kind, **packed})
        except DataError as error:
            raise DataError(f"{type(self).__name__}: {error}") from None

    @classmethod
    def deserialize(cls, data: Buffer) -> Self:
        """What `data` holds. Called on `Data` it may be of any kind, on a subclass it must be one of it.

        An array is a read-only view of `data`, without a copy, where numpy is there, and a memoryview
        of its bytes where it is not.

        Raises:
            UnknownKindError: a kind that this program did not define.
            DataError: truncated, or no data at all, or of another kind than was asked for.
        """
        try:
            found = unpack(data)
        except TypeError:
            raise DataError(f"data is deserialized from bytes, not from {type(data).__name__}") from None
        kind = found.pop(_KIND, None) if isinstance(found, dict) else None
        if not isinstance(kind, str):
            raise DataError("the bytes are no serialized data: they name no kind")
        made = _kinds.get(kind)
        if made is None:
            raise UnknownKindError(
                f"kind {kind!r} is not known here: import the module that defines it", kind
            )
        if not issubclass(made, cls):
            raise DataError(f"the data is {made.__name__}, not {cls.__name__}")
        return made._from(found)

    @classmethod
    def _from(cls, found: dict[str, Any]) -> Self:
        hints = get_type_hints(cls)
        known = {each.name for each in fields(cls)}  # type: ignore[arg-type]
        values = {name: _to_value(value) for name, value in found.items() if name in known}
        for name, value in values.items():
            _check(cls.__name__, name, value, hints[name])
        try:
            return cls(**values)
        except (TypeError, ValueError) as error:
            raise DataError(f"{cls.__name__} cannot be made of the data: {error}") from error


@dataclass(frozen=True, slots=True)
class BytesData(Data, kind="bytes"):
    """Bytes, of which nothing is known.

    Attributes:
        payload: the bytes.
    """

    payload: bytes = b""


@dataclass(frozen=True, slots=True)
class SensorData(Data, kind="sensor"):
    """What a sensor saw.

    Attributes:
        sensor_name: which sensor.
        capture_time: when, in seconds since 1970; now, unless given.
        frame_id: the number of the frame.
        payload: the frame: bytes, or an array of numpy.
    """

    sensor_name: str
    capture_time: float = field(default_factory=time.time)
    frame_id: int = 0
    payload: Any = b""


def _is_array(value: object) -> bool:
    return hasattr(value, "__array_interface__")


def _from_array(array: Any) -> dict[str, Any]:
    """An array by its buffer."""
    if array.dtype.kind not in _ARRAY_KINDS:
        raise DataError(f"an array of {array.dtype} cannot be serialized: only numbers and booleans can")
    if not array.flags.c_contiguous:
        array = array.copy(order="C")
    flat = memoryview(array.reshape(-1).view("u1")) if array.size else b""
    return {"dtype": array.dtype.str, "shape": list(array.shape), "array": flat}


def _to_value(value: Any) -> Any:
    """A field from what MessagePack has: arrays as views, other bytes as bytes."""
    if isinstance(value, memoryview):
        return bytes(value)
    if isinstance(value, list):
        return [_to_value(each) for each in value]
    if isinstance(value, dict):
        if value.keys() == _ARRAY:
            return _to_array(value["dtype"], value["shape"], value["array"])
        return {name: _to_value(each) for name, each in value.items()}
    return value


def _to_array(dtype: Any, shape: Any, data: Any) -> Any:
    try:
        import numpy
    except ImportError:
        return data
    if not (
        isinstance(dtype, str)
        and isinstance(data, memoryview)
        and isinstance(shape, list)
        and all(type(size) is int and size >= 0 for size in shape)
    ):
        raise DataError("an array is a dtype, a shape and bytes")
    try:
        made = numpy.dtype(dtype)
        if made.kind not in _ARRAY_KINDS:
            raise DataError(f"an array of {dtype!r} is not taken: only numbers and booleans are")
        return numpy.frombuffer(data, made).reshape(shape)
    except (TypeError, ValueError, OverflowError) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"an array of {dtype!r} and shape {shape} is not in {len(data)} bytes") from error


def _check(owner: str, name: str, value: Any, hint: Any) -> None:
    """Refuse a value that is plainly of another type than the field; items of a list are not looked at."""
    wanted = get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,)
    types = [get_origin(each) or each for each in wanted]
    known = [each for each in types if isinstance(each, type) and each is not Any]
    if len(known) < len(types) or _is_array(value):
        return
    if not isinstance(value, tuple(known)) and not (float in known and type(value) is int):
        raise DataError(f"{owner}: field {name!r} is {hint!r}, not {type(value).__name__}")
