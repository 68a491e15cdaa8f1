"""Typed data, and the MessagePack below it."""

from __future__ import annotations

import builtins
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidings.pubsub import DataError, UnknownKindError
from tidings.pubsub.data import BytesData, Data, SensorData
from tidings.pubsub.msgpack import pack, unpack


@dataclass(frozen=True, slots=True)
class Sweep(Data, kind="test-sweep"):
    angles: list[float]
    note: str | None = None
    about: dict[str, Any] | None = None


def test_sensor_data_by_default_is_of_now() -> None:
    before = time.time()
    data = SensorData(sensor_name="camera1")
    assert before <= data.capture_time <= time.time()
    assert SensorData.deserialize(data.serialize()) == data


@pytest.mark.parametrize(
    "data",
    [
        BytesData(b"\x00\xff" * 1000),
        BytesData(),
        SensorData("lidar", 12.5, 7, b"points"),
        SensorData("ünï", capture_time=1.0, frame_id=2**40, payload=[1, 2.5, {"a": None}]),
        Sweep([0.1, 0.2], about={"x": b"y", "z": [True, False]}),
    ],
    ids=lambda data: type(data).__name__,
)
def test_there_and_back(data: Data) -> None:
    assert Data.deserialize(data.serialize()) == data
    assert type(data).deserialize(bytearray(data.serialize())) == data


@pytest.mark.parametrize("dtype", ["u1", "<i4", ">f8", "?", "c16", "f2"])
@pytest.mark.parametrize("shape", [(), (0,), (3,), (2, 3, 4), (0, 3)])
def test_an_array(dtype: str, shape: tuple[int, ...]) -> None:
    array = np.arange(int(np.prod(shape)), dtype="f8").reshape(shape).astype(dtype)
    back = SensorData.deserialize(SensorData("camera", payload=array).serialize()).payload
    assert back.dtype == array.dtype
    assert back.shape == array.shape
    assert (back == array).all()


def test_an_array_is_a_view_of_the_message() -> None:
    message = SensorData("camera", payload=np.zeros((480, 640, 3), "u1")).serialize()
    back = SensorData.deserialize(message).payload
    assert not back.flags.owndata
    assert not back.flags.writeable
    assert np.shares_memory(back, np.frombuffer(message, "u1"))


def test_an_array_that_is_not_in_order_is_put_into_it() -> None:
    array = np.arange(12).reshape(3, 4)[:, ::2].T
    assert (SensorData.deserialize(SensorData("x", payload=array).serialize()).payload == array).all()


@pytest.mark.parametrize("array", [np.array([object()]), np.array(["text"]), np.array(["2020"], "M8[s]")])
def test_an_array_of_no_numbers(array: Any) -> None:
    with pytest.raises(DataError, match="only numbers"):
        SensorData("x", payload=array).serialize()


def test_without_numpy_an_array_is_its_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    message = SensorData("camera", payload=np.arange(4, dtype="u1")).serialize()
    real = builtins.__import__

    def without(name: str, *args: Any, **kwargs: Any) -> Any:
        if name == "numpy":
            raise ImportError
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    assert SensorData.deserialize(message).payload == b"\x00\x01\x02\x03"


@pytest.mark.parametrize(
    "payload", [object(), {1, 2}, 2**64, -(2**63) - 1, "\ud800", lambda: 1], ids=range(6)
)
def test_what_cannot_be_serialized(payload: Any) -> None:
    with pytest.raises(DataError, match=r"SensorData: .* cannot be serialized"):
        SensorData("x", payload=payload).serialize()


def test_what_goes_too_deep() -> None:
    deep: Any = []
    for _ in range(100):
        deep = [deep]
    with pytest.raises(DataError, match="nests deeper"):
        SensorData("x", payload=deep).serialize()
    with pytest.raises(DataError, match="nests deeper"):
        unpack(b"\x91" * 1000 + b"\xc0")


def test_an_unknown_kind() -> None:
    with pytest.raises(UnknownKindError, match="'radar' is not known") as caught:
        Data.deserialize(pack({"kind": "radar"}))
    assert caught.value.kind == "radar"


