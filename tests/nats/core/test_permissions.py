"""An account that may little, with inboxes of its own; and refusals, told to whom they concern."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from tests.nats.core.gathering import Gathered, eventually

from tidings.nats import Client, Error, Msg, PermissionsError, connect, events
from tidings.nats.server import NatsServer

CONFIG = """
accounts {
  A {
    users = [
      { user: boss, password: b }
      { user: clerk, password: c, permissions: {
          publish: ["ask.>", "in.clerk.>", "mine"]
          subscribe: ["mine", "work q", "in.clerk.>"]
      } }
    ]
  }
}
"""


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with NatsServer(token=False, config=CONFIG, jetstream=False) as server:
        yield f"{server.host}:{server.port}"


async def clerk(address: str, **options: Any) -> Client:
    return await connect(f"nats://clerk:c@{address}", inbox_prefix="in.clerk", **options)


async def boss(address: str) -> Client:
    """Somebody who may everything, and answers three times to ``ask.>``."""
    client = await connect(f"nats://boss:b@{address}")

    async def answer(message: Msg) -> None:
        for text in ("1", "2", ""):
            await message.respond(text)

    await client.subscribe("ask.>", cb=answer)
    await client.flush()
    return client


async def test_everything_works_within_what_is_allowed(address: str) -> None:
    errors, handled = Gathered(), Gathered()
    async with await boss(address), await clerk(address, error_cb=errors) as client:
        stream = client.events()
        assert (await client.request("ask.me", timeout=20)).data == b"1"
        assert (await client.request("ask.me", timeout=20, old_style=True)).data == b"1"
        replies = [reply.data async for reply in client.request_many("ask.me", timeout=20)]
        assert replies == [b"1", b"2"]
        await client.subscribe("mine", cb=handled)
        await client.subscribe("work", "q", cb=handled)
        await client.publish("mine", b"x")
        await client.drain()
        assert handled.data == [b"x"]
        assert [event async for event in stream] == [events.Closed(None)]
    assert errors == []


@pytest.mark.parametrize(("subject", "queue"), [("theirs", ""), ("theirs", "q"), ("work", "other")])
@pytest.mark.parametrize("how", ["next_msg", "iterator", "callback"])
async def test_a_subscription_that_is_refused(address: str, subject: str, queue: str, how: str) -> None:
    errors = Gathered()
    async with await clerk(address, error_cb=errors) as client:
        allowed = await client.subscribe("mine")
        sub = await client.subscribe(subject, queue, cb=print if how == "callback" else None)
        if how == "next_msg":
            with pytest.raises(PermissionsError) as caught:
                await sub.next_msg(20)
            assert caught.value is sub.failure
        elif how == "iterator":
            with pytest.raises(PermissionsError):
                async for _ in sub:
                    pass
        failure = await sub.closed()
        assert isinstance(failure, PermissionsError)
        assert (failure.operation, failure.subject) == ("subscription", subject)
        assert failure.queue_group == queue
        assert await errors.reach() == [failure]
        assert isinstance(client.last_error, PermissionsError)
        await client.publish("mine", b"on")
        assert (await allowed.next_msg(20)).data == b"on"
        assert not allowed.is_closed


async def test_only_the_group_that_is_refused(address: str) -> None:
    async with await clerk(address, error_cb=Gathered()) as client:
        member = await client.subscribe("work", "q")
        for group in ("other", ""):
            stranger = await client.subscribe("work", group)
            assert await stranger.closed() is not None
            assert not member.is_closed


async def test_a_publish_that_is_refused(address: str) -> None:
    errors = Gathered()
    async with await clerk(address, error_cb=errors) as client:
        sub = await client.subscribe("mine")
        await client.publish("theirs", b"x")
        (error,) = await errors.reach()
        assert isinstance(error, PermissionsError)
        assert (error.operation, error.subject, error.queue_group) == ("publish", "theirs", "")
        await client.flush()
        assert client.is_connected
        assert not sub.is_closed


@pytest.mark.parametrize("style", ["shared", "old", "many"])
@pytest.mark.parametrize("what", ["request", "inbox"])
async def test_a_request_that_is_refused_need_not_wait(address: str, style: str, what: str) -> None:
    prefix = "in.clerk" if what == "request" else "in.other"
    subject = "theirs" if what == "request" else "ask.silent"
    client = await connect(f"nats://clerk:c@{address}", inbox_prefix=prefix, error_cb=Gathered())
    async with client, await connect(f"nats://boss:b@{address}") as silent:
        await silent.subscribe("ask.silent")
        await silent.flush()
        for _ in range(2):
            if style == "many":
                asking: Any = anext(client.request_many(subject, timeout=None))
            else:
                asking = client.request(subject, timeout=None, old_style=style == "old")
            with pytest.raises(PermissionsError):
                await asking
        await client.flush()
        assert client.is_connected


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('Permissions Violation for Subscription to "a.b" using queue "q"', ("subscription", "a.b", "q")),
        ('Permissions Violation for Subscription to "a.>"', ("subscription", "a.>", "")),
        ('permissions violation for publish to "a"', ("publish", "a", "")),
        ("Permissions Violation", ("", "", "")),
    ],
)
def test_what_the_text_says(text: str, said: tuple[str, str, str]) -> None:
    error = PermissionsError(text)
    assert (error.operation, error.subject, error.queue_group) == said
    assert isinstance(error, Error)
    assert str(error) == text


async def test_a_violation_of_nothing_we_know(address: str) -> None:
    async with await clerk(address, error_cb=Gathered()) as client:
        sub = await client.subscribe("mine")
        client._refuse(PermissionsError("Permissions Violation"))
        assert not sub.is_closed
        await eventually(lambda: client.is_connected)
