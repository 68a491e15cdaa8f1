"""Streams and consumers are made where they are not there, and never changed unasked."""

from typing import Any

import pytest

from tests.brokers.nats.streams.conftest import Outside
from tidings.brokers.nats import NatsBroker, NatsSource, Pull, Push
from tidings.messaging.acks import AckPolicy
from tidings.messaging.batch import Batch
from tidings.messaging.errors import SetupError
from tidings.messaging.retry import Retry
from tidings.nats.jetstream import ConsumerConfig, StreamConfig
from tidings.nats.server import NatsServer


async def started(url: str, subject: str, **options: Any) -> None:
    broker = NatsBroker(url)

    @broker.subscriber(subject, **options)
    async def handler(x: int) -> None: ...

    async with broker:
        await broker.start()


async def test_a_stream_is_made_and_taken_again(nats_url: str, name: str) -> None:
    config = StreamConfig(name=name, subjects=[f"{name}.>"], max_age=3600)
    for _ in range(2):
        await started(nats_url, f"{name}.in", stream=config, durable="w")
    info = await Outside(nats_url, name).info()
    assert info.config.filter_subject == f"{name}.in"


async def test_a_stream_that_is_there_otherwise_is_left_as_it_is(
    nats_url: str, name: str, stream: Outside
) -> None:
    config = StreamConfig(name=name, subjects=[f"{name}.>"], max_age=3600, max_msgs=5)
    with pytest.raises(SetupError, match=r"max_msgs is -1, not 5; max_age is 0\.0, not 3600"):
        await started(nats_url, f"{name}.in", stream=config, durable="w")
    async with stream.jetstream() as js:
        assert (await js.stream(name)).cached_info.config.max_age == 0


async def test_a_stream_is_changed_when_asked_for(nats_url: str, name: str) -> None:
    stream = Outside(nats_url, name)
    await stream.make(description="kept")
    config = StreamConfig(name=name, subjects=[f"{name}.>"], max_age=3600)
    await started(nats_url, f"{name}.in", stream=config, durable="w", declare="update")
    async with stream.jetstream() as js:
        found = (await js.stream(name)).cached_info.config
        assert (found.max_age, found.description) == (3600, "kept")


@pytest.mark.parametrize("never", [True, False])
async def test_a_stream_that_is_not_there_has_to_be_said(nats_url: str, name: str, never: bool) -> None:
    stream = StreamConfig(name=name, subjects=[name]) if never else name
    with pytest.raises(SetupError, match="there is no stream"):
        await started(
            nats_url, f"{name}.in", stream=stream, durable="w", declare="never" if never else "create"
        )


async def test_a_consumer_that_is_there_otherwise_is_left_as_it_is(
    nats_url: str, name: str, stream: Outside
) -> None:
    await started(nats_url, f"{name}.in", stream=name, durable="w", ack_wait=5)
    await started(nats_url, f"{name}.in", stream=name, durable="w")  # leaves it to the server
    with pytest.raises(SetupError, match=r"ack_wait is 5\.0, not 7\.0"):
        await started(nats_url, f"{name}.in", stream=name, durable="w", ack_wait=7)
    with pytest.raises(SetupError, match=r"filter_subject"):
        await started(nats_url, f"{name}.other", stream=name, durable="w")
    assert (await stream.info()).config.ack_wait == 5
    await started(nats_url, f"{name}.in", stream=name, durable="w", ack_wait=7, declare="update")
    assert (await stream.info()).config.ack_wait == 7


async def test_never_takes_what_is_there(nats_url: str, name: str, stream: Outside) -> None:
    with pytest.raises(SetupError, match="there is no consumer 'w'"):
        await started(nats_url, f"{name}.in", stream=name, durable="w", declare="never")
    await started(nats_url, f"{name}.in", stream=name, durable="w")
    await started(nats_url, f"{name}.in", stream=name, durable="w", declare="never")


