"""App: the order of a life, and what a failure leaves behind."""

import asyncio
import logging
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Annotated

import pytest

from tidings.app import App
from tidings.brokers.nats import NatsBroker
from tidings.messaging.broker import Broker, BrokerOptions
from tidings.messaging.context import ContextRepo
from tidings.messaging.errors import (
    BrokerConnectionError,
    ConnectionLostError,
    ContextError,
    NotConnectedError,
    OptionError,
    SetupError,
)
from tidings.messaging.params import Context, Depends, Header, Logger, Path
from tidings.nats.server import NatsServer


class FakeBroker:
    """Writes what is asked of it to a list, and fails where it is told to."""

    def __init__(self, calls: list[str], name: str = "broker", fails: str = "") -> None:
        self.calls, self.name, self.fails = calls, name, fails

    async def start(self) -> None:
        self._step("start")

    async def drain(self) -> None:
        """Nothing is delivered to it."""

    async def stop(self) -> None:
        self._step("stop")

    def _step(self, step: str) -> None:
        self.calls.append(f"{self.name} {step}")
        if step == self.fails:
            raise OSError(f"{self.name} cannot {step}")


def recorder(calls: list[str], name: str, fails: bool = False) -> Callable[[], None]:
    def hook() -> None:
        calls.append(name)
        if fails:
            raise ValueError(name)

    return hook


def recorded_app(*brokers: FakeBroker, calls: list[str], failing: str = "") -> App:
    """An App that writes each step of its life to `calls`; the hook `failing` raises."""

    @asynccontextmanager
    async def lifespan() -> AsyncIterator[None]:
        calls.append("enter")
        try:
            yield
        finally:
            calls.append("exit")

    hooks = {
        name: [recorder(calls, name, fails=name == failing)]
        for name in ("on_startup", "after_startup", "on_shutdown", "after_shutdown")
    }
    return App(*brokers, lifespan=lifespan, **hooks)


START = ["enter", "on_startup", "a start", "b start", "after_startup"]
STOP = ["on_shutdown", "b stop", "a stop", "after_shutdown", "exit"]


async def test_life_of_two_brokers_in_order() -> None:
    calls: list[str] = []
    async with recorded_app(FakeBroker(calls, "a"), FakeBroker(calls, "b"), calls=calls):
        assert calls == START
    assert calls == START + STOP


@pytest.mark.parametrize(
    ("failing", "done"),
    [
        ("on_startup", [*START[:2], "on_shutdown", "after_shutdown", "exit"]),
        ("after_startup", START + STOP),
    ],
)
async def test_a_hook_that_fails_the_start(failing: str, done: list[str]) -> None:
    calls: list[str] = []
    app = recorded_app(FakeBroker(calls, "a"), FakeBroker(calls, "b"), calls=calls, failing=failing)
    with pytest.raises(ValueError, match=failing):
        await app.start()
    assert calls == done


async def test_a_broker_that_fails_the_start_is_stopped_with_those_before_it() -> None:
    calls: list[str] = []
    brokers = [FakeBroker(calls, "a"), FakeBroker(calls, "b", "start"), FakeBroker(calls, "c")]
    with pytest.raises(OSError, match="b cannot start"):
        await recorded_app(*brokers, calls=calls).run()
    assert calls == [*START[:4], *STOP]


async def test_every_step_of_the_stop_is_taken_whatever_fails() -> None:
    calls: list[str] = []
    brokers = [FakeBroker(calls, "a"), FakeBroker(calls, "b", fails="stop")]
    app = recorded_app(*brokers, calls=calls, failing="on_shutdown")
    await app.start()
    with pytest.raises(OSError, match="b cannot stop"):
        await app.stop()
    assert calls == START + STOP


async def test_an_app_starts_again_after_a_stop_and_after_a_failed_start() -> None:
    calls: list[str] = []
    broker = FakeBroker(calls, fails="start")
    app = App(broker)
    with pytest.raises(OSError, match="cannot start"):
        await app.start()
    broker.fails = ""
    for _ in range(2):
        async with app:
            pass
    assert calls == ["broker start", "broker stop"] * 3


