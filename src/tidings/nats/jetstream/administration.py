"""What whoever runs a cluster asks of a stream: another leader, a replica elsewhere, a snapshot."""

from __future__ import annotations

from tidings.nats.jetstream.checks import check_name
from tidings.nats.jetstream.consumers import ConsumersOfStream
from tidings.nats.jetstream.errors import ConfigError
from tidings.nats.jetstream.snapshots import Snapshot, take_snapshot
from tidings.nats.jetstream.stream_config import Placement

__all__ = ["Administration"]

_PREFERRED_LEVEL = 1


class Administration(ConsumersOfStream):
    """The part of `Stream` for those who run the servers."""

    async def step_down(self, placement: Placement | None = None) -> None:
        """Have another replica lead the stream.

        Args:
            placement: who shall: ``Placement(preferred="n2")`` names the server.

        Raises:
            ClusterError: there is no cluster, or nobody who could.
            TimeoutError: there is no leader now that could answer.
        """
        await self._step_down(f"STREAM.LEADER.STEPDOWN.{self.name}", placement)

    async def step_down_consumer(self, name: str, placement: Placement | None = None) -> None:
        """Have another replica lead a consumer. Args and errors as `step_down`."""
        consumer = check_name(name, "consumer")
        await self._step_down(f"CONSUMER.LEADER.STEPDOWN.{self.name}.{consumer}", placement)

    async def remove_peer(self, peer: str) -> None:
        """Move the replica that a server holds to another server, for good.

        Args:
            peer: name of the server that shall have it no more.

        Raises:
            ClusterError: there is no cluster, or no server that could take it.
            ApiError: that server has none.
        """
        if not isinstance(peer, str) or not peer:
            raise ConfigError(f"peer is the name of a server, not {peer!r}")
        await self.api.request(f"STREAM.PEER.REMOVE.{self.name}", {"peer": peer})

    async def snapshot(
        self, *, consumers: bool = True, check: bool = False, timeout: float | None = None
    ) -> Snapshot:
        """Take the stream away as a file, chunk by chunk; bring it back with `JetStream.restore_stream`.

        Args:
            consumers: … with its consumers and how far they are.
            check: have the server check all messages first.
            timeout: seconds for the first answer and for each chunk; None takes that of the context.

        Raises:
            StreamNotFoundError: it was deleted.
            ApiError: it cannot be.
        """
        return await take_snapshot(self.api, self.name, consumers=consumers, check=check, timeout=timeout)

    async def _step_down(self, subject: str, placement: Placement | None) -> None:
        if placement is None:
            await self.api.request(subject)
            return
        self.api.require(_PREFERRED_LEVEL, "choosing the next leader")
        await self.api.request(subject, {"placement": placement.to_wire()}, level=_PREFERRED_LEVEL)
