"""How messages come from Redis: through channels, or from streams, with or without a group."""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from typing import Any, Protocol, TypeAlias

import redis

from tidings.pubsub.base import Held
from tidings.pubsub.inbox import Inbox
from tidings.pubsub.settings import Settings

__all__ = ["ChannelReading", "Reading", "StreamReading", "Token"]

Token: TypeAlias = tuple[str, bytes]
"""The key of a stream, and the id of an entry."""

# Seconds that one `read` takes at the most when nothing comes.
_WAIT = 0.25
# Entries asked for at once.
_COUNT = 100
# A message that waits for the loop body is kept from being claimed by others, so often in its ``ack_wait``.
_SIGNS = 3


class Reading(Protocol):
    """What comes from the server. `read` is called by one thread, over and over; the rest by any."""

    def subscribe(self, name: str) -> None:
        """Have the messages of `name` come. Raises redis.RedisError, OSError."""

    def wait_for(self, name: str, timeout: float) -> bool:
        """Wait until the server knows of it; False when that took over `timeout` seconds."""
        ...

    def read(self) -> None:
        """Put what came into the inbox; waits a little for it. Raises redis.RedisError, OSError."""

    def settle(self, token: Token) -> None:
        """A loop body is done with a message."""

    def close(self) -> None:
        """Release everything; nobody reads any more."""


class ChannelReading:
    """Channels: whoever is there gets each message."""

    def __init__(self, client: redis.Redis, inbox: Inbox[Any], settings: Settings) -> None:
        self._inbox = inbox
        self._pubsub: Any = client.pubsub()  # type: ignore[no-untyped-call]
        self._known: set[str] = set()
        self._is_known = threading.Condition()

    def subscribe(self, name: str) -> None:
        """Ask for a channel."""
        self._pubsub.subscribe(name)

    def wait_for(self, name: str, timeout: float) -> bool:
        """Wait until the server has answered."""
        with self._is_known:
            return self._is_known.wait_for(lambda: name in self._known, timeout)

    def read(self) -> None:
        """Take one message."""
        message = self._pubsub.get_message(timeout=_WAIT)
        if message is None:
            return
        if message["type"] == "message":
            self._inbox.put((message["data"],))
        elif message["type"] == "subscribe":
            with self._is_known:
                self._known.add(message["channel"].decode())
                self._is_known.notify_all()

    def settle(self, token: Token) -> None:
        """Nothing is acknowledged."""

    def close(self) -> None:
        """Release the connection."""
        self._pubsub.close()


class StreamReading:
    """Streams: without a group every reader gets each entry that is added from now on; of a group, one."""

    def __init__(self, client: redis.Redis, inbox: Inbox[Any], settings: Settings) -> None:
        self._redis = client
        self._inbox = inbox
        self._group: str | None = settings["group_id"]
        self._me = f"tidings-{os.getpid()}-{os.urandom(4).hex()}"
        self._ack_wait: float = settings["ack_wait"]
        self._block = int(1000 * min(_WAIT, settings["connect_timeout"] / 2))
        self._positions: dict[Any, Any] = {}  # of each stream: the last entry that was read
        self._new: deque[tuple[str, Any]] = deque()  # the same, of those that `read` shall take up
        self._held: dict[Token, Held] = {}
        self._done: deque[Token] = deque()
        self._look_at = 0.0

    def subscribe(self, name: str) -> None:
        """Note where the stream ends now, or where its group is."""
        if self._group is None:
            last: Any = self._redis.xrevrange(name, count=1)
            self._new.append((name, last[0][0] if last else "0-0"))
            return
        self._create_group(name, "$")
        self._new.append((name, ">"))

    def wait_for(self, name: str, timeout: float) -> bool:
        """The server has answered already."""
        return True

    def read(self) -> None:
        """Take what was added, acknowledge what is done, and claim what others left."""
        while self._new:
            name, position = self._new.popleft()
            self._positions[name] = position
        if self._group is None:
            answer: Any = self._redis.xread(self._positions, count=_COUNT, block=self._block)
        else:
            answer = self._read_in_group(self._group)
        for key, entries in answer or ():
            name = key.decode()
            self._take(name, entries)
            if self._group is None:
                self._positions[name] = entries[-1][0]

    def _read_in_group(self, group: str) -> Any:
        try:
            self._acknowledge(group)
            if time.monotonic() >= self._look_at:
                self._look_at = time.monotonic() + self._ack_wait / _SIGNS
                self._keep_and_claim(group)
            return self._redis.xreadgroup(group, self._me, self._positions, count=_COUNT, block=self._block)
        except redis.ResponseError as error:
            if not str(error).startswith("NOGROUP"):
                raise
        # The server lost it, with all that it had: what is there now came since.
        for name in self._positions:
            self._create_group(name, "0")
        return ()

    def _create_group(self, name: str, start: str) -> None:
        assert self._group is not None
        try:
            self._redis.xgroup_create(name, self._group, id=start, mkstream=True)
        except redis.ResponseError as error:
            if not str(error).startswith("BUSYGROUP"):
                raise

    def settle(self, token: Token) -> None:
        """A loop body is done with an entry."""
        self._done.append(token)

    def close(self) -> None:
        """Acknowledge the last; what was not handled stays with the group, and others claim it."""
        if self._group is None:
            return
        try:
            self._acknowledge(self._group)
            for name in self._positions:
                if not any(key == name for key, _ in self._held):
                    self._redis.xgroup_delconsumer(name, self._group, self._me)
        except (redis.RedisError, OSError):
            pass  # it is delivered again

    def _take(self, name: str, entries: Any) -> None:
        for entry, fields in entries:
            data = None if fields is None else fields.get(b"data")  # of one that was trimmed nothing is left
            if data is None:
                continue
            if self._group is None:
                self._inbox.put((data,))
            elif (name, entry) not in self._held:
                held = self._held[name, entry] = Held(data, (name, entry))
                self._inbox.put((held,))

    def _acknowledge(self, group: str) -> None:
        while self._done:
            name, entry = self._done[0]
            self._redis.xack(name, group, entry)
            self._done.popleft()  # after it was told: an error leaves it there
            self._held.pop((name, entry), None)

    def _keep_and_claim(self, group: str) -> None:
        for name in self._positions:
            waiting: Any = [
                entry for (key, entry), held in self._held.items() if key == name and not held.is_taken
            ]
            if waiting:
                self._redis.xclaim(name, group, self._me, 0, waiting, justid=True)
            answer: Any = self._redis.xautoclaim(
                name, group, self._me, int(1000 * self._ack_wait), count=_COUNT
            )
            self._take(name, answer[1])
