from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

import pytest
from tests.nats.jetstream.streaming import away, in_turn, streaming
from tests.proxy import Proxy

from tidings.nats import (
    BadSubjectError,
    ConnectionClosedError,
    MaxPayloadError,
    NoRespondersError,
    PermissionsError,
    ProtocolError,
    TimeoutError,
    connect,
)
from tidings.nats.jetstream import PubAck, Schedule
from tidings.nats.jetstream.acks import Acks
from tidings.nats.jetstream.errors import (
    AckLostError,
    AckTimeoutError,
    ApiError,
    ApiLevelError,
    ConfigError,
    MessageTTLError,
    NoStreamResponseError,
    UnconfirmedError,
    WrongLastMsgIdError,
    WrongLastSequenceError,
    WrongStreamError,
)
from tidings.nats.server import NatsServer

STORED = b'{"stream":"FAKE","seq":1}'


def refusal(code: int, err_code: int) -> bytes:
    return b'{"error":{"code":%d,"err_code":%d,"description":"x"},"stream":"FAKE","seq":0}' % (code, err_code)


class TestPublish:
    async def test_the_acknowledgement_tells_stream_and_sequence(self, nats_url: str, name: str) -> None:
        async with await connect(nats_url) as client:
            js = client.jetstream()
            stream = await js.create_stream(name=name, subjects=[f"{name}.>"])
            assert await js.publish(f"{name}.a", b"one") == PubAck(name, 1)
            assert await js.publish(f"{name}.a", "zwei", headers={"A": ["1", "2"]}) == PubAck(name, 2)
            stored = await stream.get_msg(seq=2)
            assert (stored.data, stored.headers.get_all("A")) == (b"zwei", ["1", "2"])

    async def test_the_same_message_id_is_stored_once(self, nats_url: str, name: str) -> None:
        async with await connect(nats_url) as client:
            js = client.jetstream()
            stream = await js.create_stream(name=name, subjects=[name])
            assert not (await js.publish(name, msg_id="7")).duplicate
            assert await js.publish(name, msg_id="7") == PubAck(name, 1, duplicate=True)
            assert (await stream.info()).state.messages == 1

    async def test_expectations_hold_or_nothing_is_stored(self, nats_url: str, name: str) -> None:
        async with await connect(nats_url) as client:
            js = client.jetstream()
            stream = await js.create_stream(name=name, subjects=[f"{name}.>"])
            await js.publish(f"{name}.a", msg_id="1", expected_stream=name, expected_last_seq=0)
            await js.publish(f"{name}.b", expected_last_seq=1, expected_last_msg_id="1")
            await js.publish(f"{name}.a", expected_last_subject_seq=1)
            await js.publish(
                f"{name}.c", expected_last_subject_seq=3, expected_last_subject_seq_subject=f"{name}.a"
            )
            refused: list[tuple[dict[str, Any], type[ApiError]]] = [
                ({"expected_stream": "other"}, WrongStreamError),
                ({"expected_last_seq": 0}, WrongLastSequenceError),
                ({"expected_last_subject_seq": 0}, WrongLastSequenceError),
                ({"expected_last_msg_id": "9"}, WrongLastMsgIdError),
                ({"ttl": 5}, MessageTTLError),
            ]
            for options, error in refused:
                with pytest.raises(error):
                    await js.publish(f"{name}.a", **options)
            assert (await stream.info()).state.messages == 4

    async def test_a_message_is_gone_after_its_time_to_live(self, nats_url: str, name: str) -> None:
        async with await connect(nats_url) as client:
            js = client.jetstream()
            stream = await js.create_stream(name=name, subjects=[name], allow_msg_ttl=True)
            await js.publish(name, ttl="never")
            await js.publish(name, ttl=1.5)
            info = await stream.info()
            assert info.state.messages == 2
            while info.state.messages == 2:  # bounded by the limit of the test
                await asyncio.sleep(0.05)
                info = await stream.info()
            assert (await stream.get_msg(seq=1)).headers["Nats-TTL"] == "never"

    async def test_a_rollup_replaces_what_was_there(self, nats_url: str, name: str) -> None:
        async with await connect(nats_url) as client:
            js = client.jetstream()
            stream = await js.create_stream(name=name, subjects=[f"{name}.>"], allow_rollup_hdrs=True)
            for _ in range(3):
                await js.publish(f"{name}.a")
            await js.publish(f"{name}.b")
            await js.publish(f"{name}.a", rollup="sub")
            assert (await stream.info()).state.messages == 2

    async def test_the_way_of_a_message_can_be_traced(self, nats_url: str, name: str) -> None:
        async with await connect(nats_url) as client:
            js = client.jetstream()
            await js.create_stream(name=name, subjects=[f"{name}.>"])
            traces = await client.subscribe(f"trace.{name}")
            await js.publish(f"{name}.a", trace_dest=f"trace.{name}")
            assert b'"stream":"%b"' % name.encode() in (await traces.next_msg()).data

    async def test_a_counters_value_comes_with_the_acknowledgement(self, nats_url: str, name: str) -> None:
        async with await connect(nats_url) as client:
            js = client.jetstream()
            await js.create_stream(name=name, subjects=[name], allow_msg_counter=True)
            big = 10**30
            assert (await js.publish(name, headers={"Nats-Incr": str(big)})).val == big

    async def test_a_domain_comes_with_the_acknowledgement(self, name: str, tmp_path: Path) -> None:
        config = f"jetstream {{ domain: hub, store_dir: '{tmp_path}' }}"
        with NatsServer(config=config, durability="fast") as server:
            async with await connect(server.url) as client:
                js = client.jetstream(domain="hub")
                await js.create_stream(name=name, subjects=[name])
                assert await js.publish(name) == PubAck(name, 1, domain="hub")
                assert await js.publish(name) == PubAck(name, 2, domain="hub")

    async def test_what_is_refused_at_once_is_not_sent(self, nats_url: str, name: str) -> None:
        async with await connect(nats_url) as client:
            js = client.jetstream()
            stream = await js.create_stream(name=name, subjects=[name])
            with pytest.raises(BadSubjectError):
                await js.publish("a b")
            with pytest.raises(MaxPayloadError):
                await js.publish(name, bytes(client.max_payload + 1))
            with pytest.raises(ConfigError):
                await js.publish(name, ttl=0)
            with pytest.raises(TypeError, match="'no'"):
                await js.publish(name, no="x")  # type: ignore[call-arg]
            assert (await stream.info()).state.messages == 0
            assert js.publish_async_pending == 0

    async def test_all_contexts_of_a_client_share_one_inbox(self, nats_url: str, name: str) -> None:
        async with await connect(nats_url, inbox_prefix=f"_{name}") as client:
            await client.jetstream().create_stream(name=name, subjects=[name])
            for _ in range(3):
                await client.jetstream().publish(name)
            inboxes = [sub.subject for sub in client.subscriptions if isinstance(sub, Acks)]
            assert len(inboxes) == 1
            assert inboxes[0].startswith(f"_{name}.")


