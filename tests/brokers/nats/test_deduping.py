"""Services on NATS handle messages once: of subjects and streams, with marks in memory and in a bucket."""

from __future__ import annotations

from typing import Any

from tests.brokers.deduping import Deduplicating
from tests.brokers.nats.test_conformance import OnNats, TestStreams
from tidings.brokers.nats import KvMarks


class InBuckets(Deduplicating):
    def store(self) -> Any:
        return KvMarks(f"{self.name}-handled")


class TestCore(OnNats, Deduplicating):
    pass


class TestCoreInBuckets(OnNats, InBuckets):
    pass


class OnStreams(OnNats):
    _stream = TestStreams._stream
    subscriber = TestStreams.subscriber
    publisher = TestStreams.publisher
    publish = TestStreams.publish


class TestOnStreams(OnStreams, Deduplicating):
    pass


class TestOnStreamsInBuckets(OnStreams, InBuckets):
    pass


del TestStreams
