"""The rows of key-value buckets, which lie in files."""

import json
from importlib import import_module
from typing import Any, Protocol, cast

from bench.drivers import ClientDriver
from bench.workloads import Run, clock, rate

BUCKET = "BENCH"
FULL_BUCKET = "BENCHKEYS"
KEYS = 100_000
FILL_WINDOW = 1000  # messages under way while the bucket is filled
BATCH = 20  # operations between two looks at the clock
READ_BATCH = 256  # … where nobody waits for each
API_TIMEOUT = 20.0  # seconds


class BucketDriver(Protocol):
    """The shape of the modules ``<library>_kv`` of `bench.drivers`."""

    async def bucket(self, client: Any, name: str) -> Any:
        """The bucket of that name, with the library's `put` and `get`."""

    async def watch(self, bucket: Any) -> Any:
        """All keys as an iterator of entries, in which None says that the initial ones are over."""


def of(driver: ClientDriver) -> BucketDriver:
    """How the buckets of a library are driven."""
    name = cast(Any, driver).__name__.removesuffix("_client")
    return cast(BucketDriver, import_module(f"{name}_kv"))


async def made(client: Any, name: str, fresh: bool) -> int:
    """Make a bucket of one revision a key, as all libraries make it; how many keys it has."""
    if fresh:
        await client.request(f"$JS.API.STREAM.DELETE.KV_{name}", b"", timeout=API_TIMEOUT)
    config = {
        "name": f"KV_{name}",
        "subjects": [f"$KV.{name}.>"],
        "storage": "file",
        "discard": "new",
        "max_msgs_per_subject": 1,
        "allow_rollup_hdrs": True,
        "deny_delete": True,
        "allow_direct": True,
    }
    subject = f"$JS.API.STREAM.CREATE.KV_{name}"
    answer = await client.request(subject, json.dumps(config).encode(), timeout=API_TIMEOUT)
    told = json.loads(getattr(answer, "data", None) or answer.payload)
    if "error" in told:
        raise RuntimeError(f"no bucket: {told['error']}")
    return told["state"]["messages"]


async def put(driver: ClientDriver, run: Run) -> float:
    """Values put a second, one after the other."""
    client = await driver.connect(run.url)
    await made(client, BUCKET, fresh=True)
    store, payload = (await of(driver).bucket(client, BUCKET)).put, bytes(run.size)

    async def section(seconds: float) -> int:
        done, end = 0, clock() + seconds
        while clock() < end:
            for number in range(BATCH):
                await store(f"key.{number}", payload)
            done += BATCH
        return done

    return await rate(section, run)


async def get(driver: ClientDriver, run: Run) -> float:
    """Entries got a second, one after the other; value and revision of each are looked at."""
    client = await driver.connect(run.url)
    await made(client, BUCKET, fresh=True)
    bucket = await of(driver).bucket(client, BUCKET)
    payload, keys = bytes(run.size), [f"key.{number}" for number in range(BATCH)]
    for key in keys:
        await bucket.put(key, payload)
    load = bucket.get

    async def section(seconds: float) -> int:
        done, end = 0, clock() + seconds
        while clock() < end:
            for key in keys:
                entry = await load(key)
                if entry.value != payload or not entry.revision:
                    raise RuntimeError(f"not what was put: {entry}")
            done += BATCH
        return done

    return await rate(section, run)


async def watch(driver: ClientDriver, run: Run) -> float:
    """Entries a second that a watcher of KEYS keys gives, from its making to the end of the initial ones."""
    client = await driver.connect(run.url)
    missing = KEYS - await made(client, FULL_BUCKET, fresh=False)
    js, payload = driver.jetstream(client), bytes(run.size)
    if missing:
        for first in range(0, KEYS, FILL_WINDOW):
            for number in range(first, first + FILL_WINDOW):
                await js.publish_async(f"$KV.{FULL_BUCKET}.key.{number}", payload)
            await driver.acknowledged(js)
    bucket = await of(driver).bucket(client, FULL_BUCKET)

    async def section(seconds: float) -> int:
        seen, watcher, end = 0, await of(driver).watch(bucket), clock() + seconds
        async for entry in watcher:
            if entry is None:
                if seen != KEYS:
                    raise RuntimeError(f"{seen} keys of {KEYS}")
                break
            if not entry.key or entry.value != payload:
                raise RuntimeError(f"not what was put: {entry}")
            seen += 1
            if seen % READ_BATCH == 0 and clock() >= end:
                break
        await watcher.stop()
        return seen

    return await rate(section, run)
