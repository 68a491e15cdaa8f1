from __future__ import annotations

import json
from typing import Any

import pytest
from tests.nats.jetstream.impostor import answering

from tidings.nats import ProtocolError
from tidings.nats.jetstream import Stream, StreamConfig, StreamInfo
from tidings.nats.jetstream.errors import JetStreamUnavailableError, MessageNotFoundError

WHOLE = {"subject": "s", "seq": 5, "data": "ZGF0YQ==", "time": "2026-01-02T03:04:05.123456789Z"}


def answer_of(message: Any) -> bytes:
    return json.dumps({"message": message}).encode()


async def test_a_message_as_the_api_gives_it(nats_url: str, name: str) -> None:
    headers = "TkFUUy8xLjANCks6IHYNCg0K"  # NATS/1.0, K: v
    async with answering(nats_url, name, lambda _: answer_of(WHOLE | {"hdrs": headers})) as client:
        stream = Stream(client.jetstream(prefix=name).api, StreamInfo(config=StreamConfig(name="S")))
        message = await stream.get_msg(5)
        assert (message.stream, message.subject, message.seq, message.data) == ("S", "s", 5, b"data")
        assert message.headers.pairs() == [("K", "v")]
        assert message.time is not None
        assert message.time.isoformat() == "2026-01-02T03:04:05.123456+00:00"


@pytest.mark.parametrize(
    "message",
    [
        None,
        5,
        [],
        {},
        {"subject": "s"},
        WHOLE | {"seq": "x"},
        WHOLE | {"data": "no base64!"},
        WHOLE | {"data": 5},
        WHOLE | {"hdrs": "eA=="},
        WHOLE | {"hdrs": "?"},
        WHOLE | {"time": "soon"},
        WHOLE | {"time": 5},
    ],
    ids=str,
)
async def test_what_is_no_message_is_a_protocol_error(nats_url: str, name: str, message: Any) -> None:
    async with answering(nats_url, name, lambda _: answer_of(message)) as client:
        stream = Stream(client.jetstream(prefix=name).api, StreamInfo(config=StreamConfig(name="S")))
        with pytest.raises(ProtocolError):
            await stream.get_msg(5)


async def test_errors_say_what_was_asked_for(nats_url: str, name: str) -> None:
    refusal = b'{"error":{"code":404,"err_code":10037,"description":"no message found"}}'
    async with answering(nats_url, f"{name}.STREAM", lambda _: refusal) as client:
        stream = Stream(client.jetstream(prefix=name).api, StreamInfo(config=StreamConfig(name="S")))
        with pytest.raises(MessageNotFoundError, match=r"^STREAM\.MSG\.GET\.S: no message found") as raised:
            await stream.get_msg(5)
        assert raised.value.request == "STREAM.MSG.GET.S"
        with pytest.raises(JetStreamUnavailableError, match=r"DIRECT\.GET\.S: .* has it allow_direct"):
            await stream.get_msg(5, direct=True)
