"""No client at all: the chunks of an object over a blocking socket, without its digest and its info.

It is the bound that the server sets. What comes is counted and not kept.
"""

import json

from bench.drivers.raw_jetstream import Raw

CHUNK = 128 * 1024  # bytes
WINDOW = 64  # chunks that wait for their acknowledgement


class Store:
    """Chunks in a bucket, each object's under a subject of its own."""

    def __init__(self, raw: Raw, bucket: str) -> None:
        self._raw = raw
        self._stream = f"OBJ_{bucket}"
        self._chunks = f"$O.{bucket}.C."
        self._count = 0
        self._body = b""

    async def put(self, name: str, body: bytes) -> None:
        before, self._count, self._body = self._count, self._count + 1, body
        subject, lines_to_come = f"{self._chunks}{self._count}".encode(), 0
        for start in range(0, len(body), CHUNK):
            chunk = body[start : start + CHUNK]
            self._raw.send(b"PUB %b %b %d\r\n%b\r\n" % (subject, self._raw.inbox, len(chunk), chunk))
            lines_to_come = self._settle(lines_to_come + 2, WINDOW)
        self._settle(lines_to_come, 0)
        if before:
            purge = json.dumps({"filter": f"{self._chunks}{before}"})
            await self._raw.request(f"$JS.API.STREAM.PURGE.{self._stream}", purge.encode())

    def _settle(self, lines: int, chunks: int) -> int:
        while lines > 2 * chunks:
            lines -= self._raw.read().count(b"\n")
        return lines

    async def read(self) -> bytes:
        """Read as many bytes as the object has; they are taken for it."""
        config = {"ack_policy": "none", "mem_storage": True, "filter_subject": f"{self._chunks}{self._count}"}
        asked = json.dumps({"stream_name": self._stream, "config": config}).encode()
        answer = await self._raw.request(f"$JS.API.CONSUMER.CREATE.{self._stream}", asked)
        consumer = json.loads(answer.data)["name"]
        chunks = -(-len(self._body) // CHUNK)
        pull, left = b'{"batch":%d,"expires":30000000000}' % chunks, len(self._body)
        subject = f"$JS.API.CONSUMER.MSG.NEXT.{self._stream}.{consumer}".encode()
        self._raw.send(b"PUB %b %b %d\r\n%b\r\n" % (subject, self._raw.inbox, len(pull), pull))
        while left > 0:  # and the little that is behind it comes before the next answer
            left -= len(self._raw.read())
        await self._raw.request(f"$JS.API.CONSUMER.DELETE.{self._stream}.{consumer}", b"")
        return self._body


async def store(client: Raw, name: str) -> Store:
    return Store(client, name)


async def read(store: Store, name: str) -> bytes:
    return await store.read()
