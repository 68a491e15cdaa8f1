"""What only a cluster can show: replicas, leaders, placement, alternates."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from tidings.nats import connect
from tidings.nats.jetstream import JetStream, Placement, StreamInfo, StreamSource
from tidings.nats.jetstream.errors import (
    BadNameError,
    BadRequestError,
    ClusterError,
    ConfigError,
    JetStreamUnavailableError,
    NotFoundError,
)
from tidings.nats.server import NatsCluster, NatsServer


@pytest.fixture(scope="module")
def cluster() -> Iterator[NatsCluster]:
    """Three servers that the tests of this module share."""
    with NatsServer.cluster(3, durability="fast", config='server_tags: ["fast", "eu"]\n') as servers:
        yield servers


async def until_current(js: JetStream, name: str, unlike: str = "") -> StreamInfo:
    """The info of a stream once it has a leader, not `unlike`, and all replicas are current."""
    brief = js.connection.jetstream(timeout=0.5)  # type: ignore[attr-defined]
    while True:
        try:
            info: StreamInfo = (await brief.stream(name)).cached_info
        except (TimeoutError, ClusterError):  # there is no leader to answer
            continue
        where = info.cluster
        if (
            where
            and where.leader not in ("", unlike)
            and all(each.current and not each.lag for each in where.replicas)
        ):
            return info
        await asyncio.sleep(0)


def servers_of(info: StreamInfo) -> set[str]:
    """The names of the servers that hold a replica."""
    assert info.cluster is not None
    return {info.cluster.leader, *(peer.name for peer in info.cluster.replicas)}


async def test_replicas_and_their_leader(cluster: NatsCluster, name: str) -> None:
    async with await connect(cluster.urls) as client:
        js = client.jetstream(timeout=20.0)
        await js.create_stream(name=name, subjects=[f"{name}.>"], num_replicas=3)
        await client.request(f"{name}.a", b"x", 20.0)
        where = (await until_current(js, name)).cluster
        assert where is not None
        names = {"n1", "n2", "n3"}
        assert where.leader in names
        assert {peer.name for peer in where.replicas} == names - {where.leader}
        assert all(not peer.offline and peer.lag == 0 and peer.peer for peer in where.replicas)
        assert all(peer.active is not None for peer in where.replicas)
        assert where.name
        assert where.raft_group
        assert where.leader_since is not None
        assert where.leader_since < datetime.now(UTC)
        consumer = await js.create_consumer(name, durable_name="w")
        there = consumer.cached_info.cluster
        assert there is not None
        assert there.leader in names
        await js.delete_stream(name)


async def test_fewer_replicas_by_an_update(cluster: NatsCluster, name: str) -> None:
    async with await connect(cluster.urls) as client:
        js = client.jetstream(timeout=20.0)
        stream = await js.create_stream(name=name, subjects=[name], num_replicas=3)
        await js.update_stream(replace(stream.cached_info.config, num_replicas=1))
        info = await stream.info()
        assert info.config.num_replicas == 1
        await js.delete_stream(name)


async def test_placement(cluster: NatsCluster, name: str) -> None:
    async with await connect(cluster.urls) as client:
        js = client.jetstream(timeout=20.0)
        placement = Placement(tags=["fast", "eu"])
        stream = await js.create_stream(name=name, subjects=[name], num_replicas=3, placement=placement)
        assert stream.cached_info.config.placement == placement
        await js.delete_stream(name)
        for nowhere in (Placement(tags=["mars"]), Placement(cluster="elsewhere")):
            with pytest.raises(ClusterError, match="no suitable peers"):
                await js.create_stream(name=name, subjects=[name], placement=nowhere)


async def test_alternates_are_what_has_the_same_messages(cluster: NatsCluster, name: str) -> None:
    async with await connect(cluster.urls) as client:
        js = client.jetstream(timeout=20.0)
        stream = await js.create_stream(name=name, subjects=[name])
        await js.create_stream(name=f"{name}M", mirror=StreamSource(name=name))
        alternates = (await stream.info()).alternates
        assert {alternate.name for alternate in alternates} == {name, f"{name}M"}
        assert all(alternate.cluster for alternate in alternates)
        await js.delete_stream(f"{name}M")
        await js.delete_stream(name)


async def test_direct_get_from_any_replica(cluster: NatsCluster, name: str) -> None:
    async with await connect(cluster.urls) as client:
        js = client.jetstream(timeout=20.0)
        stream = await js.create_stream(name=name, subjects=[f"{name}.>"], num_replicas=3, allow_direct=True)
        for number in range(20):
            await client.request(f"{name}.{number % 4}", str(number).encode(), 20.0)
        await until_current(js, name)
        for server in cluster.servers:
            async with await connect(server.url) as one:
                there = await one.jetstream(timeout=20.0).stream(name)
                assert [message.seq async for message in there.get_batch(100)] == list(range(1, 21))
        assert (await stream.get_msg(20)).data == b"19"
        await js.delete_stream(name)


class TestAdministration:
    async def test_another_leader(self, cluster: NatsCluster, name: str) -> None:
        async with await connect(cluster.urls) as client:
            js = client.jetstream(timeout=20.0)
            stream = await js.create_stream(name=name, subjects=[name], num_replicas=3)
            where = (await until_current(js, name)).cluster
            assert where is not None
            await stream.step_down()
            wanted = where.replicas[0].name
            brief = await client.jetstream(timeout=1.0).stream(name)
            while where is None or where.leader != wanted:
                with contextlib.suppress(TimeoutError, ClusterError):  # while they elect one
                    await brief.step_down(Placement(preferred=wanted))
                where = (await until_current(js, name)).cluster
            with pytest.raises(ClusterError, match="not known"):
                await stream.step_down(Placement(preferred="nobody"))
            await js.delete_stream(name)

    async def test_another_leader_of_a_consumer(self, cluster: NatsCluster, name: str) -> None:
        async with await connect(cluster.urls) as client:
            js = client.jetstream(timeout=20.0)
            stream = await js.create_stream(name=name, subjects=[name], num_replicas=3)
            where = (await stream.create_consumer(durable_name="w")).cached_info.cluster
            assert where is not None
            wanted = where.replicas[0].name
            await until_current(js, name)
            brief = await client.jetstream(timeout=1.0).stream(name)
            while where is None or where.leader != wanted:
                with contextlib.suppress(TimeoutError, ClusterError):  # while they elect one
                    await brief.step_down_consumer("w", Placement(preferred=wanted))
                with contextlib.suppress(TimeoutError, ClusterError):
                    where = (await brief.consumer_info("w")).cluster
            with pytest.raises(BadNameError):
                await stream.step_down_consumer("a.b")
            await js.delete_stream(name)

    async def test_a_replica_moves_to_another_server(self, cluster: NatsCluster, name: str) -> None:
        async with await connect(cluster.urls) as client:
            js = client.jetstream(timeout=20.0)
            stream = await js.create_stream(name=name, subjects=[name], num_replicas=2)
            info = await until_current(js, name)
            assert info.cluster is not None
            leaving = info.cluster.replicas[0].name
            before = servers_of(info)
            (other,) = {"n1", "n2", "n3"} - before
            await stream.remove_peer(leaving)
            while servers_of(info) != before - {leaving} | {other}:
                info = await until_current(js, name)
            with pytest.raises(BadRequestError, match="not a member"):
                await stream.remove_peer("nobody")
            with pytest.raises(ConfigError, match="name of a server"):
                await stream.remove_peer("")
            await js.delete_stream(name)

    async def test_a_lone_server_has_no_other(self, nats_url: str, name: str) -> None:
        async with await connect(nats_url) as client:
            stream = await client.jetstream().create_stream(name=name, subjects=[name])
            for asking in (stream.step_down(), stream.step_down_consumer("w"), stream.remove_peer("n1")):
                with pytest.raises(ClusterError, match="clustering"):
                    await asking
            await client.jetstream().delete_stream(name)


async def test_without_a_majority_nothing_is_made_and_nothing_hangs(name: str) -> None:
    with NatsServer.cluster(3, durability="fast") as cluster:
        one, *others = cluster.servers
        async with await connect(one.url) as client:
            js = client.jetstream(timeout=20.0)
            await js.create_stream(name=name, subjects=[name], num_replicas=3)
            for server in others:
                server.stop()
            short = client.jetstream(timeout=0.5)
            with pytest.raises((JetStreamUnavailableError, ClusterError, TimeoutError)):
                await short.create_stream(name=f"{name}2", subjects=[f"{name}2"])
            with pytest.raises((JetStreamUnavailableError, ClusterError, TimeoutError, NotFoundError)):
                await short.stream(f"{name}3")
