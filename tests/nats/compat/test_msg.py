"""Messages that programs make themselves, as their tests do, with a client or what stands for one."""

from __future__ import annotations

from typing import Any
from unittest.mock import AsyncMock

import pytest
from tests.nats.compat.conftest import Door

ACK_SUBJECT = "$JS.ACK.S.C.1.2.3.1700000000000000000.4"


def _made(door: Door, client: Any, **fields: Any) -> Any:
    return door.module("aio.msg").Msg(client, **fields)


def test_its_fields_are_what_was_given(door: Door) -> None:
    msg = _made(door, None, subject="a", reply="b", data=b"c", headers={"D": "e"})
    assert (msg.subject, msg.reply, msg.data, msg.headers) == ("a", "b", b"c", {"D": "e"})
    assert msg.header == msg.headers


def test_what_is_left_out_is_empty(door: Door) -> None:
    msg = door.module("aio.msg").Msg(_client=None)
    assert (msg.subject, msg.reply, msg.data, msg.headers) == ("", "", b"", None)


async def test_respond_publishes_through_its_client(door: Door) -> None:
    client = AsyncMock()
    await _made(door, client, reply="back").respond(b"answer")
    client.publish.assert_awaited_once()
    assert client.publish.await_args.args[:2] == ("back", b"answer")


async def test_nobody_to_respond_to_is_an_error(door: Door) -> None:
    with pytest.raises(door.errors.Error, match="no reply subject available"):
        await _made(door, AsyncMock()).respond(b"answer")
    with pytest.raises(door.errors.Error, match="client not set"):
        await _made(door, None, reply="back").respond(b"answer")


@pytest.mark.parametrize("method", ["ack", "nak", "term"])
async def test_it_is_settled_once(door: Door, method: str) -> None:
    client = AsyncMock()
    msg = _made(door, client, reply=ACK_SUBJECT)
    assert not msg.is_acked
    await getattr(msg, method)()
    assert msg.is_acked
    assert client.publish.await_args.args[0] == ACK_SUBJECT
    with pytest.raises(door.errors.MsgAlreadyAckdError, match="nats: message was already acknowledged"):
        await msg.ack()
    client.publish.assert_awaited_once()


async def test_progress_is_told_as_often_as_wanted(door: Door) -> None:
    client = AsyncMock()
    msg = _made(door, client, reply=ACK_SUBJECT)
    for _ in range(2):
        await msg.in_progress()
    assert client.publish.await_count == 2
    assert not msg.is_acked


async def test_ack_sync_gives_the_answer(door: Door) -> None:
    client = AsyncMock()
    msg = _made(door, client, reply=ACK_SUBJECT)
    assert await msg.ack_sync(timeout=2) is client.request.return_value
    assert msg.is_acked


async def test_a_message_of_no_stream_cannot_be_settled(door: Door) -> None:
    msg = _made(door, AsyncMock(), subject="a")
    for settle in (msg.ack, msg.nak, msg.term, msg.in_progress, msg.ack_sync):
        with pytest.raises(door.errors.NotJSMessageError, match="nats: not a JetStream message"):
            await settle()
    with pytest.raises(door.errors.NotJSMessageError):
        msg.metadata  # noqa: B018


def test_metadata(door: Door) -> None:
    metadata = _made(door, None, reply=ACK_SUBJECT).metadata
    assert (metadata.stream, metadata.consumer, metadata.num_delivered, metadata.num_pending) == (
        "S",
        "C",
        1,
        4,
    )
    assert (metadata.sequence.stream, metadata.sequence.consumer) == (2, 3)
    assert metadata.timestamp.year == 2023
