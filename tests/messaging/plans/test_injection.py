"""How the parameters of a handler are filled."""

import logging
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import suppress
from typing import Annotated, Any

import msgspec
import pytest
from pydantic import BaseModel, Field

from tests.messaging.fakes import FakeBroker, FakeClient, FakeMessage, Native
from tidings.messaging.broker import Broker
from tidings.messaging.context import ContextRepo
from tidings.messaging.errors import SetupError
from tidings.messaging.message import Message
from tidings.messaging.params import Context, Depends, Header, Logger, NoCast, Path
from tidings.messaging.retry import Retry


class User(BaseModel):
    username: str
    user_id: int


USER = b'{"username":"n","user_id":1}'


async def handled(
    handler: Callable[..., Any], *messages: bytes | Native, address: str = "in", **options: Any
) -> FakeBroker:
    """Have a handler handle messages."""
    broker = FakeBroker(**options)
    broker.subscriber(address, retry=Retry(attempts=1))(handler)
    await broker.start()
    for message in messages:
        await broker.deliver(message, address)
    return broker


def recorder() -> tuple[list[Any], Callable[..., None]]:
    seen: list[Any] = []

    def record(*values: Any) -> None:
        seen.append(values if len(values) > 1 else values[0])

    return seen, record


async def test_one_parameter_gets_the_whole_body() -> None:
    seen, record = recorder()

    async def handler(user: User) -> None:
        record(user)

    await handled(handler, USER)
    assert seen == [User(username="n", user_id=1)]


async def test_several_parameters_get_the_fields() -> None:
    seen, record = recorder()

    async def handler(username: str, user_id: Annotated[int, Field(ge=1)], note: str = "none") -> None:
        record(username, user_id, note)

    await handled(handler, USER, b'{"username":"m","user_id":2,"note":"x"}')
    assert seen == [("n", 1, "none"), ("m", 2, "x")]


async def test_keyword_only_parameters_are_passed_by_name() -> None:
    seen, record = recorder()

    async def handler(username: str, *, user_id: int, tag: str = Header("tag", default="t")) -> None:
        record(username, user_id, tag)

    await handled(handler, USER)
    assert seen == [("n", 1, "t")]


async def test_no_parameter_gets_nothing() -> None:
    seen, record = recorder()

    async def handler() -> None:
        record("called")

    await handled(handler, b"whatever")
    assert seen == ["called"]


@pytest.mark.parametrize("body", [b"\x00\xff", b"123", b'{"a":1}', b""])
async def test_bytes_are_the_exact_bytes(body: bytes) -> None:
    seen, record = recorder()

    async def handler(body: bytes) -> None:
        record(body)

    await handled(handler, body)
    assert seen == [body]


async def test_a_default_stands_for_an_empty_body() -> None:
    seen, record = recorder()

    async def handler(user: User | int = 7) -> None:
        record(user)

    await handled(handler, b"", b"8")
    assert seen == [7, 8]


async def test_an_unannotated_parameter_is_decoded_by_the_content_type() -> None:
    seen, record = recorder()

    async def handler(msg) -> None:  # type: ignore[no-untyped-def]
        record(msg)

    await handled(handler, b"5", Native(b"5", {"content-type": "text/plain"}), b"x")
    assert seen == [5, "5", "x"]


async def test_no_cast_is_decoded_and_not_validated() -> None:
    seen, record = recorder()

    async def handler(user: NoCast[User]) -> None:
        record(user)

    await handled(handler, b'{"z":1}')
    assert seen == [{"z": 1}]


async def test_the_broker_hands_out_itself_its_parts_and_the_message() -> None:
    seen, record = recorder()

    async def handler(
        message: FakeMessage,
        any_message: Message[Any],
        broker: FakeBroker,
        any_broker: Broker[Any],
        client: FakeClient,
        context: ContextRepo,
        logger: Logger,
        by_name: Annotated[Any, Context("broker")],
        message_by_name: Annotated[Any, Context("message")],
    ) -> None:
        assert message is any_message is message_by_name
        assert broker is any_broker is by_name
        record(message.body, broker, type(client), context, logger)

    logger = logging.getLogger("test")
    broker = await handled(handler, b"x", logger=logger)
    assert seen == [(b"x", broker, FakeClient, broker.context, logger)]


