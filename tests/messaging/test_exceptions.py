"""Exception handlers: the nearest type answers, verdicts pass, and the rest fails as ever."""

from typing import Any

import pytest

from tests.messaging.fakes import FakeBroker, FakeSettler, Native
from tidings.messaging.acks import RejectMessage
from tidings.messaging.errors import SetupError, ValidationError
from tidings.messaging.exceptions import ExceptionMiddleware
from tidings.messaging.message import Message
from tidings.messaging.response import Response


async def answers_to(broker: FakeBroker, error: Exception, reply: str = "back") -> list[Any]:
    @broker.subscriber("in")
    @broker.publisher("out")
    async def handler(body: bytes) -> int:
        raise error

    await broker.start()
    await broker.deliver(native := Native(b"5", reply=reply))
    return [(sent.address, sent.error or sent.body) for sent in broker.sent] + native.settled


async def test_what_it_returns_is_published_and_answered_and_the_message_is_done() -> None:
    broker = FakeBroker()
    broker.adapter.settling = FakeSettler()

    @broker.exception_handler(LookupError)
    async def missing(error: LookupError, message: Message[Any]) -> str:
        return f"{error.args[0]} {message.body.decode()}"

    # Not held against the annotation of the handler, which says int.
    assert await answers_to(broker, KeyError("no")) == [("back", b"no 5"), ("out", b"no 5"), "ack"]


async def test_the_nearest_type_is_asked_and_none_publishes_nothing() -> None:
    errors = ExceptionMiddleware({Exception: lambda error: "any", KeyError: lambda error: None})
    assert await answers_to(FakeBroker(middlewares=[errors]), KeyError()) == [("back", b"")]
    assert await answers_to(FakeBroker(middlewares=[errors]), OSError()) == [
        ("back", b"any"),
        ("out", b"any"),
    ]


async def test_it_may_answer_with_a_response() -> None:
    errors = ExceptionMiddleware({OSError: lambda error: Response("sorry", publish=False)})
    assert await answers_to(FakeBroker(middlewares=[errors]), OSError()) == [("back", b"sorry")]


async def test_others_fail_as_ever_and_so_does_what_it_raises() -> None:
    errors = ExceptionMiddleware()

    @errors.add_handler(KeyError)
    def worse(error: KeyError) -> None:
        raise OSError from error

    for error, name in ((ValueError(), "ValueError"), (KeyError(), "OSError")):
        broker = FakeBroker(middlewares=[errors], logger=None)
        assert await answers_to(broker, error) == [("back", ("500", f"the handler failed with {name}"))]


async def test_a_verdict_is_no_failure_unless_it_is_asked_for() -> None:
    for kind, settled in ((Exception, "reject no"), (RejectMessage, "ack")):
        broker = FakeBroker(middlewares=[ExceptionMiddleware({kind: lambda error: None})], logger=None)
        broker.adapter.settling = FakeSettler()
        assert (await answers_to(broker, RejectMessage("no"), reply="")) == [settled]


async def test_a_payload_that_is_not_valid_can_be_answered_too() -> None:
    broker = FakeBroker(
        middlewares=[ExceptionMiddleware({ValidationError: lambda error: error.errors[0].parameter})]
    )

    @broker.subscriber("in")
    async def handler(number: int) -> None: ...

    await broker.start()
    await broker.deliver(Native(b"x", reply="back"))
    assert broker.sent[0].body == b"number"


def test_what_cannot_be_called_so_is_refused() -> None:
    errors = ExceptionMiddleware()
    with pytest.raises(SetupError, match="for a type of Exception"):
        errors.add_handler(KeyboardInterrupt)  # type: ignore[arg-type]
    with pytest.raises(SetupError, match="takes the exception, or it and the message"):
        errors.add_handler(KeyError)(lambda a, b, c: None)
