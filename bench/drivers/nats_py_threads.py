"""nats-py below threads, by the method of the program that `tidings.pubsub` takes the place of.

A loop in a thread of its own; each publish waits for a coroutine of that loop, and an async callback fills a
`queue.Queue`.
"""

import asyncio
import queue
import threading
from collections.abc import Iterator

from nats.aio.client import Client
from nats.aio.msg import Msg

MODULE = "nats"


class Threaded:
    """A client and its loop."""

    def __init__(self, url: str) -> None:
        self._queue: queue.Queue[bytes] = queue.Queue()
        self._loop = asyncio.new_event_loop()
        threading.Thread(target=self._loop.run_forever, daemon=True).start()
        self._client = Client()
        self._wait(self._client.connect(url))

    def publish(self, subject: str, payload: bytes) -> None:
        asyncio.run_coroutine_threadsafe(self._client.publish(subject, payload), self._loop).result()

    def flush(self) -> None:
        self._wait(self._client.flush())

    def subscribe(self, subject: str) -> None:
        async def put(msg: Msg) -> None:
            self._queue.put(msg.data)

        self._wait(self._client.subscribe(subject, cb=put))

    def listen(self) -> Iterator[bytes]:
        while True:
            yield self._queue.get()

    def _wait(self, work) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result()


def threaded(url: str) -> Threaded:
    return Threaded(url)