def test_another_kind_than_was_asked_for() -> None:
    with pytest.raises(DataError, match="the data is BytesData, not SensorData"):
        SensorData.deserialize(BytesData(b"x").serialize())


def test_a_kind_is_taken_once() -> None:
    with pytest.raises(ValueError, match="'sensor' is SensorData already"):

        class Other(Data, kind="sensor"):
            pass


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({}, "sensor_name"),
        ({"sensor_name": 7}, "'sensor_name'"),
        ({"sensor_name": "x", "capture_time": "now"}, "'capture_time'"),
        ({"sensor_name": "x", "frame_id": 1.5}, "'frame_id'"),
        ({"sensor_name": "x", "payload": {"dtype": "O", "shape": [1], "array": b"12345678"}}, "only numbers"),
        ({"sensor_name": "x", "payload": {"dtype": "u1", "shape": [9], "array": b"1"}}, "is not in 1 bytes"),
        ({"sensor_name": "x", "payload": {"dtype": "u1", "shape": [-1], "array": b"1"}}, "an array is"),
        ({"sensor_name": "x", "payload": {"dtype": "zz", "shape": [1], "array": b"1"}}, "'zz'"),
        ({"sensor_name": "x", "payload": {"dtype": 1, "shape": [1], "array": b"1"}}, "an array is"),
    ],
    ids=range(9),
)
def test_fields_that_do_not_fit(fields: dict[str, Any], named: str) -> None:
    with pytest.raises(DataError, match=named):
        Data.deserialize(pack({"kind": "sensor", **fields}))


def test_a_field_of_a_newer_version_is_passed_over() -> None:
    newer = pack({"kind": "bytes", "payload": b"x", "compression": "none"})
    assert Data.deserialize(newer) == BytesData(b"x")


@pytest.mark.parametrize("data", ["text", 7, None])
def test_what_is_no_bytes(data: Any) -> None:
    with pytest.raises(DataError, match="from bytes"):
        Data.deserialize(data)


def test_truncated_anywhere() -> None:
    message = SensorData("camera", 1.0, 7, np.arange(6).reshape(2, 3)).serialize()
    for end in range(len(message)):
        with pytest.raises(DataError):
            Data.deserialize(message[:end])
    with pytest.raises(DataError, match="1 bytes stand behind"):
        Data.deserialize(message + b"x")


@given(st.binary(max_size=200))
def test_any_bytes_are_data_or_an_error(data: bytes) -> None:
    with suppress(DataError):
        Data.deserialize(data)


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False)
    | st.text()
    | st.binary(),
    lambda inner: st.lists(inner, max_size=20) | st.dictionaries(st.text(), inner, max_size=20),
    max_leaves=20,
)


@given(VALUES)
def test_another_implementation_reads_it_and_we_read_its(value: Any) -> None:
    assert msgspec.msgpack.decode(pack(value)) == value
    assert unpack(msgspec.msgpack.encode(value)) == value


@pytest.mark.parametrize("size", [0, 15, 16, 31, 32, 255, 256, 65535, 65536])
def test_lengths(size: int) -> None:
    for value in ("x" * size, b"x" * size, [0] * size, {str(number): None for number in range(size)}):
        assert msgspec.msgpack.decode(pack(value)) == value
        assert unpack(msgspec.msgpack.encode(value)) == value


@pytest.mark.parametrize("data", [b"\xc1", b"\xc7\x01\x01x", b"\xd4\x01x", b"\xa1\xff", b"\x81\x01\x01", b""])
def test_what_data_does_not_hold(data: bytes) -> None:
    with pytest.raises(DataError):
        unpack(data)


def test_a_length_that_lies_costs_nothing() -> None:
    for code in (0xDD, 0xDF, 0xC6, 0xDB):
        with pytest.raises(DataError, match="the data ends"):
            unpack(bytes((code, 0xFF, 0xFF, 0xFF, 0xFF)))
