"""Buckets whose values have a type."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from tidings.nats import connect
from tidings.nats.errors import MissingExtraError
from tidings.nats.jetstream.errors import ConfigError
from tidings.nats.jetstream.kv import Base64Values
from tidings.nats.jetstream.kv.errors import (
    InvalidValueError,
    KeyDeletedError,
    KeyExistsError,
    KeyNotFoundError,
    StoredValueError,
)


class Price(BaseModel):
    cents: int
    currency: str = "EUR"


@dataclass
class Point:
    x: int
    y: int


async def test_every_operation(nats_url: str, name: str) -> None:
    async with await connect(nats_url) as client:
        kv = await client.jetstream().create_key_value(bucket=name, storage="memory", history=5)
        prices = kv.typed(Price)
        assert await prices.put("a", Price(cents=1)) == 1
        entry = await prices.get("a")
        assert entry.value == Price(cents=1)
        assert entry.value is entry.value
        assert (entry.key, entry.revision, entry.operation) == ("a", 1, "PUT")
        await prices.update("a", Price(cents=2), entry.revision)
        assert (await prices.get("a", 1)).value.cents == 1
        await prices.create("b", Price(cents=3, currency="CHF"))
        with pytest.raises(KeyExistsError):
            await prices.create("b", Price(cents=4))
        with pytest.raises(KeyNotFoundError):
            await prices.get("c")
        assert await prices.keys() == ["a", "b"]
        assert [each.value.cents for each in await prices.history("a")] == [1, 2]
        async with await prices.watch() as watcher:
            assert [each.value.cents for each in await watcher.initial()] == [2, 3]
            await prices.delete("a")
            gone = await watcher.updates()
            assert gone is not None
            assert gone.is_deleted
            with pytest.raises(StoredValueError, match="is_deleted"):
                _ = gone.value
        with pytest.raises(KeyDeletedError):
            await prices.get("a")
        await prices.purge("b")
        assert await prices.keys() == []
        assert (await kv.history("a"))[0].value == b'{"cents":1,"currency":"EUR"}'
        assert repr(prices) == f"<TypedKeyValue {name!r} of Price>"


@pytest.mark.parametrize(
    ("model", "value", "stored"),
    [
        (Point, Point(1, 2), b'{"x":1,"y":2}'),
        (dict[str, int], {"a": 1}, b'{"a":1}'),
        (list[Price], [Price(cents=1)], b'[{"cents":1,"currency":"EUR"}]'),
        (int, 5, b"5"),
        (str, "ü", '"ü"'.encode()),
    ],
    ids=["dataclass", "dict", "list", "int", "str"],
)
async def test_types(nats_url: str, name: str, model: Any, value: Any, stored: bytes) -> None:
    async with await connect(nats_url) as client:
        kv = await client.jetstream().create_key_value(bucket=name, storage="memory")
        typed = kv.typed(model)
        await typed.put("a", value)
        assert (await kv.get("a")).value == stored
        assert (await typed.get("a")).value == value


async def test_what_is_no_value(nats_url: str, name: str) -> None:
    async with await connect(nats_url) as client:
        prices = (await client.jetstream().create_key_value(bucket=name, storage="memory")).typed(Price)
        sent = client.stats.out_msgs
        for value in ({"cents": "many"}, None, Point(1, 2)):
            for attempt in (
                prices.put("a", value),  # type: ignore[arg-type]
                prices.create("a", value),  # type: ignore[arg-type]
                prices.update("a", value, 0),  # type: ignore[arg-type]
            ):
                with pytest.raises(InvalidValueError, match="Price"):
                    await attempt
        assert client.stats.out_msgs == sent


async def test_what_others_wrote_spoils_nothing_but_itself(nats_url: str, name: str) -> None:
    async with await connect(nats_url) as client:
        kv = await client.jetstream().create_key_value(bucket=name, storage="memory")
        prices = kv.typed(Price)
        await kv.put("a", b"no json")
        await kv.put("b", b'{"cents":1}')
        entry = await prices.get("a")
        with pytest.raises(StoredValueError, match="revision 1"):
            _ = entry.value
        assert entry.data == b"no json"
        async with await prices.watch() as watcher:
            _, good = await watcher.initial()
            assert good.value.cents == 1


async def test_with_a_codec(nats_url: str, name: str) -> None:
    async with await connect(nats_url) as client:
        js = client.jetstream()
        kv = await js.create_key_value(bucket=name, storage="memory", value_codec=Base64Values())
        await kv.typed(int).put("a", 5)
        assert (await kv.typed(int).get("a")).value == 5
        assert (await (await js.key_value(name)).get("a")).value == b"NQ"


async def test_what_is_no_type(nats_url: str, name: str) -> None:
    async with await connect(nats_url) as client:
        kv = await client.jetstream().create_key_value(bucket=name, storage="memory")
        with pytest.raises(ConfigError, match="validate"):
            kv.typed(object())  # type: ignore[arg-type]


async def test_without_pydantic(nats_url: str, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async with await connect(nats_url) as client:
        kv = await client.jetstream().create_key_value(bucket=name, storage="memory")
        monkeypatch.setitem(sys.modules, "pydantic", None)
        with pytest.raises(MissingExtraError, match=r"tidings\[services\]"):
            kv.typed(Price)


PROGRAM = """
from typing import assert_type
from pydantic import BaseModel
from tidings.nats import Client
from tidings.nats.jetstream import KeyValue, KeyValueEntry, KeyWatcher, TypedKeyValue

class Price(BaseModel):
    cents: int

async def main(client: Client) -> None:
    kv = await client.jetstream().create_key_value(bucket="b", history=5)
    assert_type(kv, KeyValue)
    assert_type((await kv.get("a")).value, bytes)
    prices = kv.typed(Price)
    assert_type(prices, TypedKeyValue[Price])
    assert_type(await prices.get("a"), KeyValueEntry[Price])
    assert_type((await prices.get("a")).value, Price)
    async with await prices.watch("a.>") as watcher:
        assert_type(watcher, KeyWatcher[Price])
        async for entry in watcher:
            assert_type(entry, KeyValueEntry[Price] | None)
        async for entry in watcher.entries():
            assert_type(entry.value, Price)
    assert_type(await kv.keys(), list[str])
    async for key in kv.keys("a.*"):
        assert_type(key, str)
    assert_type(await prices.put("a", Price(cents=1)), int)
"""


@pytest.mark.parametrize("checker", ["mypy", "pyright"])
def test_what_type_checkers_see(checker: str, tmp_path: Path) -> None:
    if find_spec(checker) is None:
        pytest.skip(f"{checker} is not installed")
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    options = ["--strict"] if checker == "mypy" else ["--pythonpath", sys.executable]
    done = subprocess.run(
        [sys.executable, "-m", checker, *options, str(program)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
