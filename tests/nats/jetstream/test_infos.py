from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from tidings.nats.errors import ProtocolError
from tidings.nats.jetstream import AccountInfo, ConsumerInfo, ConsumerPause, External, StreamInfo

MOMENT = "2026-03-04T05:06:07.123456789Z"
THEN = datetime(2026, 3, 4, 5, 6, 7, 123456, UTC)

STREAM: dict[str, Any] = {
    "config": {
        "name": "S",
        "subjects": ["s.>"],
        "num_replicas": 3,
        "metadata": {"_nats.ver": "2.15.1", "a": "b"},
    },
    "created": MOMENT,
    "state": {
        "messages": 3,
        "bytes": 100,
        "first_seq": 1,
        "first_ts": MOMENT,
        "last_seq": 5,
        "last_ts": MOMENT,
        "num_deleted": 2,
        "deleted": [2, 3],
        "lost": {"msgs": [4], "bytes": 10},
        "consumer_count": 1,
        "num_subjects": 1,
        "subjects": {"s.a": 3},
    },
    "cluster": {
        "name": "C",
        "raft_group": "S-R3",
        "leader": "n1",
        "leader_since": MOMENT,
        "system_account": True,
        "traffic_account": "$SYS",
        "replicas": [
            {"name": "n2", "current": True, "active": 1_500_000_000, "peer": "p2"},
            {"name": "n3", "current": False, "offline": True, "observer": True, "active": 0, "lag": 7},
        ],
    },
    "mirror": {
        "name": "O",
        "lag": 5,
        "active": -1,
        "error": {"code": 404, "description": "stream not found"},
    },
    "sources": [
        {
            "name": "X",
            "lag": 0,
            "active": 2_000_000_000,
            "external": {"api": "$JS.hub.API", "deliver": ""},
            "filter_subject": "x",
            "subject_transforms": [{"src": "x", "dest": "y"}],
        }
    ],
    "alternates": [{"name": "S", "domain": "hub", "cluster": "C"}],
    "ts": MOMENT,
}


def test_a_stream() -> None:
    info = StreamInfo.from_wire(STREAM)
    assert (info.created, info.ts, info.did_create) == (THEN, THEN, False)
    assert info.config.metadata == {"a": "b"}
    assert info.config.server_metadata == {"_nats.ver": "2.15.1"}
    state = info.state
    assert (state.messages, state.bytes, state.first_ts, state.last_ts) == (3, 100, THEN, THEN)
    assert (state.deleted, state.subjects) == ([2, 3], {"s.a": 3})
    assert state.lost is not None
    assert (state.lost.msgs, state.lost.bytes) == ([4], 10)
    where = info.cluster
    assert where is not None
    assert (where.name, where.raft_group, where.leader, where.leader_since) == ("C", "S-R3", "n1", THEN)
    assert (where.system_account, where.traffic_account) == (True, "$SYS")
    second, third = where.replicas
    assert (second.name, second.current, second.active, second.peer) == ("n2", True, 1.5, "p2")
    assert (third.current, third.offline, third.observer, third.lag) == (False, True, True, 7)
    assert info.mirror is not None
    assert (info.mirror.lag, info.mirror.active, info.mirror.error["code"]) == (5, None, 404)
    (source,) = info.sources
    assert (source.active, source.external) == (2.0, External(api="$JS.hub.API"))
    assert source.subject_transforms[0].dest == "y"
    assert (info.alternates[0].domain, info.alternates[0].cluster) == ("hub", "C")
    assert not info.extra


def test_a_consumer() -> None:
    info = ConsumerInfo.from_wire(
        {
            "stream_name": "S",
            "name": "w",
            "created": MOMENT,
            "config": {"durable_name": "w", "name": "w", "ack_wait": 30_000_000_000, "backoff": [10**9]},
            "delivered": {"consumer_seq": 4, "stream_seq": 7, "last_active": MOMENT},
            "ack_floor": {"consumer_seq": 2, "stream_seq": 3, "last_active": MOMENT},
            "num_ack_pending": 2,
            "num_redelivered": 1,
            "num_waiting": 3,
            "num_pending": 9,
            "cluster": {"leader": "n1"},
            "push_bound": True,
            "paused": True,
            "pause_remaining": 1_250_000_000,
            "ts": MOMENT,
            "priority_groups": [{"group": "g", "pinned_client_id": "id", "pinned_ts": MOMENT}],
        }
    )
    assert (info.stream_name, info.name, info.created) == ("S", "w", THEN)
    assert (info.config.ack_wait, info.config.backoff) == (30.0, [1.0])
    assert (info.delivered.consumer_seq, info.delivered.stream_seq, info.delivered.last_active) == (
        4,
        7,
        THEN,
    )
    assert info.ack_floor.stream_seq == 3
    assert (info.num_ack_pending, info.num_redelivered, info.num_waiting, info.num_pending) == (2, 1, 3, 9)
    assert info.cluster is not None
    assert info.cluster.leader == "n1"
    assert (info.push_bound, info.paused, info.pause_remaining) == (True, True, 1.25)
    (group,) = info.priority_groups
    assert (group.group, group.pinned_client_id, group.pinned_ts) == ("g", "id", THEN)


def test_an_account_with_tiers() -> None:
    info = AccountInfo.from_wire(
        {
            "memory": 1,
            "storage": 2,
            "domain": "hub",
            "api": {"level": 5, "total": 7, "errors": 1, "inflight": 2},
            "tiers": {"R3": {"streams": 4, "limits": {"max_streams": 9}}},
        }
    )
    assert (info.memory, info.storage, info.domain) == (1, 2, "hub")
    assert (info.api.level, info.api.total, info.api.errors, info.api.inflight) == (5, 7, 1, 2)
    assert (info.tiers["R3"].streams, info.tiers["R3"].limits.max_streams) == (4, 9)
    assert info.limits.max_streams == -1


def test_a_pause_that_is_over() -> None:
    pause = ConsumerPause.from_wire({"paused": False, "pause_until": "0001-01-01T00:00:00Z"})
    assert (pause.paused, pause.pause_until, pause.pause_remaining) == (False, None, None)


@pytest.mark.parametrize(
    "sent",
    [
        {},
        {"config": {}},
        {"config": None},
        {"config": {"name": "S"}, "state": {"messages": "3"}},
        {"config": {"name": "S"}, "created": "yesterday"},
        {"config": {"name": "S"}, "cluster": {"replicas": [5]}},
        {"config": {"name": "S"}, "sources": [{"lag": []}]},
    ],
    ids=str,
)
def test_what_is_no_stream_is_a_protocol_error(sent: dict[str, Any]) -> None:
    with pytest.raises(ProtocolError):
        StreamInfo.from_wire(sent)
