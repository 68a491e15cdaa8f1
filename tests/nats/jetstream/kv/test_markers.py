"""Keys that go by themselves, and what the server says of them (ADR-48)."""

from __future__ import annotations

import pytest

from tidings.nats import connect
from tidings.nats.jetstream.kv import KeyValue
from tidings.nats.jetstream.kv.errors import KeyDeletedError, KeyNotFoundError
from tidings.nats.wire import Headers


async def gone(kv: KeyValue, key: str) -> KeyNotFoundError:
    """Wait until a key is no more, and say how."""
    while True:
        try:
            await kv.get(key)
        except KeyNotFoundError as error:
            return error
        await kv.js.api.connection.flush()  # its round trip is the pause


async def test_a_key_with_a_ttl(nats_url: str, name: str) -> None:
    async with await connect(nats_url) as client:
        kv = await client.jetstream().create_key_value(bucket=name, storage="memory", limit_marker_ttl=60)
        async with await kv.watch() as watcher:
            assert await watcher.updates() is None
            await kv.create("a", b"x", ttl=1)
            put = await watcher.updates()
            marker = await watcher.updates(timeout=20)
            assert put is not None
            assert marker is not None
            assert (put.operation, put.value) == ("PUT", b"x")
            assert (marker.key, marker.operation, marker.value) == ("a", "PURGE", b"")
        error = await gone(kv, "a")
        assert isinstance(error, KeyDeletedError)
        assert error.entry.operation == "PURGE"
        assert await kv.keys() == []
        assert await kv.create("a", b"again") > marker.revision


async def test_a_bucket_whose_values_go(nats_url: str, name: str) -> None:
    async with await connect(nats_url) as client:
        kv = await client.jetstream().create_key_value(
            bucket=name, storage="memory", ttl=1, limit_marker_ttl=60
        )
        await kv.put("a", b"x")
        async with await kv.watch() as watcher:
            await watcher.initial()
            marker = await watcher.updates(timeout=20)
            assert marker is not None
            assert (marker.operation, marker.is_deleted) == ("PURGE", True)
        assert isinstance(await gone(kv, "a"), KeyDeletedError)
        with pytest.raises(KeyDeletedError):
            await kv.get("a", marker.revision)


async def test_a_purge_with_a_ttl(nats_url: str, name: str) -> None:
    async with await connect(nats_url) as client:
        kv = await client.jetstream().create_key_value(bucket=name, storage="memory", limit_marker_ttl=60)
        await kv.put("a", b"x")
        await kv.purge("a", ttl=1)
        while isinstance(await gone(kv, "a"), KeyDeletedError):
            await client.flush()
        assert (await kv.status()).values == 0


@pytest.mark.parametrize(
    ("headers", "operation"),
    [
        ({"Nats-Marker-Reason": "MaxAge"}, "PURGE"),
        ({"Nats-Marker-Reason": "Purge"}, "PURGE"),
        ({"Nats-Marker-Reason": "Remove"}, "DEL"),
        ({"Nats-Marker-Reason": "New"}, "PURGE"),
        ({"KV-Operation": "DEL"}, "DEL"),
        ({"KV-Operation": "PURGE"}, "PURGE"),
        ({"KV-Operation": "PUT"}, "PUT"),
        ({"KV-Operation": "NEW"}, "DEL"),
        ({"Other": "x"}, "PUT"),
    ],
    ids=lambda value: "-".join(value.values()) if isinstance(value, dict) else "",
)
@pytest.mark.parametrize("direct", [True, False])
async def test_what_headers_say(
    nats_url: str, name: str, headers: dict[str, str], operation: str, direct: bool
) -> None:
    async with await connect(nats_url) as client:
        js = client.jetstream()
        kv = await js.create_key_value(bucket=name, storage="memory", history=5, direct=direct)
        await js.publish(f"$KV.{name}.a", b"", headers=Headers(headers))
        assert [each.operation for each in await kv.history("a")] == [operation]
        if operation == "PUT":
            assert (await kv.get("a")).operation == "PUT"
            assert (await kv.get("a", 1)).operation == "PUT"
        else:
            for revision in (None, 1):
                with pytest.raises(KeyDeletedError) as caught:
                    await kv.get("a", revision)
                assert caught.value.entry.operation == operation
            assert await kv.create("a", b"x") == 2
