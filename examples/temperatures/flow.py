"""Readings under way: never more than a window of them, each timed from end to end."""

import threading
import time


class Stalled(Exception):
    """Nothing moves any more: what is still under way is lost."""


class Flow:
    """The producer's thread lets readings enter, the service's event loop lets them leave.

    Core NATS delivers at most once: a producer that does not care how fast its consumers are fills
    their buffers until messages are dropped. With at most `window` readings between the producer
    and the last handler no buffer ever holds more.
    """

    def __init__(self, window: int, patience: float) -> None:
        self.under_way: dict[str, float] = {}  # id → when it entered, perf_counter seconds
        self.latencies: list[float] = []  # seconds from entering to leaving
        self._window = window
        self._patience = patience  # seconds
        self._closed = False
        self._moved = threading.Condition()

    def enter(self, id: str) -> None:
        """Take a place in the window, once there is one. Raises Stalled."""
        with self._moved:
            self._wait_until_at_most(self._window - 1)
            self.under_way[id] = time.perf_counter()

    def leave(self, id: str) -> None:
        """The reading is through."""
        with self._moved:
            entered = self.under_way.pop(id)
            self.latencies.append(time.perf_counter() - entered)
            self._moved.notify()

    def wait_empty(self) -> None:
        """Wait for the readings still under way. Raises Stalled."""
        with self._moved:
            self._wait_until_at_most(0)

    def close(self) -> None:
        """Let nobody wait any longer."""
        with self._moved:
            self._closed = True
            self._moved.notify()

    def _wait_until_at_most(self, count: int) -> None:
        while len(self.under_way) > count:
            if self._closed or not self._moved.wait(self._patience):
                raise Stalled("nothing arrives any more")
