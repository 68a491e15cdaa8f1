"""Codecs of keys and values (ADR-54)."""

from __future__ import annotations

import pytest

from tidings.nats import connect
from tidings.nats.jetstream.kv import (
    Base64Keys,
    Base64Values,
    FilterableKeyCodec,
    KeyChain,
    PathKeys,
    ValueChain,
)
from tidings.nats.jetstream.kv.errors import InvalidKeyError, InvalidValueError, StoredValueError


class Reversed:
    """Whole keys and values the other way round; no filters."""

    def encode(self, key: str) -> str:
        return key[::-1]

    def decode(self, encoded: str) -> str:
        return encoded[::-1]


class Shifted:
    """A value codec that shows that it was there."""

    def encode(self, value: bytes) -> bytes:
        return b"<" + value + b">"

    def decode(self, encoded: bytes) -> bytes:
        if not encoded.startswith(b"<"):
            raise ValueError("not ours")
        return encoded[1:-1]


@pytest.mark.parametrize(
    ("codec", "key", "stored"),
    [
        (Base64Keys(), "Acme Inc.contact", "QWNtZSBJbmM.Y29udGFjdA"),
        (Base64Keys(), "ü", "w7w"),
        (PathKeys(), "user/profile", "user.profile"),
        (PathKeys(), "/etc/hosts", "_root_.etc.hosts"),
        (PathKeys(), "/", "_root_"),
        (PathKeys(":"), "a:b/c", "a.b/c"),
        (KeyChain(PathKeys(), Base64Keys()), "a b/c", "YSBi.Yw"),
    ],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)
def test_keys(codec: FilterableKeyCodec, key: str, stored: str) -> None:
    assert codec.encode(key) == stored
    assert codec.decode(stored) == key


def test_padding_of_others_is_read() -> None:
    assert Base64Keys().decode("QWNtZSBJbmM=.Y29udGFjdA==") == "Acme Inc.contact"
    assert Base64Values().decode(Base64Values().encode(b"\xff\xfe") + b"=") == b"\xff\xfe"


@pytest.mark.parametrize("separator", ["", ".", 5])
def test_separators_that_cannot_be(separator: str) -> None:
    with pytest.raises(ValueError, match="separator"):
        PathKeys(separator)


def test_chains_of_nothing() -> None:
    for chain in (KeyChain, ValueChain):
        with pytest.raises(ValueError, match="at least one"):
            chain()


async def test_every_operation(nats_url: str, name: str) -> None:
    async with await connect(nats_url) as client:
        js = client.jetstream()
        kv = await js.create_key_value(
            bucket=name, storage="memory", history=5, key_codec=Base64Keys(), value_codec=Shifted()
        )
        key = "Acme Inc.phone number"
        await kv.put(key, b"1")
        await kv.update(key, "2", 1)
        assert (await kv.get(key)).value == b"2"
        assert (await kv.get(key, 1)).value == b"1"
        assert (await kv.get(key)).key == key
        await kv.create("Acme Inc.ü", b"3")
        await kv.put("other", b"")
        assert [each.value for each in await kv.history(key)] == [b"1", b"2"]
        assert await kv.keys() == [key, "Acme Inc.ü", "other"]
        assert await kv.keys("Acme Inc.*") == [key, "Acme Inc.ü"]
        assert await kv.keys("*") == ["other"]
        async with await kv.watch("Acme Inc.>") as watcher:
            assert [(e.key, e.value) for e in await watcher.initial()] == [(key, b"2"), ("Acme Inc.ü", b"3")]
            await kv.delete(key)
            entry = await watcher.updates()
            assert entry is not None
            assert (entry.key, entry.is_deleted) == (key, True)
        assert await kv.purge_deletes(0) == 1
        plain = await js.key_value(name)
        assert await plain.keys() == ["QWNtZSBJbmM.w7w", "b3RoZXI"]
        assert (await plain.get("b3RoZXI")).value == b"<>"


async def test_the_value_of_a_deletion_is_not_decoded(nats_url: str, name: str) -> None:
    async with await connect(nats_url) as client:
        kv = await client.jetstream().create_key_value(
            bucket=name, storage="memory", history=5, value_codec=Shifted()
        )
        await kv.put("a", b"1")
        await kv.delete("a")
        assert [entry.value for entry in await kv.history("a")] == [b"1", b""]
        async with await kv.watch(meta_only=True, include_history=True) as watcher:
            assert [entry.value for entry in await watcher.initial()] == [b"", b""]


async def test_whole_keys_only(nats_url: str, name: str) -> None:
    async with await connect(nats_url) as client:
        js = client.jetstream()
        kv = await js.create_key_value(bucket=name, storage="memory", key_codec=Reversed())
        await kv.put("abc", b"1")
        assert await kv.keys() == ["abc"]
        assert await kv.keys("abc") == ["abc"]
        with pytest.raises(InvalidKeyError, match="no wildcards"):
            kv.keys("a.*")
        chained = await js.key_value(name, key_codec=KeyChain(Base64Keys(), Reversed()))
        with pytest.raises(InvalidKeyError, match="no wildcards"):
            await chained.watch("a.*")


@pytest.mark.parametrize("key", ["a.b", "_root_/a", "", "a b", 5])
async def test_paths_that_cannot_be_keys(nats_url: str, name: str, key: str) -> None:
    async with await connect(nats_url) as client:
        kv = await client.jetstream().create_key_value(bucket=name, storage="memory", key_codec=PathKeys())
        sent = client.stats.out_msgs
        with pytest.raises(InvalidKeyError):
            await kv.put(key, b"")
        with pytest.raises(InvalidKeyError):
            await kv.watch(key)
        assert client.stats.out_msgs == sent


async def test_what_cannot_be_decoded(nats_url: str, name: str) -> None:
    async with await connect(nats_url) as client:
        js = client.jetstream()
        plain = await js.create_key_value(bucket=name, storage="memory")
        await plain.put("a", b"bare")
        kv = await js.key_value(name, key_codec=Base64Keys(), value_codec=Shifted())
        entry = await (await js.key_value(name, value_codec=Shifted())).get("a")
        with pytest.raises(StoredValueError, match="not ours") as caught:
            _ = entry.value
        assert (caught.value.bucket, caught.value.key, caught.value.revision) == (name, "a", 1)
        with pytest.raises(StoredValueError, match="'a'"):
            await kv.keys()

        class Broken(Shifted):
            def encode(self, value: bytes) -> bytes:
                raise RuntimeError("no")

        with pytest.raises(InvalidValueError, match="no"):
            await (await js.key_value(name, value_codec=Broken())).put("a", b"")