async def test_a_failed_start_is_raised_although_the_lifespan_suppresses_it() -> None:
    @asynccontextmanager
    async def lifespan() -> AsyncIterator[None]:
        with suppress(OSError):
            yield

    with pytest.raises(OSError, match="cannot start"):
        await App(FakeBroker([], fails="start"), lifespan=lifespan).start()


async def test_starting_twice_is_refused() -> None:
    async with App(FakeBroker([])) as app:
        with pytest.raises(RuntimeError, match="already running"):
            await app.start()
        with pytest.raises(RuntimeError, match="add brokers before"):
            app.add_broker(FakeBroker([]))


async def test_hooks_are_added_by_decorators_too_and_may_be_async() -> None:
    calls: list[str] = []
    app = App(on_startup=[recorder(calls, "first")])

    @app.on_startup
    async def second() -> None:
        await asyncio.sleep(0)
        calls.append("second")

    @app.after_startup
    def third() -> None:
        calls.append("third")

        @app.after_shutdown  # later than the start, and still in time
        def last() -> None:
            calls.append("last")

    async with app:
        pass
    assert calls == ["first", "second", "third", "last"]


async def test_exit_ends_run_from_a_hook_and_from_another_thread() -> None:
    calls: list[str] = []
    app = App(FakeBroker(calls))

    @app.after_startup
    def leave() -> None:
        threading.Thread(target=app.exit).start()

    await app.run()
    app._after_startup = [app.exit]
    await app.run()
    app.exit()  # nothing runs: nothing happens
    assert calls == ["broker start", "broker stop"] * 2


async def test_cancelling_run_stops_the_app() -> None:
    calls: list[str] = []
    started = asyncio.Event()
    running = asyncio.create_task(App(FakeBroker(calls), after_startup=[started.set]).run())
    await started.wait()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert calls == ["broker start", "broker stop"]


async def test_a_lifespan_may_hold_a_task_group() -> None:
    """Enter and exit happen in one task, as task groups and timeouts demand."""
    ticks: list[str] = []

    @asynccontextmanager
    async def lifespan() -> AsyncIterator[None]:
        async with asyncio.TaskGroup() as group:
            group.create_task(asyncio.sleep(0, ticks.append("tick")))
            yield

    app = App(lifespan=lifespan)
    app.after_startup(app.exit)
    await app.run()
    assert ticks == ["tick"]


async def test_start_and_stop_are_logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "tidings")
    async with App():
        pass
    assert [record.message for record in caplog.records] == [
        "app starting…",
        "app started, press CTRL+C to exit",
        "app stopping…",
        "app stopped",
    ]
    caplog.clear()
    async with App(logger=None):
        pass
    assert not caplog.records


async def test_hooks_and_lifespan_get_what_needs_no_message() -> None:
    got: dict[str, object] = {}

    def number() -> int:
        return 7

    @asynccontextmanager
    async def lifespan(context: ContextRepo) -> AsyncIterator[None]:
        context.set_global("model", "a model")
        yield

    broker = FakeBroker([])
    app = App(broker, lifespan=lifespan, context=ContextRepo({"settings": {"user": "me"}}))

    @app.on_startup
    def everything(
        app: App,
        broker: FakeBroker,
        logger: Logger,
        model: Annotated[str, Context()],
        user: str = Context("settings.user"),
        *,
        number: int = Depends(number),
    ) -> None:
        got.update(app=app, broker=broker, logger=logger, model=model, user=user, number=number)

    async with app:
        pass
    logger = got.pop("logger")
    assert isinstance(logger, logging.Logger)
    assert got == {"app": app, "broker": broker, "model": "a model", "user": "me", "number": 7}


def needs_a_value(message_body: str) -> None: ...
def needs_a_header(tenant: Annotated[str, Header()]) -> None: ...
def needs_an_id(id: Annotated[str, Context("message.correlation_id")]) -> None: ...
def needs_a_part(part: Annotated[str, Path()]) -> None: ...
def needs_a_setting(setting: Annotated[str, Context()]) -> None: ...


