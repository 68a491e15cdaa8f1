"""The rows of object stores, which lie in files."""

import json
from importlib import import_module
from typing import Any, Protocol, cast

from bench.drivers import ClientDriver
from bench.workloads import Run, clock, rate

BUCKET = "BENCHOBJECTS"
API_TIMEOUT = 20.0  # seconds


class StoreDriver(Protocol):
    """The shape of the modules ``<library>_objects`` of `bench.drivers`."""

    async def store(self, client: Any, name: str) -> Any:
        """The object store of that name, with the library's `put` of bytes."""

    async def read(self, store: Any, name: str) -> bytes:
        """All bytes of an object."""


def of(driver: ClientDriver) -> StoreDriver:
    """How the object stores of a library are driven."""
    name = cast(Any, driver).__name__.rpartition("_")[0]
    return cast(StoreDriver, import_module(f"{name}_objects"))


async def made(client: Any) -> None:
    """Make an empty bucket, as all libraries make it."""
    await client.request(f"$JS.API.STREAM.DELETE.OBJ_{BUCKET}", b"", timeout=API_TIMEOUT)
    config = {
        "name": f"OBJ_{BUCKET}",
        "subjects": [f"$O.{BUCKET}.C.>", f"$O.{BUCKET}.M.>"],
        "storage": "file",
        "discard": "new",
        "allow_rollup_hdrs": True,
        "allow_direct": True,
    }
    subject = f"$JS.API.STREAM.CREATE.OBJ_{BUCKET}"
    answer = await client.request(subject, json.dumps(config).encode(), timeout=API_TIMEOUT)
    told = json.loads(getattr(answer, "data", None) or answer.payload)
    if "error" in told:
        raise RuntimeError(f"no bucket: {told['error']}")


async def round_trip(driver: ClientDriver, run: Run) -> float:
    """Megabytes a second of objects that are put and then read whole, one after the other."""
    client = await driver.connect(run.url)
    await made(client)
    drive = of(driver)
    store, body = await drive.store(client, BUCKET), bytes(run.size)

    async def section(seconds: float) -> int:
        done, end = 0, clock() + seconds
        while not done or clock() < end:
            await store.put("object", body)
            if await drive.read(store, "object") != body:
                raise RuntimeError("not what was put")
            done += 1
        return done

    return await rate(section, run) * run.size / 1e6
