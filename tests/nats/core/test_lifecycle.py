"""The states of a connection, and what is called when they change."""

from __future__ import annotations

import asyncio
import itertools
from typing import Any

import pytest
from tests.nats.core.gathering import Gathered, eventually, leaves_nothing
from tests.proxy import Proxy

from tidings.nats import (
    Msg,
    connect,
)
from tidings.nats.core.reconnect import TRANSITIONS, Lifecycle, Move, State, draw_states

QUICK: dict[str, Any] = {
    "reconnect_time_wait": 0.005,
    "reconnect_jitter": 0.001,
    "max_reconnect_attempts": -1,
}


class TestStates:
    @pytest.mark.parametrize(("state", "move"), list(itertools.product(State, Move)))
    def test_every_move_from_every_state(self, state: State, move: Move) -> None:
        life = Lifecycle()
        life.state = state
        allowed = (state, move) in TRANSITIONS
        assert life.move(move) is allowed
        assert life.state is (TRANSITIONS[state, move] if allowed else state)

    def test_the_table(self) -> None:
        told = {(state.value, move.value): target.value for (state, move), target in TRANSITIONS.items()}
        assert told == {
            ("connecting", "established"): "connected",
            ("connecting", "failed"): "closed",
            ("connecting", "retry"): "reconnecting",
            ("connecting", "close"): "closed",
            ("connected", "lost"): "reconnecting",
            ("connected", "failed"): "closed",
            ("connected", "drain"): "draining",
            ("connected", "close"): "closed",
            ("reconnecting", "established"): "connected",
            ("reconnecting", "failed"): "closed",
            ("reconnecting", "drain"): "draining",
            ("reconnecting", "close"): "closed",
            ("draining", "established"): "draining",
            ("draining", "lost"): "draining",
            ("draining", "drained"): "closed",
            ("draining", "close"): "closed",
        }

    def test_it_begins_with_connecting(self) -> None:
        assert Lifecycle().state is State.CONNECTING

    def test_closed_is_the_end(self) -> None:
        assert not any(state is State.CLOSED for state, _ in TRANSITIONS)

    def test_every_state_can_be_closed(self) -> None:
        for state in State:
            assert state is State.CLOSED or TRANSITIONS[state, Move.CLOSE] is State.CLOSED

    def test_every_state_can_be_reached(self) -> None:
        assert set(TRANSITIONS.values()) | {State.CONNECTING} == set(State)

    def test_the_drawing_shows_every_move(self) -> None:
        drawing = draw_states()
        for (state, move), target in TRANSITIONS.items():
            assert f"    {state.value} --> {target.value}: {move.value}\n" in drawing


class TestCallbacks:
    @pytest.mark.parametrize("kind", ["plain", "async"])
    async def test_each_is_called_once_an_occasion(self, nats_url: str, kind: str) -> None:
        events = Gathered()

        def callback(name: str) -> Any:
            async def by_await() -> None:
                await asyncio.sleep(0)
                events(name)

            return by_await if kind == "async" else lambda: events(name)

        async with leaves_nothing(), Proxy(nats_url) as proxy:
            client = await connect(
                proxy.url,
                disconnected_cb=callback("disconnected"),
                reconnected_cb=callback("reconnected"),
                closed_cb=callback("closed"),
                **QUICK,
            )
            assert not events
            proxy.cut()
            await events.reach(2)
            await client.close()
            assert events == ["disconnected", "reconnected", "closed"]

    @pytest.mark.parametrize("kind", ["plain", "async"])
    async def test_their_errors_are_reported_and_break_nothing(self, nats_url: str, kind: str) -> None:
        errors = Gathered()

        def failing(name: str) -> Any:
            async def by_await() -> None:
                raise LookupError(name)

            def plain() -> None:
                raise LookupError(name)

            return by_await if kind == "async" else plain

        async with leaves_nothing(), Proxy(nats_url) as proxy:
            client = await connect(
                proxy.url,
                error_cb=errors,
                disconnected_cb=failing("disconnected"),
                reconnected_cb=failing("reconnected"),
                closed_cb=failing("closed"),
                **QUICK,
            )
            proxy.cut()
            await errors.reach(2)
            await client.flush()
            await client.close()
            assert [str(error) for error in errors] == ["disconnected", "reconnected", "closed"]

    async def test_an_error_callback_that_fails_is_logged(
        self, nats_url: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        def fail(error: Exception) -> None:
            raise KeyError("the callback itself")

        async with leaves_nothing():
            client = await connect(nats_url, error_cb=fail)
            done = Gathered()

            def handle(message: Msg) -> None:
                done(message)
                raise LookupError("first")

            await client.subscribe("fails", cb=handle)
            for _ in range(2):
                await client.publish("fails")
            await done.reach(2)
            await client.close()
        texts = [record.getMessage() for record in caplog.records if record.name == "tidings.nats"]
        assert len(texts) == 2
        assert "the error callback failed on LookupError: first" in texts[0]

    @pytest.mark.parametrize("move", ["close", "drain"])
    async def test_they_may_end_the_client(self, nats_url: str, move: str) -> None:
        closed = Gathered()
        async with leaves_nothing(), Proxy(nats_url) as proxy:

            async def end() -> None:
                await getattr(client, move)()

            client = await connect(proxy.url, reconnected_cb=end, closed_cb=closed, **QUICK)
            proxy.cut()
            await closed.reach()
            await eventually(lambda: client._closed.done())
            assert client.is_closed

    async def test_one_that_hangs_does_not_hold_up_the_way_back(self, nats_url: str) -> None:
        back = Gathered()

        async def hang() -> None:
            await asyncio.get_running_loop().create_future()

        async with Proxy(nats_url) as proxy:
            client = await connect(proxy.url, disconnected_cb=hang, reconnected_cb=back, **QUICK)
            proxy.cut()
            await back.reach()
            await client.flush()
            for task in client._callbacks._tasks:
                task.cancel()
            await client.close()