@pytest.mark.parametrize(
    ("hook", "error", "said"),
    [
        (needs_a_value, OptionError, "needs_a_value asks for 'message_body', and no option of that name"),
        (needs_a_header, ContextError, "hooks are called without one"),
        (needs_an_id, ContextError, "hooks are called without one"),
        (needs_a_part, SetupError, "no named parts"),
        (needs_a_setting, ContextError, "there is no 'setting' in the context"),
    ],
)
async def test_a_hook_that_asks_for_what_is_not_there(hook, error, said) -> None:
    with pytest.raises(error, match=said):
        await App(on_startup=[hook]).start()


async def test_handlers_find_the_context_of_the_app_behind_their_brokers_own() -> None:
    class NoAdapter:
        """Nothing is connected in this test."""

    broker = Broker(NoAdapter(), BrokerOptions(context=ContextRepo({"both": "broker's"})))
    app = App(broker, context=ContextRepo({"both": "app's", "one": {"level": 1}}))
    assert broker.context.resolve("both") == "broker's"
    assert broker.context.resolve("one.level") == 1
    assert broker.context.get("none", "default") == "default"
    broker.context.set_global("one", "broker's")
    assert broker.context.get("one") == "broker's"
    assert app.context.get("one") == {"level": 1}
    broker.context.reset_global("one")
    assert broker.context.get("one") == {"level": 1}
    with pytest.raises(ContextError, match="'none'"):
        broker.context.resolve("none")


async def test_a_handler_ends_the_app_with_all_that_was_delivered_handled(nats_url: str) -> None:
    broker = NatsBroker(nats_url, logger=None)
    app = App(broker, logger=None)
    handled: list[int] = []

    @broker.subscriber("app.numbers")
    async def handle(number: int) -> None:
        handled.append(number)
        app.exit()

    @app.after_startup
    async def publish() -> None:
        for number in range(100):
            await broker.publish(number, "app.numbers")
        await broker.client.flush()

    await app.run()
    assert handled == list(range(100))
    with pytest.raises(NotConnectedError):
        broker.client  # noqa: B018 the question is whether it raises


async def test_one_service_between_two_real_brokers(nats_url: str) -> None:
    source, sink = NatsBroker(nats_url, logger=None), NatsBroker(nats_url, logger=None)
    app = App(source, sink, logger=None)
    got: list[str] = []

    @source.subscriber("app.in")
    async def pass_on(text: str, prefix: Annotated[str, Context()]) -> None:
        await sink.publish(prefix + text, "app.out")

    @sink.subscriber("app.out")
    async def receive(text: str) -> None:
        got.append(text)
        app.exit()

    @app.on_startup
    def set_prefix(context: ContextRepo) -> None:
        context.set_global("prefix", "so ")

    @app.after_startup
    async def begin(one: NatsBroker) -> None:
        await one.publish("it goes", "app.in")

    await app.run()
    assert got == ["so it goes"]


async def test_a_start_that_fails_leaves_no_broker_connected(nats_url: str) -> None:
    up = NatsBroker(nats_url, logger=None)
    down = NatsBroker("nats://127.0.0.1:1", connect_attempts=1, logger=None)
    with pytest.raises(BrokerConnectionError, match=r"127\.0\.0\.1:1"):
        await App(up, down, logger=None).start()
    with pytest.raises(NotConnectedError):
        up.client  # noqa: B018 the question is whether it raises


async def test_handlers_of_one_broker_publish_to_another_until_they_are_done(nats_url: str) -> None:
    first, second, collector = NatsBroker(nats_url), NatsBroker(nats_url), NatsBroker(nats_url)
    entered, release, collected = asyncio.Event(), asyncio.Event(), []

    @first.subscriber("between.in")
    async def forward(x: int) -> None:
        entered.set()
        await release.wait()
        await second.publish(x, "between.out")

    @collector.subscriber("between.out")
    async def collect(x: int) -> None:
        collected.append(x)

    await collector.start()
    app = App(first, second)
    await app.start()
    for number in range(20):
        await first.publish(number, "between.in")
    await first.client.flush()
    await asyncio.wait_for(entered.wait(), 10)
    stopping = asyncio.ensure_future(app.stop())
    release.set()
    await asyncio.wait_for(stopping, 20)
    await collector.client.flush()
    await collector.stop()
    assert collected == list(range(20))