async def test_context_finds_what_is_behind_the_dots() -> None:
    seen, record = recorder()

    async def handler(
        correlation_id: str = Context("message.correlation_id"),
        tenant: str = Context("message.headers.tenant"),
        url: str = Context("settings.database.url"),
        plain: int = Context(),
        absent: str = Context("message.headers.absent", default="none"),
        unset: str = Context("unset.x", default="none"),
        annotated: Annotated[str, Context("unset")] = "default",
    ) -> None:
        record(correlation_id, tenant, url, plain, absent, unset, annotated)

    context = ContextRepo({"settings": {"database": type("Db", (), {"url": "db://"})}})
    context.set_global("plain", 5)
    await handled(handler, Native(headers={"correlation_id": "c-1", "tenant": "t"}), context=context)
    assert seen == [("c-1", "t", "db://", 5, "none", "none", "default")]


async def test_a_context_value_set_later_is_found() -> None:
    seen, record = recorder()

    async def handler(value: int = Context(default=0)) -> None:
        record(value)

    broker = await handled(handler, b"")
    broker.context.set_global("value", 5)
    await broker.deliver(b"")
    assert seen == [0, 5]


async def test_headers_are_validated_by_the_annotation() -> None:
    seen, record = recorder()

    class Tag(msgspec.Struct):
        x: int

    async def handler(
        attempts: int = Header(),
        trace: str = Header("X-Trace"),
        absent: str | None = Header(default=None),
        annotated: Annotated[int, Header("attempts")] = 0,
    ) -> None:
        record(attempts, trace, absent, annotated)

    await handled(handler, Native(headers={"attempts": "3", "X-Trace": "abc"}))
    assert seen == [(3, "abc", None, 3)]


async def test_path_is_the_named_part_of_the_address() -> None:
    seen, record = recorder()

    async def handler(level: str = Path(), number: int = Path("level")) -> None:
        record(level, number)

    broker = FakeBroker()
    broker.subscriber("logs.{level}")(handler)
    await broker.start()
    await broker.adapter.handles["logs.{level}"](Native(address="logs.5"))
    assert seen == [("5", 5)]


async def test_dependencies_of_every_kind_are_called() -> None:
    seen, record = recorder()

    class Settings:
        def __init__(self, user: User) -> None:
            self.name = user.username

    def sync(settings: Annotated[Settings, Depends(Settings)]) -> str:
        return settings.name

    async def nested(name: str = Depends(sync), *, tenant: str = Header()) -> str:
        return f"{name}@{tenant}"

    async def handler(user: User, who: str = Depends(nested)) -> None:
        record(user.user_id, who)

    await handled(handler, Native(USER, {"tenant": "t"}))
    assert seen == [(1, "n@t")]


async def test_a_callable_object_is_awaited_where_its_call_is_async() -> None:
    seen, record = recorder()

    class Find:
        async def __call__(self) -> int:
            return 5

    async def handler(found: int = Depends(Find())) -> None:
        record(found)

    await handled(handler, b"")
    assert seen == [5]


async def test_a_dependency_is_called_once_a_message_unless_asked_otherwise() -> None:
    calls: list[str] = []

    def shared() -> int:
        calls.append("shared")
        return len(calls)

    def first(value: int = Depends(shared)) -> int:
        return value

    async def handler(
        a: int = Depends(first),
        b: int = Depends(shared),
        fresh: int = Depends(shared, use_cache=False),
    ) -> None:
        assert a == b != fresh

    await handled(handler, b"", b"")
    assert calls == ["shared"] * 4


async def test_generators_are_closed_in_reverse_before_the_result_goes_out() -> None:
    events: list[str] = []

    async def outer() -> AsyncIterator[str]:
        events.append("open outer")
        yield "outer"
        events.append("close outer")

    def inner(outer: str = Depends(outer)) -> Iterator[str]:
        events.append("open inner")
        yield f"inner of {outer}"
        events.append("close inner")

    async def handler(value: str = Depends(inner)) -> str:
        events.append(value)
        return "result"

    broker = FakeBroker(encoder=lambda value: (events.append("encode") or b"", ""))
    broker.subscriber("in")(broker.publisher("out")(handler))
    await broker.start()
    await broker.deliver(b"")
    expected = "open outer,open inner,inner of outer,close inner,close outer,encode"
    assert events == expected.split(",")


async def test_a_generator_gets_the_handlers_error_and_may_not_hide_it_from_the_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    events: list[str] = []

    async def transaction() -> AsyncIterator[None]:
        try:
            yield
        except ValueError as error:
            events.append(f"rolled back for {error}")
            raise

    async def handler(_: None = Depends(transaction)) -> None:
        raise ValueError("no")

    await handled(handler, b"")
    assert events == ["rolled back for no"]
    assert "ValueError: no" in caplog.text