class TestRetry:
    async def test_no_stream_is_told_after_the_retries(self, nats_url: str, name: str) -> None:
        async with await connect(nats_url) as client:
            before = client.stats.out_msgs
            with pytest.raises(NoStreamResponseError, match=name) as raised:
                await client.jetstream().publish(name, retry_attempts=3, retry_wait=0.01)
            assert isinstance(raised.value, NoRespondersError)
            assert client.stats.out_msgs - before == 4

    async def test_a_stream_that_comes_meanwhile_takes_it(self, nats_url: str, name: str) -> None:
        async with await connect(nats_url) as client, await connect(nats_url) as other:
            publishing = asyncio.create_task(
                client.jetstream().publish(name, b"x", retry_attempts=1000, retry_wait=0.01)
            )
            await other.jetstream().create_stream(name=name, subjects=[name])
            assert await publishing == PubAck(name, 1)

    async def test_the_timeout_is_for_all_of_it(self, nats_url: str, name: str) -> None:
        async with await connect(nats_url) as client:
            with pytest.raises(NoStreamResponseError):
                await client.jetstream().publish(name, timeout=0.1, retry_attempts=10**6, retry_wait=0.02)

    @pytest.mark.parametrize("err_code", [10008, 10158, 10163])
    async def test_what_passes_is_tried_again(self, nats_url: str, name: str, err_code: int) -> None:
        answers = in_turn([refusal(503, err_code), refusal(503, err_code), STORED])
        async with streaming(nats_url, name, answers) as taken, await connect(nats_url) as client:
            ack = await client.jetstream().publish(name, b"x", msg_id="7", retry_wait=0.01)
            assert ack == PubAck("FAKE", 1)
            assert [(m.data, m.headers["Nats-Msg-Id"]) for m in taken.messages] == [(b"x", "7")] * 3

    async def test_what_does_not_pass_is_not(self, nats_url: str, name: str) -> None:
        answers = in_turn([refusal(503, 10077), STORED])
        async with streaming(nats_url, name, answers) as taken, await connect(nats_url) as client:
            with pytest.raises(ApiError):
                await client.jetstream().publish(name)
            assert len(taken.messages) == 1