async def test_filters_and_a_whole_config(nats_url: str, name: str, stream: Outside) -> None:
    only = [f"{name}.a", f"{name}.b"]
    await started(nats_url, f"{name}.*", stream=name, durable="w", filter_subjects=only, backoff=[1, 2])
    info = await stream.info()
    assert (sorted(info.config.filter_subjects), info.config.backoff) == (only, [1, 2])
    config = ConsumerConfig(durable_name="c", max_deliver=9, description="ours")
    await started(nats_url, f"{name}.>", stream=name, config=config)
    assert (await stream.info("c")).config.description == "ours"


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"stream": None, "durable": "w"}, "durable"),
        ({"stream": None, "pull": Pull(batch=5)}, "pull"),
        ({"stream": None, "ack_policy": AckPolicy.ACK}, "ack_policy"),
        ({"stream": None, "batch": Batch()}, "batch"),
        ({"queue": "q"}, "queue"),
        ({"max_msgs": 3}, "max_msgs"),
        ({"workers": 0}, "workers"),
        ({"ordered": True, "durable": "w"}, "durable"),
        ({"ordered": True, "ack_wait": 3}, "ack_wait"),
        ({"ordered": True, "workers": 2}, "workers"),
        ({"declare": "never"}, "never"),
        ({"config": ConsumerConfig(), "durable": "w"}, "durable"),
        ({"config": ConsumerConfig(deliver_subject="x"), "pull": Pull()}, "pull"),
        ({"config": ConsumerConfig(deliver_subject="x"), "queue": "q"}, "deliver_group"),
        ({"config": ConsumerConfig(deliver_subject="x"), "push": Push()}, "push"),
        ({"push": Push(), "pull": Pull()}, "pull"),
        ({"push": Push(), "ordered": True}, "push"),
        ({"push": Push(), "max_msgs": 3}, "max_msgs"),
        ({"push": Push(), "queue": "q"}, "durable"),
        ({"push": Push(), "queue": "a b", "durable": "w"}, "a b"),
        ({"push": Push(idle_heartbeat=0)}, "idle_heartbeat"),
        ({"push": Push(idle_heartbeat=0.01)}, "idle_heartbeat"),
        ({"push": Push(deliver_subject="x.*")}, "deliver_subject"),
        ({"push": Push(rate_limit_bps=-1)}, "rate_limit_bps"),
        ({"push": True}, "push"),
        ({"push": Push(idle_heartbeat="5")}, "idle_heartbeat"),  # type: ignore[arg-type]
        ({"stream": None, "push": Push()}, "push"),
        ({"pull": Pull(batch=0)}, "batch"),
        ({"pull": Pull(batch="5")}, "batch"),  # type: ignore[arg-type]
        ({"pull": Pull(expires="5")}, "expires"),  # type: ignore[arg-type]
        ({"pull": 5}, "pull"),
        ({"stream": 5}, "stream"),
        ({"config": {}}, "config"),
        ({"durable": 5}, "durable"),
        ({"ordered": 1}, "ordered"),
        ({"filter_subjects": "x"}, "filter_subjects"),
        ({"declare": "yes"}, "declare"),
        ({"config": ConsumerConfig(ack_policy="all")}, "ack_policy"),
        ({"durable": "a.b"}, "a.b"),
        ({"deliver_policy": "by_start_sequence"}, "opt_start_seq"),
        ({"filter_subjects": ["elsewhere"]}, "elsewhere"),
        ({"ack_policy": AckPolicy.ACK_FIRST, "retry": Retry()}, "retry"),
        ({"ack_policy": AckPolicy.MANUAL, "retry": Retry()}, "retry"),
    ],
)
async def test_options_that_cannot_work(
    nats_url: str, name: str, stream: Outside, options: dict[str, Any], problem: str
) -> None:
    with pytest.raises(SetupError, match=problem):
        await started(nats_url, f"{name}.in", **{"stream": name, **options})
    assert not await stream.consumers()


async def test_a_server_without_jetstream_says_so() -> None:
    with NatsServer(jetstream=False) as server, pytest.raises(SetupError, match="JetStream"):
        await started(server.url, "in", stream="S")


async def test_jetstream_is_looked_for_where_it_is_said_to_be(
    nats_url: str, name: str, stream: Outside
) -> None:
    for context, problem in (({"domain": "elsewhere"}, "JetStream"), ({"domain": "a.b"}, "domain")):
        broker = NatsBroker(nats_url, jetstream=context)  # type: ignore[arg-type]
        broker.subscriber(f"{name}.in", stream=name)(lambda x: None)
        async with broker:
            with pytest.raises(SetupError, match=problem):
                await broker.start()


def test_a_source_takes_what_goes_to_its_stream() -> None:
    from tidings.brokers.nats import NatsDestination

    assert NatsSource("a.*", stream="S").takes(NatsDestination("a.b", stream="S"))
