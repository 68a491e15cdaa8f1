from __future__ import annotations

import asyncio
import inspect
import subprocess
import sys
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from tidings.nats import Client, connect
from tidings.nats import jetstream as package
from tidings.nats.jetstream import ContextOptions, JetStream, JetStreamOptions
from tidings.nats.jetstream.errors import (
    BadNameError,
    ConfigError,
    JetStreamUnavailableError,
    NotEnabledError,
)
from tidings.nats.server import NatsServer
from tidings.nats.server.readiness import free_port


class TestMakingOne:
    async def test_it_is_made_of_a_client_without_asking_anybody(self) -> None:
        with NatsServer(jetstream=False) as server:
            async with await connect(server.url) as client:
                js = client.jetstream(timeout=2.0)
                assert isinstance(js, JetStream)
                assert js.connection is client
                assert js.api.timeout == 2.0
                assert repr(js) == "<JetStream at $JS.API>"

    @pytest.mark.parametrize(
        ("options", "prefix"),
        [
            ({}, "$JS.API"),
            ({"domain": "hub"}, "$JS.hub.API"),
            ({"prefix": "other.API"}, "other.API"),
            ({"prefix": "other.API."}, "other.API"),
        ],
    )
    def test_where_the_api_is(self, options: dict[str, Any], prefix: str) -> None:
        assert JetStreamOptions(**options).api_prefix == prefix

    @pytest.mark.parametrize(
        ("options", "text"),
        [
            ({"domain": "a", "prefix": "b"}, "domain and prefix"),
            ({"domain": ""}, "domain is one token"),
            ({"domain": "a.b"}, "domain is one token"),
            ({"domain": "a b"}, "domain is one token"),
            ({"domain": "*"}, "domain is one token"),
            ({"domain": 5}, "domain is one token"),
            ({"prefix": ""}, "prefix is empty"),
            ({"prefix": "a.>"}, "wildcard"),
            ({"prefix": "a b"}, "white space"),
            ({"prefix": "a..b"}, "empty token"),
            ({"timeout": 0}, "timeout is a number above 0"),
            ({"timeout": -1}, "timeout"),
            ({"timeout": None}, "timeout"),
            ({"timeout": "5"}, "timeout"),
            ({"timeout": float("nan")}, "timeout"),
            ({"publish_async_max_pending": 0}, "publish_async_max_pending"),
            ({"publish_async_stall_wait": -1}, "publish_async_stall_wait"),
            ({"publish_async_ack_timeout": 0}, "publish_async_ack_timeout"),
            ({"publish_async_err_handler": 5}, "publish_async_err_handler"),
        ],
    )
    def test_options_that_cannot_work_are_refused(self, options: dict[str, Any], text: str) -> None:
        with pytest.raises(ConfigError, match=text):
            JetStreamOptions(**options)

    async def test_an_option_there_is_not(self, nats_url: str) -> None:
        async with await connect(nats_url) as client:
            with pytest.raises(TypeError, match="domian"):
                client.jetstream(domian="hub")  # type: ignore[call-arg]

    def test_the_options_are_declared_alike_for_type_checkers(self) -> None:
        assert [item.name for item in fields(JetStreamOptions)] == list(ContextOptions.__annotations__)
        assert {item.name: item.type for item in fields(JetStreamOptions)} == {
            name: hint.__forward_arg__ for name, hint in ContextOptions.__annotations__.items()
        }