async def test_an_empty_answer_is_not_that_of_a_stream(nats_url: str, name: str) -> None:
    async with streaming(nats_url, name, lambda message: b""), await connect(nats_url) as client:
        js = client.jetstream()
        with pytest.raises(ProtocolError, match="no stream"):
            await js.publish(name)
        future = await js.publish_async(name)
        with pytest.raises(ProtocolError, match="no stream"):
            await future


class TestNoAnswer:
    async def test_an_acknowledgement_in_time_or_an_error(self, nats_url: str, name: str) -> None:
        async with streaming(nats_url, name), await connect(nats_url) as client:
            js = client.jetstream(timeout=0.05)
            with pytest.raises(AckTimeoutError, match="may or may not") as raised:
                await js.publish(name)
            assert isinstance(raised.value, TimeoutError)
            with pytest.raises(UnconfirmedError):
                await js.publish(name, timeout=0.01)

    async def test_each_has_a_time_of_its_own(self, nats_url: str, name: str) -> None:
        async with streaming(nats_url, name), await connect(nats_url) as client:
            js = client.jetstream()
            long = asyncio.create_task(js.publish(name, timeout=30))
            middle = asyncio.create_task(js.publish(name, timeout=0.1))
            await asyncio.sleep(0)
            with pytest.raises(AckTimeoutError):
                await js.publish(name, timeout=0.02)
            assert not middle.done()
            with pytest.raises(AckTimeoutError):
                await middle
            assert not long.done()
            long.cancel()

    async def test_who_gives_up_leaves_nothing_behind(self, nats_url: str, name: str) -> None:
        async with streaming(nats_url, name), await connect(nats_url) as client:
            publishing = asyncio.create_task(client.jetstream().publish(name))
            await asyncio.sleep(0)
            acks = next(sub for sub in client.subscriptions if isinstance(sub, Acks))
            assert acks.unhandled == 1
            publishing.cancel()
            with pytest.raises(asyncio.CancelledError):
                await publishing
            assert acks.unhandled == 0

    async def test_an_acknowledgement_that_comes_too_late_is_counted(self, nats_url: str, name: str) -> None:
        async with streaming(nats_url, name) as taken, await connect(nats_url) as client:
            with pytest.raises(AckTimeoutError):
                await client.jetstream().publish(name, timeout=0.02)
            acks = next(sub for sub in client.subscriptions if isinstance(sub, Acks))
            [message] = await taken.reach(1)
            await client.publish(message.reply, STORED)
            await client.flush()
            assert acks.late == 1

    async def test_the_loss_of_the_connection_is_told_at_once(self, nats_url: str, name: str) -> None:
        async with streaming(nats_url, name) as taken, Proxy(nats_url) as proxy:
            client = await connect(proxy.url, reconnect_time_wait=0.01)
            publishing = asyncio.create_task(client.jetstream().publish(name, timeout=50))
            await taken.reach(1)
            proxy.cut()
            with pytest.raises(AckLostError, match="may or may not"):
                await publishing
            await client.close()

    async def test_what_is_published_while_it_is_away_is_acknowledged_when_it_is_back(
        self, nats_url: str, name: str
    ) -> None:
        async with Proxy(nats_url) as proxy, await connect(proxy.url, reconnect_time_wait=0.01) as client:
            js = client.jetstream()
            await js.create_stream(name=name, subjects=[name])
            await js.publish(name)
            async with proxy.away():
                await away(client)
                publishing = asyncio.create_task(js.publish(name, timeout=30))
                await asyncio.sleep(0)
            assert await publishing == PubAck(name, 2)

    async def test_closing_tells_those_who_wait(self, nats_url: str, name: str) -> None:
        async with streaming(nats_url, name):
            client = await connect(nats_url)
            js = client.jetstream()
            publishing = asyncio.create_task(js.publish(name))
            await asyncio.sleep(0)
            await client.close()
            with pytest.raises(AckLostError):
                await publishing
            with pytest.raises(ConnectionClosedError):
                await js.publish(name)

    async def test_a_drain_waits_for_acknowledgements(self, nats_url: str, name: str) -> None:
        def slowly(message: Any) -> bytes:
            time.sleep(0.05)  # the PONG of a flush is there before
            return STORED

        async with streaming(nats_url, name, slowly):
            client = await connect(nats_url)
            publishing = asyncio.create_task(client.jetstream().publish(name))
            await asyncio.sleep(0)
            await client.drain()
            assert await publishing == PubAck("FAKE", 1)

    async def test_a_drain_waits_for_what_a_callback_publishes_first_of_all(
        self, nats_url: str, name: str
    ) -> None:
        async with await connect(nats_url) as other:
            stream = await other.jetstream().create_stream(name=name, subjects=[name])
            client = await connect(nats_url)
            futures: list[asyncio.Future[PubAck]] = []

            async def forward(message: Any) -> None:
                await draining.wait()
                futures.append(await client.jetstream().publish_async(name))

            draining = asyncio.Event()
            await client.subscribe(f"in.{name}", cb=forward)
            await client.flush()
            await other.publish(f"in.{name}")
            await other.flush()
            await client.flush()
            drain = asyncio.create_task(client.drain())
            await asyncio.sleep(0)
            draining.set()
            await drain
            assert [future.result() for future in futures] == [PubAck(name, 1)]
            assert (await stream.info()).state.messages == 1


