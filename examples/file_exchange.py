"""Files that are put in one place and are a moment later, whole, in every other.

    python -m examples.file_exchange

A sender puts files into an object store, some anew with other contents, and deletes some. Each receiver
watches the store and keeps a folder as it is: a file appears there when all of it has come and its digest is
right, never a part of it. The connection of one receiver is cut in between.

The exit code is 0 only if all folders end with the files that were sent.
"""

import argparse
import asyncio
import random
import sys
import tempfile
from pathlib import Path

from tidings.brokers.nats import NatsBroker, ObjWatch
from tidings.nats.jetstream import ObjectInfo, ObjectStore, ObjectStoreConfig
from tidings.nats.jetstream.object_store.errors import ObjectChangedError, ObjectNotFoundError
from tidings.nats.server import NatsServer

STORE = ObjectStoreConfig(bucket="exchange", description="files for everybody")
RECEIVERS = ("north", "south", "west")
LIMIT = 60.0  # seconds


class Receiver:
    """Keeps a folder as the store is."""

    def __init__(self, url: str, folder: Path) -> None:
        self.broker = broker = NatsBroker(url, logger=None, reconnect_time_wait=0.05)
        self.folder = folder
        self.received = 0
        self._changed = asyncio.Event()

        @broker.subscriber(obj_watch=ObjWatch(STORE))
        async def changed(name: str, info: ObjectInfo) -> None:
            target = folder / name
            if info.deleted:
                target.unlink(missing_ok=True)
            else:
                await self.receive(name, target)
            self._changed.set()

    async def receive(self, name: str, target: Path) -> None:
        """Read one file, again if the connection is cut meanwhile."""
        while True:
            try:
                await (await self.broker.object_store(STORE)).get_into(name, target)
                self.received += 1
                return
            except (ObjectChangedError, ObjectNotFoundError):
                return  # what replaced it comes next
            except (TimeoutError, ConnectionError):
                continue

    def files(self) -> dict[str, bytes]:
        """What is in the folder; a part of a file would be there too."""
        return {path.name: path.read_bytes() for path in self.folder.iterdir()}

    async def until(self, files: dict[str, bytes]) -> None:
        """Wait until the folder has these, and nothing else."""
        while self.files() != files:
            self._changed.clear()
            await self._changed.wait()


async def send(store: ObjectStore, count: int, chance: random.Random) -> dict[str, bytes]:
    """Put files, a third of them anew, and delete a few; what is there at the end."""
    files: dict[str, bytes] = {}
    for number in range(count):
        name = f"{number % max(2 * count // 3, 1)}.bin"
        files[name] = chance.randbytes(chance.randrange(1_000_000))
        await store.put(name, files[name], metadata={"sender": "head office"})
        if number % 5 == 4:
            del files[name]
            await store.delete(name)
    return files


async def run(url: str, count: int, seed: int, folder: Path) -> bool:
    folders = [folder / name for name in RECEIVERS]
    for each in folders:
        each.mkdir()
    receivers = [Receiver(url, each) for each in folders]
    sender = NatsBroker(url)
    async with sender, receivers[0].broker, receivers[1].broker, receivers[2].broker:
        await sender.connect()
        for receiver in receivers:
            await receiver.broker.start()
        store = await sender.object_store(STORE)
        sending = asyncio.create_task(send(store, count, random.Random(seed)))
        await receivers[0].broker.client.force_reconnect()
        files = await sending
        await asyncio.gather(*(receiver.until(files) for receiver in receivers))
    same = all(receiver.files() == files for receiver in receivers)
    print(f"files {len(files)}, received {sum(receiver.received for receiver in receivers)}")
    print(f"folders are the same: {same}")
    return same


async def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--files", type=int, default=30, help="puts")
    parser.add_argument("--seed", type=int, default=1, help="for the contents")
    options = parser.parse_args()
    with NatsServer() as server, tempfile.TemporaryDirectory() as folder:
        async with asyncio.timeout(LIMIT):
            return 0 if await run(server.url, options.files, options.seed, Path(folder)) else 1


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
