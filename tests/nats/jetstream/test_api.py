from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from tests.nats.jetstream.impostor import answering

from tidings.nats import ConnectionClosedError, Msg, ProtocolError, TimeoutError, connect
from tidings.nats.jetstream import Api
from tidings.nats.jetstream.api import REQUIRED_LEVEL
from tidings.nats.jetstream.errors import (
    ApiError,
    ApiLevelError,
    JetStreamUnavailableError,
    StreamNotFoundError,
)
from tidings.nats.server import NatsServer


class TestRequests:
    async def test_an_answer_is_its_json(self, nats_url: str) -> None:
        async with await connect(nats_url) as client:
            answer = await Api(client).request("INFO")
            assert answer["type"] == "io.nats.jetstream.api.v1.account_info_response"

    async def test_an_error_is_raised_as_its_type(self, nats_url: str, name: str) -> None:
        async with await connect(nats_url) as client:
            with pytest.raises(StreamNotFoundError, match="stream not found") as raised:
                await Api(client).request(f"STREAM.INFO.{name}")
            assert (raised.value.code, raised.value.err_code) == (404, 10059)

    async def test_no_answer_is_unavailable_and_says_where(self, nats_url: str) -> None:
        async with await connect(nats_url) as client:
            with pytest.raises(JetStreamUnavailableError, match=r"\$JS\.other\.API"):
                await Api(client, prefix="$JS.other.API").request("INFO")

    async def test_a_server_without_jetstream_is_unavailable(self) -> None:
        with NatsServer(jetstream=False) as server:
            async with await connect(server.url) as client:
                with pytest.raises(JetStreamUnavailableError, match="is JetStream on"):
                    await Api(client).request("INFO")

    async def test_a_late_answer_is_a_timeout(self, nats_url: str, name: str) -> None:
        async with await connect(nats_url) as client, await connect(nats_url) as silent:
            await silent.subscribe(f"{name}.>", cb=lambda message: None)
            await silent.flush()
            with pytest.raises(TimeoutError, match=r"0\.05 s"):
                await Api(client, prefix=name, timeout=0.05).request("INFO")
            with pytest.raises(TimeoutError, match=r"0\.02 s"):
                await Api(client, prefix=name).request("INFO", timeout=0.02)

    async def test_a_closed_client(self, nats_url: str) -> None:
        client = await connect(nats_url)
        await client.close()
        with pytest.raises(ConnectionClosedError):
            await Api(client).request("INFO")

    @pytest.mark.parametrize("data", [b"", b"no json", b"[]", b"null", b'"x"', b"\xff", b'{"a":'])
    async def test_an_answer_that_is_no_json_object(self, nats_url: str, name: str, data: bytes) -> None:
        async with answering(nats_url, name, lambda request: data) as client:
            with pytest.raises(ProtocolError, match="no JSON"):
                await Api(client, prefix=name).request("INFO")

    @pytest.mark.parametrize("error", [True, "text", [1], {"code": "x"}, {}])
    async def test_an_error_that_makes_no_sense(self, nats_url: str, name: str, error: Any) -> None:
        async with answering(nats_url, name, lambda _: json.dumps({"error": error}).encode()) as client:
            if not error:
                assert await Api(client, prefix=name).request("INFO") == {"error": error}
                return
            with pytest.raises(ApiError):
                await Api(client, prefix=name).request("INFO")

    async def test_the_body_is_sent_as_json_and_the_subject_below_the_prefix(
        self, nats_url: str, name: str
    ) -> None:
        asked: list[Msg] = []

        def answer(request: Msg) -> bytes:
            asked.append(request)
            return b"{}"

        async with answering(nats_url, name, answer) as client:
            api = Api(client, prefix=name)
            await api.request("STREAM.CREATE.X", {"a": [1, None]}, level=2)
            await api.request("INFO")
        assert [(request.subject, request.data) for request in asked] == [
            (f"{name}.STREAM.CREATE.X", b'{"a":[1,null]}'),
            (f"{name}.INFO", b""),
        ]
        assert asked[0].headers[REQUIRED_LEVEL] == "2"
        assert not asked[1].has_headers


class TestLevels:
    async def test_that_of_the_server_is_known(self, nats_url: str) -> None:
        async with await connect(nats_url) as client:
            assert Api(client).level >= 5

    async def test_what_needs_more_is_refused_before_it_is_sent(self, nats_url: str) -> None:
        async with await connect(nats_url) as client:
            api = Api(client)
            api.require(api.level, "this")
            with pytest.raises(ApiLevelError, match="that needs JetStream API level 99") as raised:
                api.require(99, "that")
            assert (raised.value.needed, raised.value.offered) == (99, api.level)

    async def test_the_one_who_answers_checks_it_too(self, nats_url: str) -> None:
        """The leader of the API may be an older server than the one that we are connected to."""
        async with await connect(nats_url) as client:
            with pytest.raises(ApiLevelError, match="level 99"):
                await Api(client).request("INFO", level=99)

    async def test_before_there_was_a_server_nothing_is_refused(self) -> None:
        client = await connect("nats://127.0.0.1:1", retry_on_failed_connect=True)
        Api(client).require(99, "that")
        await client.close()

    @pytest.mark.parametrize("level", [None, "5", True, [1]])
    async def test_a_server_that_says_nothing_of_use_has_level_0(
        self, nats_url: str, monkeypatch: pytest.MonkeyPatch, level: object
    ) -> None:
        async with await connect(nats_url) as client:
            monkeypatch.setattr(type(client), "server_info", {"api_lvl": level})
            assert Api(client).level == 0


class TestPages:
    @staticmethod
    def pager(total: int, size: int) -> Callable[[Msg], bytes]:
        def answer(request: Msg) -> bytes:
            offset = json.loads(request.data)["offset"]
            items = list(range(total))[offset : offset + size]
            return json.dumps({"items": items, "total": total, "offset": offset, "limit": size}).encode()

        return answer

    @pytest.mark.parametrize("total", [0, 1, 3, 6, 7])
    async def test_all_pages_are_asked_for(self, nats_url: str, name: str, total: int) -> None:
        async with answering(nats_url, name, self.pager(total, 3)) as client:
            pages = Api(client, prefix=name).pages("LIST", "items", {"subject": "x"})
            assert [item async for item in pages] == list(range(total))

    async def test_a_list_that_gets_shorter_meanwhile_ends(self, nats_url: str, name: str) -> None:
        answers = iter([b'{"items":[1,2],"total":9}', b'{"items":null,"total":9}'])
        async with answering(nats_url, name, lambda _: next(answers)) as client:
            assert [item async for item in Api(client, prefix=name).pages("LIST", "items")] == [1, 2]

    @pytest.mark.parametrize("data", [b'{"items":5,"total":1}', b'{"items":[1],"total":"x"}'])
    async def test_what_is_no_page(self, nats_url: str, name: str, data: bytes) -> None:
        async with answering(nats_url, name, lambda _: data) as client:
            with pytest.raises(ProtocolError, match="no list"):
                _ = [item async for item in Api(client, prefix=name).pages("LIST", "items")]