class TestPermissions:
    CONFIG = """
        accounts: { A: { jetstream: enabled, users: [
            { user: all, password: p },
            { user: some, password: p, permissions: {
                publish: ["$JS.API.>", "ok"], subscribe: ["_INBOX.>"] } },
            { user: deaf, password: p, permissions: { subscribe: { deny: ["_INBOX.>"] } } }
        ] } }
    """

    async def test_a_refused_subject_is_told_at_once(self) -> None:
        with NatsServer(config=self.CONFIG, token=False, durability="fast") as server:
            async with await connect(server.url, user="some", password="p", error_cb=_ignore) as client:
                js = client.jetstream()
                await js.create_stream(name="S", subjects=["ok", "no"])
                assert (await js.publish("ok")).seq == 1
                with pytest.raises(PermissionsError, match="no"):
                    await js.publish("no", timeout=30)
                future = await js.publish_async("no")
                with pytest.raises(PermissionsError):
                    await future
                assert (await js.publish("ok")).seq == 2

    async def test_a_refused_inbox_is_told_at_once(self) -> None:
        with NatsServer(config=self.CONFIG, token=False, durability="fast") as server:
            async with await connect(server.url, user="deaf", password="p", error_cb=_ignore) as client:
                for _ in range(2):
                    with pytest.raises(PermissionsError):
                        await client.jetstream().publish("ok", timeout=30)


def _ignore(error: Exception) -> None:
    pass


async def test_an_option_that_the_server_would_ignore_is_refused(
    nats_url: str, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with await connect(nats_url) as client:
        js = client.jetstream()
        monkeypatch.setattr(type(js.api), "level", 0)
        schedule = Schedule.every(1, target=f"{name}.a")
        for options in (
            {"ttl": 5},
            {"schedule": schedule},
            {"expected_last_subject_seq": 1, "expected_last_subject_seq_subject": name},
        ):
            with pytest.raises(ApiLevelError):
                await js.publish(name, **options)
            with pytest.raises(ApiLevelError):
                await js.publish_async(name, **options)
        assert client.stats.out_msgs == 0