class TestDomains:
    async def test_a_domain_behind_a_leaf_node(self, tmp_path: Path) -> None:
        port = free_port()
        hub_config = (
            f"jetstream: {{ domain: hub, store_dir: '{tmp_path / 'hub'}' }}\n"
            f"leafnodes: {{ listen: '127.0.0.1:{port}', authorization: {{ user: l, password: p }} }}\n"
        )
        with NatsServer(durability="fast", config=hub_config) as hub:
            leaf_config = (
                f"jetstream: {{ domain: leaf, store_dir: '{tmp_path / 'leaf'}' }}\n"
                f"leafnodes: {{ remotes: [{{ url: 'nats://l:p@127.0.0.1:{port}' }}] }}\n"
            )
            with NatsServer(durability="fast", config=leaf_config) as leaf:
                async with await connect(hub.url) as there, await connect(leaf.url) as here:
                    await there.jetstream().create_stream(name="AT_HUB", subjects=["hub.>"])
                    assert (await here.jetstream().account_info()).domain == "leaf"
                    assert (await until_reached(here, "hub")).domain == "hub"
                    names = [name async for name in here.jetstream(domain="hub").stream_names()]
                    assert names == ["AT_HUB"]
                    stream = await here.jetstream(domain="hub").stream("AT_HUB")
                    assert stream.cached_info.config.subjects == ["hub.>"]

    async def test_a_domain_that_nobody_has(self, nats_url: str) -> None:
        async with await connect(nats_url) as client:
            with pytest.raises(JetStreamUnavailableError, match="domain"):
                await client.jetstream(domain="nowhere").account_info()

    async def test_an_account_without_jetstream(self) -> None:
        config = (
            "accounts: {\n"
            "  A: { users: [{ user: a, password: a }] }\n"
            "  B: { jetstream: enabled, users: [{ user: b, password: b }] }\n"
            "}\n"
        )
        with NatsServer(token=False, config=config) as server:
            async with await connect(server.url, user="a", password="a") as client:
                with pytest.raises((NotEnabledError, JetStreamUnavailableError)):
                    await client.jetstream().account_info()

    async def test_an_api_that_another_account_exports_under_a_prefix(self) -> None:
        config = """
        accounts: {
          OWNER: {
            jetstream: enabled
            users: [{ user: owner, password: owner }]
            exports: [{ service: "$JS.API.>", response: stream }]
          }
          GUEST: {
            users: [{ user: guest, password: guest }]
            imports: [{ service: { account: OWNER, subject: "$JS.API.>" }, to: "owners.API.>" }]
          }
        }
        """
        with NatsServer(token=False, durability="fast", config=config) as server:
            async with (
                await connect(server.url, user="owner", password="owner") as owner,
                await connect(server.url, user="guest", password="guest") as guest,
            ):
                await owner.jetstream().create_stream(name="S", subjects=["s"])
                stream = await guest.jetstream(prefix="owners.API").stream("S")
                assert stream.name == "S"


async def test_a_user_who_may_listen_below_an_inbox_of_its_own_only() -> None:
    config = """
    accounts: { A: { jetstream: enabled, users: [
      { user: one, password: one, permissions: {
          publish: ["$JS.API.>", "$JS.SNAPSHOT.>", "s.>"], subscribe: ["_MINE.>"] } }
    ] } }
    """
    errors: list[Exception] = []
    with NatsServer(token=False, durability="fast", config=config) as server:
        async with await connect(
            server.url, user="one", password="one", inbox_prefix="_MINE", error_cb=errors.append
        ) as client:
            js = client.jetstream()
            stream = await js.create_stream(name="S", subjects=["s.>"], allow_direct=True)
            await client.request("s.a", b"x")
            assert (await stream.get_msg(1)).data == b"x"
            assert [message.seq async for message in stream.get_batch(5)] == [1]
            assert [message.seq async for message in stream.get_last_msgs(["s.>"])] == [1]
            async with await stream.snapshot() as snapshot:
                chunks = [chunk async for chunk in snapshot]
            await js.delete_stream("S")
            await js.restore_stream(snapshot.config, snapshot.state, chunks)
            assert (await js.create_consumer("S", durable_name="w")).cached_info.num_pending == 1
            assert [name async for name in js.stream_names()] == ["S"]
        assert errors == []


async def test_it_goes_on_after_the_server_was_restarted(nats_server: NatsServer) -> None:
    back = asyncio.Event()
    async with await connect(
        nats_server.url, reconnect_time_wait=0.05, reconnected_cb=back.set, error_cb=lambda error: None
    ) as client:
        js = client.jetstream(timeout=20.0)
        stream = await js.create_stream(name="S", subjects=["s"], metadata={"a": "b"})
        await client.request("s", b"x", 10.0)
        await stream.create_consumer(durable_name="w")
        await asyncio.to_thread(nats_server.restart)
        await back.wait()
        assert (await stream.info()).config == stream.cached_info.config
        assert (await stream.get_msg(1)).data == b"x"
        assert (await stream.consumer_info("w")).num_pending == 1


async def until_reached(client: Client, domain: str) -> Any:
    """The account of `domain`, once the leaf node is connected to it."""
    while True:
        try:
            return await client.jetstream(domain=domain).account_info()
        except JetStreamUnavailableError:
            await client.flush()  # its round trip is the pause


def test_the_client_alone_does_not_load_it() -> None:
    code = "import sys, tidings.nats; assert not [n for n in sys.modules if 'jetstream' in n]"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_every_public_name_is_there_once_and_documented() -> None:
    names = package.__all__
    assert len(names) == len(set(names))
    for name in names:
        value = getattr(package, name)
        assert not inspect.isclass(value) or value.__doc__, name


def test_bad_names_are_config_errors() -> None:
    with pytest.raises(BadNameError):
        JetStreamOptions(domain="a.b")
