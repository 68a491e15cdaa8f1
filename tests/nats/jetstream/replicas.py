"""Streams on several servers, any of which a consumer may read from."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from tidings.nats.errors import TimeoutError
from tidings.nats.jetstream import JetStream
from tidings.nats.jetstream.errors import ClusterError

__all__ = ["caught_up"]


async def caught_up(js: JetStream, stream: str) -> None:
    """Wait until all replicas have what the leader has."""
    async with asyncio.timeout(60):
        while True:
            with suppress(TimeoutError, ClusterError):  # there is no leader to answer
                cluster = (await js.stream(stream)).cached_info.cluster
                if cluster is not None and all(each.current and not each.lag for each in cluster.replicas):
                    return
            await asyncio.sleep(0.01)
