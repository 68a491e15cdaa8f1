"""Services that take their configuration from a bucket, and a new one while they work.

    python -m examples.live_config

Each of three services watches the keys of a bucket, of which they have the same values a moment after anybody
put them: on another machine, with the `nats` command, or here. Those who change a value do so only if nobody
was faster (compare and set). The connection of one service is cut in between, and a value is deleted, which
brings the default back.

The exit code is 0 only if all services end with the configuration that the bucket has.
"""

import argparse
import asyncio
import random
import sys

from pydantic import BaseModel

from tidings import Path
from tidings.brokers.nats import KvWatch, NatsBroker
from tidings.nats.jetstream import KeyValueConfig, TypedKeyValue
from tidings.nats.jetstream.kv.errors import KeyExistsError, KeyNotFoundError, KeyWrongLastSequenceError
from tidings.nats.server import NatsServer

BUCKET = KeyValueConfig(bucket="config", history=5, description="what services are told while they run")
SERVICES = ("orders", "payments", "letters")
LIMIT = 60.0  # seconds


class Settings(BaseModel):
    """What a service can be told."""

    rate: int = 10
    changes: int = 0


class Service:
    """A service that knows the settings of all."""

    def __init__(self, url: str) -> None:
        self.broker = broker = NatsBroker(url, logger=None, reconnect_time_wait=0.05)
        self.settings: dict[str, Settings] = {}
        self.reloads = 0
        self._changed = asyncio.Event()

        @broker.subscriber("services.{name}", kv_watch=KvWatch(BUCKET))
        async def reload(settings: Settings | None, name: str = Path()) -> None:
            self.settings[name] = settings or Settings()  # None: deleted
            self.reloads += 1
            self._changed.set()

    async def until(self, settings: dict[str, Settings]) -> None:
        """Wait until it knows these."""
        while self.settings != settings:
            self._changed.clear()
            await self._changed.wait()


async def change(config: TypedKeyValue[Settings], times: int, chance: random.Random) -> int:
    """Change settings, together with others who do the same; how often somebody was faster."""
    conflicts = 0
    for _ in range(times):
        key = f"services.{chance.choice(SERVICES)}"
        while True:
            try:
                entry = await config.get(key)
            except KeyNotFoundError:
                try:
                    await config.create(key, Settings(rate=chance.randrange(100), changes=1))
                    break
                except KeyExistsError:
                    conflicts += 1
                    continue
            settings = Settings(rate=chance.randrange(100), changes=entry.value.changes + 1)
            try:
                await config.update(key, settings, last=entry.revision)
                break
            except KeyWrongLastSequenceError:
                conflicts += 1
    return conflicts


async def main(changes: int) -> int:
    with NatsServer(durability="fast") as server:
        services = [Service(server.url) for _ in range(3)]
        admin = NatsBroker(server.url, logger=None)
        async with admin, asyncio.timeout(LIMIT):
            for service in services:
                await service.broker.start()
            try:
                config = (await admin.key_value(BUCKET)).typed(Settings)
                workers = [change(config, changes, random.Random(seed)) for seed in range(4)]
                changing = asyncio.gather(*workers)
                await services[0].broker.client.force_reconnect()
                conflicts = sum(await changing)
                made = sum([(await config.get(key)).value.changes for key in await config.keys("services.>")])
                await config.delete(f"services.{SERVICES[0]}")

                wanted = {SERVICES[0]: Settings()}
                for key in await config.keys("services.*"):
                    wanted[key.removeprefix("services.")] = (await config.get(key)).value
                for service in services:
                    await service.until(wanted)
            finally:
                for service in services:
                    await service.broker.stop()
    print(f"changes {made}, of which somebody else was faster {conflicts} times")
    for name, settings in sorted(wanted.items()):
        print(f"{name}: {settings.rate} a second")
    agree = all(service.settings == wanted for service in services) and made == 4 * changes
    print(f"services agree: {agree}")
    return 0 if agree else 1


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--changes", type=int, default=100)
    options = parser.parse_args()
    sys.exit(asyncio.run(main(options.changes)))
