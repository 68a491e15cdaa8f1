"""A consumer that says what a test tells it, byte for byte."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

from tests.peers import Peer, Side

from tidings.nats import connect
from tidings.nats.jetstream import Consumer, ConsumerConfig, ConsumerInfo
from tidings.nats.wire import subject_matches

__all__ = ["Pulled", "eventually", "pulled"]


class Pulled:
    """The server's side of a consumer, and our handle for it.

    Attributes:
        consumer: what a test reads from.
        asks: the pull requests so far, their JSON decoded.
        settled: payloads that were published to ack subjects.
        taken: called with the subject of each answer to flow control.
        errors: what was reported to the client's error callback.
    """

    def __init__(self) -> None:
        self.consumer: Consumer
        self.asks: list[dict[str, Any]] = []
        self.settled: list[bytes] = []
        self.errors: list[Exception] = []
        self.subs: dict[str, str] = {}
        self.answers: dict[str, bytes] = {}
        self.taken: Callable[[str], object] = lambda subject: None
        self._replies: list[str] = []
        self._side: Side
        self._delivered = 0
        self._news = asyncio.Event()

    async def __call__(self, side: Side) -> None:
        await side.greet()
        self._side = side
        while not side.reader.at_eof():
            verb, *words = (await side.line()).decode().split(" ")
            if verb == "PING":
                await side.send(b"PONG\r\n")
            elif verb == "SUB":
                self.subs[words[-1]] = words[0]
            elif verb == "UNSUB":
                self.subs.pop(words[0], None)
            elif verb in ("PUB", "HPUB"):
                payload = (await side.reader.readexactly(int(words[-1]) + 2))[:-2]
                await self._take(words, payload)
            self._news.set()

    async def _take(self, words: list[str], payload: bytes) -> None:
        subject, reply = words[0], words[1] if len(words) > 2 else ""
        if ".MSG.NEXT." in subject:
            self.asks.append(json.loads(payload))
            self._replies.append(reply)
        elif subject.startswith("$JS.ACK."):
            self.settled.append(payload)
        elif subject.startswith("$JS.FC."):
            self.taken(subject)
        for part, answer in self.answers.items():
            if part in subject:
                await self.send(reply, "", answer)

    async def asked(self, count: int) -> dict[str, Any]:
        """Wait for so many pull requests; the last of them."""
        await self.until(lambda: len(self.asks) >= count)
        return self.asks[count - 1]

    async def until(self, condition: Callable[[], object]) -> None:
        """Wait until `condition` holds; it is looked at whenever the client said something."""
        while not condition():
            self._news.clear()
            await self._news.wait()

    async def status(self, text: str, headers: Mapping[str, str] | None = None, ask: int = -1) -> None:
        """Answer a pull request, the last one unless told, with a status."""
        lines = [f"NATS/1.0 {text}", *(f"{name}: {value}" for name, value in (headers or {}).items())]
        block = ("\r\n".join(lines) + "\r\n\r\n").encode()
        await self.send(self._replies[ask], "", b"", block)

    async def messages(self, count: int, skip: int = 0, headers: str = "") -> None:
        """Deliver messages, their payload their number; `skip` numbers are left out before."""
        self._delivered += skip
        block = f"NATS/1.0\r\n{headers}\r\n\r\n".encode() if headers else b""
        for _ in range(count):
            self._delivered += 1
            n = self._delivered
            ack = f"$JS.ACK.S.c.1.{n}.{n}.1700000000000000000.0"
            await self.send(self._replies[-1], ack, b"%d" % n, block, subject=f"s.{n}")

    async def send(
        self, inbox: str, reply: str, data: bytes, block: bytes = b"", subject: str | None = None
    ) -> None:
        """Deliver to whoever subscribed to `inbox`; `subject` says that it was published to another."""
        sid = next((sid for sid, pattern in self.subs.items() if subject_matches(pattern, inbox)), None)
        if sid is None:
            return
        line = f"{subject or inbox} {sid} " + (f"{reply} " if reply else "")
        if block:
            text = f"HMSG {line}{len(block)} {len(block) + len(data)}\r\n"
        else:
            text = f"MSG {line}{len(data)}\r\n"
        await self._side.send(text.encode() + block + data + b"\r\n")


async def eventually(condition: Callable[[], object]) -> None:
    """Wait until `condition` holds, for what has no event to wait for."""
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.002)


@contextlib.asynccontextmanager
async def pulled(**config: Any) -> AsyncIterator[Pulled]:
    """A client, and a consumer ``c`` of stream ``S`` with this config at its other end."""
    server = Pulled()
    async with Peer(server) as peer, await connect(peer.url, error_cb=server.errors.append) as client:
        info = ConsumerInfo(stream_name="S", name="c", config=ConsumerConfig(name="c", **config))
        server.consumer = Consumer(client.jetstream().api, info)
        yield server
        await client.close()
