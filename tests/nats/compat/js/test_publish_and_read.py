"""Programs of JetStream, written for nats-py: each runs on nats-py and on its double."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from tests.nats.compat.conftest import Door

LIMIT = 30.0  # seconds


async def test_streams_are_made_changed_listed_and_deleted(door: Door, nats_url: str, name: str) -> None:
    api, errors = door.module("js.api"), door.module("js.errors")
    nc = await door.connect(nats_url)
    jsm = nc.jsm()
    config = api.StreamConfig(
        name=name,
        subjects=[f"{name}.>"],
        max_age=90.5,
        duplicate_window=1.5,
        storage=api.StorageType.MEMORY,
        retention=api.RetentionPolicy.LIMITS,
        metadata={"owner": "compat"},
        republish=api.RePublish(src=f"{name}.a", dest=f"{name}x.a"),
        placement=None,
    )
    info = await jsm.add_stream(config)
    assert (info.config.name, info.config.max_age, info.config.duplicate_window) == (name, 90.5, 1.5)
    assert info.config.storage == "memory" == api.StorageType.MEMORY
    assert info.config.republish.dest == f"{name}x.a"
    assert info.config.metadata["owner"] == "compat"
    assert (info.state.messages, info.created.tzinfo is not None, info.did_create) == (0, True, True)

    changed = await jsm.update_stream(info.config, max_msgs=7)
    assert changed.config.max_msgs == 7
    assert await jsm.find_stream_name_by_subject(f"{name}.a") == name
    assert name in [each.config.name for each in await jsm.streams_info()]
    assert name in [each.config.name for each in await jsm.streams_info_iterator()]
    account = await jsm.account_info()
    assert account.streams >= 1
    assert account.limits.max_streams == -1
    assert account.api.total > 0

    with pytest.raises(errors.BadRequestError) as refused:
        await jsm.add_stream(name=name, subjects=["other.>"])
    assert (refused.value.code, refused.value.err_code) == (400, 10058)
    assert str(refused.value) == (
        "nats: BadRequestError: code=400 err_code=10058 "
        "description='stream name already in use with a different configuration'"
    )
    for bad in ("", "a.b", "a b"):
        with pytest.raises(ValueError, match="stream name"):
            await jsm.stream_info(bad)
    assert await jsm.delete_stream(name) is True
    with pytest.raises(errors.NotFoundError) as gone:
        await jsm.stream_info(name)
    assert isinstance(gone.value, errors.APIError)
    assert gone.value.err_code == 10059
    await nc.close()


async def test_consumers_are_made_listed_paused_and_deleted(door: Door, nats_url: str, name: str) -> None:
    api, errors = door.module("js.api"), door.module("js.errors")
    nc = await door.connect(nats_url)
    js = nc.jetstream(timeout=LIMIT)
    await js.add_stream(name=name, subjects=[name])
    info = await js.add_consumer(name, durable_name="d", ack_wait=2.5, backoff=[0.5, 1.5], max_deliver=4)
    assert (info.name, info.stream_name, info.config.durable_name) == ("d", name, "d")
    assert (info.config.ack_wait, info.config.backoff, info.num_pending) == (0.5, [0.5, 1.5], 0)
    named = await js.add_consumer(name, api.ConsumerConfig(name="n", filter_subject=name))
    assert named.config.filter_subject == name
    assert sorted(each.name for each in await js.consumers_info(name)) == ["d", "n"]
    paused = await js.pause_consumer(name, "d", "2099-01-01T00:00:00Z")
    assert paused.paused
    assert (await js.consumer_info(name, "d")).paused
    assert not (await js.resume_consumer(name, "d")).paused
    assert await js.delete_consumer(name, "d") is True
    with pytest.raises(errors.NotFoundError):
        await js.consumer_info(name, "d")
    with pytest.raises(ValueError, match="consumer name"):
        await js.consumer_info(name, "a.b")
    await js.delete_stream(name)
    await nc.close()


async def test_publish(door: Door, nats_url: str, name: str) -> None:
    api, errors = door.module("js.api"), door.module("js.errors")
    nc = await door.connect(nats_url)
    js = nc.jetstream(timeout=LIMIT)
    await js.add_stream(name=name, subjects=[f"{name}.*"], allow_msg_ttl=True)
    ack = await js.publish(f"{name}.a", b"1", headers={"Nats-Msg-Id": "x"}, stream=name)
    assert (ack.stream, ack.seq, bool(ack.duplicate)) == (name, 1, False)
    again = await js.publish(f"{name}.a", b"1", headers={api.Header.MSG_ID: "x"})
    assert (again.seq, again.duplicate) == (1, True)
    assert (await js.publish(f"{name}.a", b"2", msg_ttl=60)).seq == 2

    with pytest.raises(errors.APIError) as wrong:
        await js.publish(f"{name}.a", b"3", stream="ANOTHER")
    assert (wrong.value.code, wrong.value.err_code) == (400, 10060)
    with pytest.raises(errors.NoStreamResponseError, match="nats: no response from stream"):
        await js.publish(f"{name}-nobody", b"")

    futures = [await js.publish_async(f"{name}.b", b"%d" % i) for i in range(20)]
    await asyncio.wait_for(js.publish_async_completed(), LIMIT)
    assert js.publish_async_pending() == 0
    assert [future.result().seq for future in futures] == list(range(3, 23))
    if door.root != "nats":  # whose future never ends
        failed = await js.publish_async(f"{name}.b", b"", stream="ANOTHER")
        with pytest.raises(errors.APIError):
            await asyncio.wait_for(failed, LIMIT)
    await js.delete_stream(name)
    await nc.close()


async def test_an_async_publish_stalls(door: Door, nats_url: str, name: str) -> None:
    errors = door.module("js.errors")
    nc = await door.connect(nats_url)
    js = nc.jetstream(timeout=LIMIT, publish_async_max_pending=1)
    await nc.subscribe(name)  # answers to nothing
    await js.publish_async(name, b"1")
    with pytest.raises(errors.TooManyStalledMsgsError):
        await js.publish_async(name, b"2", wait_stall=0.05)
    assert js.publish_async_pending() == 1
    await nc.close()


async def test_stored_messages(door: Door, nats_url: str, name: str) -> None:
    errors = door.module("js.errors")
    nc = await door.connect(nats_url)
    js = nc.jetstream(timeout=LIMIT)
    await js.add_stream(name=name, subjects=[f"{name}.*"], allow_direct=True)
    await js.publish(f"{name}.a", b"1", headers={"K": "v"})
    await js.publish(f"{name}.b", b"2")
    await js.publish(f"{name}.a", b"")
    for direct in (False, True):
        first = await js.get_msg(name, 1, direct=direct)
        assert (first.subject, first.seq, first.sequence, first.data) == (f"{name}.a", 1, 1, b"1")
        assert first.headers["K"] == first.header["K"] == "v"
        assert first.time is not None
        last = await js.get_last_msg(name, f"{name}.a", direct=direct)
        assert (last.seq, last.data) == (3, None)
        found = await js.get_msg(name, seq=2, subject=f"{name}.*", direct=direct, next=True)
        assert (found.seq, found.data) == (2, b"2")
        with pytest.raises(errors.NotFoundError):
            await js.get_msg(name, 99, direct=direct)
    assert await js.delete_msg(name, 1) is True
    assert await js.purge_stream(name, subject=f"{name}.b") is True
    assert (await js.stream_info(name, subjects_filter=">")).state.subjects == {f"{name}.a": 1}
    await js.delete_stream(name)
    await nc.close()


async def test_pull_subscribe(door: Door, nats_url: str, name: str) -> None:
    errors, core = door.module("js.errors"), door.errors
    nc = await door.connect(nats_url)
    js = nc.jetstream(timeout=LIMIT)
    await js.add_stream(name=name, subjects=[name])
    for i in range(5):
        await js.publish(name, b"%d" % i)
    sub = await js.pull_subscribe(name, "work")
    [first] = await sub.fetch(timeout=LIMIT)
    assert (first.data, first.subject) == (b"0", name)
    assert (first.metadata.sequence.stream, first.metadata.sequence.consumer) == (1, 1)
    assert (first.metadata.stream, first.metadata.consumer, first.metadata.num_pending) == (name, "work", 4)
    await first.ack_sync()
    with pytest.raises(core.MsgAlreadyAckdError):
        await first.ack()
    async with asyncio.timeout(LIMIT):
        rest = await sub.fetch(10, timeout=60)  # what is there is given at once
    assert [msg.data for msg in rest] == [b"1", b"2", b"3", b"4"]
    await rest[0].nak()
    for msg in rest[1:]:
        await msg.ack()
    [again] = await sub.fetch(1, timeout=LIMIT)
    assert (again.data, again.metadata.num_delivered) == (b"1", 2)
    await again.term()
    # nats-py lets asyncio's own error out where its time is over between two of its requests.
    late = TimeoutError if door.root == "nats" else core.TimeoutError
    for batch in (1, 5):
        with pytest.raises(late) as empty:
            await sub.fetch(batch, timeout=0.2)
        assert isinstance(empty.value, TimeoutError)
    for wrong in ({"batch": 0}, {"timeout": 0}, {"timeout": -1}):
        with pytest.raises(ValueError, match="nats: invalid"):
            await sub.fetch(**wrong)
    info = await sub.consumer_info()
    assert (info.name, info.num_pending, info.ack_floor.stream_seq) == ("work", 0, 5)

    async with asyncio.timeout(LIMIT):
        while (await sub.consumer_info()).num_waiting:  # what nats-py left would get the next message
            pass
    await js.publish(name, b"5")
    bound = await js.pull_subscribe_bind("work", stream=name)
    assert [msg.data for msg in await bound.fetch(1, timeout=LIMIT)] == [b"5"]
    nobody = await js.pull_subscribe_bind("nobody", name)
    with pytest.raises(errors.ServiceUnavailableError):
        await nobody.fetch(1, timeout=LIMIT)
    with pytest.raises(errors.NotFoundError):
        await js.pull_subscribe(f"{name}-unknown", "work")
    await sub.unsubscribe()
    await js.delete_stream(name)
    await nc.close()


@pytest.mark.parametrize("manual", [False, True])
async def test_push_subscribe_with_a_callback(door: Door, nats_url: str, name: str, manual: bool) -> None:
    nc = await door.connect(nats_url)
    js = nc.jetstream(timeout=LIMIT)
    await js.add_stream(name=name, subjects=[name])
    seen: asyncio.Queue[Any] = asyncio.Queue()

    async def keep(msg: Any) -> None:
        await seen.put(msg)

    sub = await js.subscribe(name, durable="push", cb=keep, manual_ack=manual)
    await js.publish(name, b"1")
    async with asyncio.timeout(LIMIT):
        msg = await seen.get()
        assert (msg.data, msg.metadata.num_delivered) == (b"1", 1)
        if manual:
            assert (await sub.consumer_info()).num_ack_pending == 1
            await msg.ack_sync()
        while (await sub.consumer_info()).num_ack_pending:
            pass
    assert (sub.delivered, (await sub.consumer_info()).push_bound) == (1, True)
    await sub.unsubscribe()
    await js.delete_stream(name)
    await nc.close()


async def test_push_subscribe_without_one(door: Door, nats_url: str, name: str) -> None:
    errors, core = door.module("js.errors"), door.errors
    nc = await door.connect(nats_url)
    js = nc.jetstream(timeout=LIMIT)
    await js.add_stream(name=name, subjects=[name])
    sub = await js.subscribe(name, durable="one")
    await js.publish(name, b"1")
    msg = await sub.next_msg(timeout=LIMIT)
    await msg.ack_sync()
    with pytest.raises(core.TimeoutError):
        await sub.next_msg(timeout=0.05)
    with pytest.raises(errors.Error, match="consumer is already bound to a subscription"):
        await js.subscribe(name, durable="one")
    with pytest.raises(errors.Error, match="cannot create queue subscription 'q' to consumer 'one'"):
        await js.subscribe(name, "q", durable="one")

    members = [await js.subscribe(name, "group") for _ in range(2)]
    info = await members[0].consumer_info()
    assert (info.name, info.config.deliver_group) == ("group", "group")
    with pytest.raises(
        errors.Error, match="cannot create a subscription for a consumer with a deliver group"
    ):
        await js.subscribe(name, durable="group")
    await sub.unsubscribe()
    await js.delete_stream(name)
    await nc.close()


async def test_an_ordered_consumer(door: Door, nats_url: str, name: str) -> None:
    nc = await door.connect(nats_url)
    js = nc.jetstream(timeout=LIMIT)
    await js.add_stream(name=name, subjects=[name])
    for i in range(10):
        await js.publish(name, b"%d" % i)
    sub = await js.subscribe(name, ordered_consumer=True)
    assert (await sub.consumer_info()).config.ack_policy == "none"
    async with asyncio.timeout(LIMIT):
        assert (await sub.next_msg(timeout=LIMIT)).data == b"0"
        found = []
        async for msg in sub.messages:
            found.append(msg.data)
            if msg.metadata.num_pending == 0:
                break
        assert found == [b"%d" % i for i in range(1, 10)]
    await sub.unsubscribe()

    seen: asyncio.Queue[Any] = asyncio.Queue()

    async def keep(msg: Any) -> None:
        await seen.put(msg.data)

    called = await js.subscribe(name, ordered_consumer=True, cb=keep)
    async with asyncio.timeout(LIMIT):
        assert [await seen.get() for _ in range(10)] == [b"%d" % i for i in range(10)]
    assert called.delivered == 10
    await called.unsubscribe()
    await js.delete_stream(name)
    await nc.close()


async def test_a_fetch_too_many_times_out(door: Door, nats_url: str, name: str) -> None:
    api = door.module("js.api")
    nc = await door.connect(nats_url)
    js = nc.jetstream(timeout=LIMIT)
    await js.add_stream(name=name, subjects=[name])
    sub = await js.pull_subscribe(name, "one", config=api.ConsumerConfig(max_waiting=1))
    found = await asyncio.gather(*(sub.fetch(1, timeout=0.3) for _ in range(3)), return_exceptions=True)
    assert [type(each).__name__ for each in found] == ["TimeoutError"] * 3
    await js.delete_stream(name)
    await nc.close()


async def test_members_of_a_group_end(door: Door, nats_url: str, name: str) -> None:
    nc = await door.connect(nats_url)
    js = nc.jetstream(timeout=LIMIT)
    await js.add_stream(name=name, subjects=[name])
    seen: asyncio.Queue[bytes] = asyncio.Queue()

    async def keep(msg: Any) -> None:
        await seen.put(msg.data)

    first, second = [await js.subscribe(name, "group", cb=keep) for _ in range(2)]
    assert first.subject == second.subject
    for i in range(20):
        await js.publish(name, b"%d" % i)
    async with asyncio.timeout(LIMIT):
        assert {await seen.get() for _ in range(20)} == {b"%d" % i for i in range(20)}
    await first.unsubscribe()
    await second.drain()
    with pytest.raises(door.errors.BadSubscriptionError):
        await first.unsubscribe()
    with pytest.raises(door.errors.BadSubscriptionError):
        await second.drain()
    await js.delete_stream(name)
    await nc.close()


async def test_a_consumer_that_was_made_is_bound(door: Door, nats_url: str, name: str) -> None:
    api = door.module("js.api")
    nc = await door.connect(nats_url)
    js = nc.jetstream(timeout=LIMIT)
    await js.add_stream(name=name, subjects=[name])
    config = api.ConsumerConfig(deliver_subject=nc.new_inbox())
    info = await js.add_consumer(stream=name, config=config, durable_name="bound")
    sub = await js.subscribe_bind(stream=name, consumer=info.name, config=info.config)
    await js.publish(name, b"1")
    msg = await sub.next_msg(timeout=LIMIT)
    assert (msg.data, js.is_status_msg(msg)) == (b"1", None)
    await msg.ack_sync()
    assert (await sub.consumer_info()).num_ack_pending == 0
    with pytest.raises(TypeError, match="deliver_subject"):
        await js.subscribe_bind(name, api.ConsumerConfig(), "bound")
    await sub.unsubscribe()
    await js.delete_stream(name)
    await nc.close()


async def test_a_durable_of_several_subjects(door: Door, nats_url: str, name: str) -> None:
    nc = await door.connect(nats_url)
    js = nc.jetstream()
    await js.add_stream(name=name, subjects=[f"{name}.>"])
    for token in ("a", "b.c", "d"):
        await js.publish(f"{name}.{token}", token.encode())
    some = await js.pull_subscribe(f"{name}.*", "some")
    assert [msg.data for msg in await some.fetch(2, timeout=LIMIT)] == [b"a", b"d"]
    every = await js.pull_subscribe(f"{name}.>", "every")
    assert len(await every.fetch(3, timeout=LIMIT)) == 3
    assert (await js.consumer_info(name, "some")).config.filter_subject == f"{name}.*"
    pushed = await js.subscribe(f"{name}.b.*", durable="pushed")
    assert (await pushed.next_msg(timeout=LIMIT)).data == b"b.c"
    await nc.close()