async def test_a_connection_that_is_lost_for_good_ends_the_run() -> None:
    """So that whoever looks after the process can start it again."""
    calls: list[str] = []
    with NatsServer() as server:
        closed = asyncio.Event()
        broker = NatsBroker(
            server.url,
            max_reconnect_attempts=1,
            reconnect_time_wait=0.01,
            closed_cb=closed.set,
            logger=None,
        )
        app = App(FakeBroker(calls), broker, on_shutdown=[recorder(calls, "on_shutdown")], logger=None)

        @broker.subscriber("lost")
        async def handle(body: bytes) -> None: ...

        @app.after_startup
        async def lose() -> None:
            await asyncio.to_thread(server.stop)

        with pytest.raises(ConnectionLostError, match=f"{server.port} is lost for good: "):
            await asyncio.wait_for(app.run(), 30)
    assert calls == ["broker start", "on_shutdown", "broker stop"]
    assert closed.is_set()
    assert broker.adapter.on_lost is None
    assert not broker.is_connected


async def test_a_client_closed_behind_the_apps_back_ends_the_run_too(nats_url: str) -> None:
    broker = NatsBroker(nats_url, logger=None)
    app = App(broker, logger=None)

    @app.after_startup
    async def close() -> None:
        await broker.client.close()

    with pytest.raises(ConnectionLostError, match="the client was closed"):
        await asyncio.wait_for(app.run(), 30)


async def test_a_stop_is_no_loss(nats_url: str, caplog: pytest.LogCaptureFixture) -> None:
    app = App(NatsBroker(nats_url))
    app.after_startup(app.exit)
    await app.run()
    await app.run()
    assert "lost" not in caplog.text


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (lambda: App(NatsBroker), "an App takes brokers, not the class NatsBroker: call it"),
        (lambda: App([FakeBroker([])]), r"not a list of them: App\(\*brokers\)"),
        (lambda: App("nats://here"), "an App takes brokers, not one of type str"),
        (lambda: App(None), "an App takes brokers, not None"),
        (lambda: App(lifespan=3), "lifespan of an App is a function, not one of type int"),
        (lambda: App(on_startup=print), "on_startup of an App is a list of functions, not one of type bu"),
        (lambda: App(after_shutdown=[3]), "after_shutdown of an App is for functions, not one of type int"),
        (lambda: App().on_shutdown("close"), "on_shutdown of an App is for functions, not one of type str"),
        (lambda: App(logger="shop"), "logger of an App is a logging.Logger, or None, not one of type str"),
        (lambda: App(context={}), "context of an App is a ContextRepo, not one of type dict"),
    ],
    ids=[
        "class",
        "list",
        "text",
        "none",
        "lifespan",
        "hooks",
        "hook-in-list",
        "hook",
        "logger",
        "context",
    ],
)
def test_what_an_app_does_not_take_is_told_at_once(make, why: str) -> None:
    with pytest.raises(SetupError, match=why):
        make()


async def test_a_lifespan_that_is_no_context_manager_says_what_to_write() -> None:
    async def lifespan() -> AsyncIterator[None]:
        yield

    async def nothing() -> None: ...

    for wrong in (lifespan, nothing):
        with pytest.raises(
            SetupError, match=r"decorate an async generator with contextlib\.asynccontextmanage"
        ):
            await App(lifespan=wrong, logger=None).start()


async def test_an_option_of_a_hook_needs_no_annotation() -> None:
    got: list[object] = []
    app = App(on_startup=[lambda size, color="red": got.append((size, color))], logger=None)
    await app.start(size=3)
    await app.stop()
    assert got == [(3, "red")]