async def test_a_generator_that_swallows_the_error_leaves_no_result() -> None:
    def forgiving() -> Iterator[None]:
        with suppress(ValueError):
            yield

    async def handler(_: None = Depends(forgiving)) -> str:
        raise ValueError("no")

    broker = await handled(handler, Native(reply="back"))
    assert [(sent.body, sent.error) for sent in broker.sent] == [(b"", None)]


async def test_dependencies_share_the_payload_with_the_handler() -> None:
    seen, record = recorder()

    def greeting(username: str) -> str:
        return f"hello {username}"

    async def handler(user_id: int, text: str = Depends(greeting)) -> None:
        record(user_id, text)

    await handled(handler, USER)
    assert seen == [(1, "hello n")]


async def test_overrides_stand_in_for_dependencies_at_any_time() -> None:
    seen, record = recorder()

    def connect() -> str:
        return "real"

    async def handler(database: str = Depends(connect)) -> None:
        record(database)

    async def fake(tenant: str = Header(default="t")) -> str:
        return f"fake of {tenant}"

    broker = await handled(handler, b"")
    broker.overrides[connect] = fake
    await broker.deliver(b"")
    broker.overrides.clear()
    await broker.deliver(b"")
    assert seen == ["real", "fake of t", "real"]


async def test_a_mock_can_stand_in_for_a_dependency(monkeypatch: pytest.MonkeyPatch) -> None:
    from unittest.mock import AsyncMock

    seen, record = recorder()

    def connect() -> str:
        return "real"

    async def handler(database: str = Depends(connect)) -> None:
        record(database)

    broker = await handled(handler)
    monkeypatch.setitem(broker.overrides, connect, AsyncMock(return_value="mock"))
    await broker.deliver(b"")
    assert seen == ["mock"]


async def test_a_decoder_reads_in_the_place_of_json() -> None:
    seen, record = recorder()

    async def whole(user: User) -> None:
        record(user.username)

    async def fields(username: str, user_id: int) -> None:
        record(username, user_id)

    def reverse(message: Message[Any]) -> Any:
        return {"username": message.body.decode()[::-1], "user_id": "1"}

    await handled(whole, b"cba", decoder=reverse)
    await handled(fields, b"cba", decoder=reverse)
    assert seen == ["abc", ("abc", 1)]


async def test_without_validation_the_values_come_as_they_are() -> None:
    seen, record = recorder()

    async def whole(user: User) -> None:
        record(user)

    async def fields(username: str, user_id: int, attempts: int = Header(default=0)) -> None:
        record(username, user_id, attempts)

    await handled(whole, b'{"x":1}', validate=False)
    native = Native(b'{"username":1,"user_id":"x"}', {"attempts": "5"})
    await handled(fields, native, validate=False)
    assert seen == [{"x": 1}, (1, "x", "5")]


class Opaque:
    pass


def wrong_message(message: "OtherMessage") -> None: ...
def standard_logger(logger: logging.Logger) -> None: ...
def unknown_path(level: str = Path()) -> None: ...
def variadic(*args: Any) -> None: ...
def opaque(x: Opaque) -> None: ...
def generator() -> Iterator[int]:
    yield 1


def itself(x: int = 0) -> int:
    return x


def two_kinds(x: str, y: int = Depends(itself)) -> None: ...


def circle(x: Any = 0) -> None: ...


circle.__defaults__ = (Depends(circle),)


class OtherMessage(FakeMessage):
    __slots__ = ()


@pytest.mark.parametrize(
    ("handler", "text"),
    [
        (wrong_message, "asks for a OtherMessage, but the messages of 'in' are FakeMessages"),
        (standard_logger, "annotate 'logger' with tidings.Logger"),
        (unknown_path, r"asks for \{level\} of the address, but 'in' has no named parts"),
        (variadic, r"variadic takes \*args.*: name each parameter"),
        (
            opaque,
            "the payload of 'in' cannot be read into 'x': pydantic cannot validate Opaque: .* needs a marker",
        ),
        (generator, "generator yields: a handler returns its one result"),
        (two_kinds, "two parameters named 'x' ask for different parts of the payload of 'in'"),
        (circle, "circle depends on itself"),
    ],
)
async def test_what_cannot_be_is_refused_at_the_start(handler: Any, text: str) -> None:
    broker = FakeBroker()
    broker.subscriber("in")(handler)
    with pytest.raises(SetupError, match=text):
        await broker.start()
