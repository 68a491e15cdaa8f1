"""What follows a handler's call: results and failures."""

from typing import Any

import pytest
from pydantic import BaseModel

from tests.messaging.fakes import FakeBroker, FakeMessage, Native, Sent
from tidings.messaging.errors import FieldError, RemoteError, ValidationError
from tidings.messaging.plans.outcome import error_reply
from tidings.messaging.retry import Retry


class Prediction(BaseModel):
    result: float


ASKED = {"correlation_id": "c-1"}


async def after(
    handler: Any,
    native: Native,
    *publishers: str,
    refused: tuple[str, ...] = (),
    no_reply: bool = False,
    **options: Any,
) -> list[Sent]:
    """What goes out when a message was handled."""
    broker = FakeBroker(**options)
    broker.adapter.refused.update(refused)
    broker.subscriber("in", no_reply=no_reply, retry=Retry(attempts=1))(handler)
    for address in publishers:
        broker.publisher(address)(handler)
    await broker.start()
    await broker.deliver(native)
    return broker.sent


async def predict(body: bytes) -> Prediction:
    return Prediction(result=1.5)


async def nothing(body: bytes) -> None: ...


async def fail(body: bytes) -> None:
    raise ValueError("secret of the house")


async def test_a_result_goes_to_the_requester_first_and_then_to_each_publisher() -> None:
    sent = await after(predict, Native(reply="back", headers=ASKED), "out", "log")
    headers = {"correlation_id": "c-1", "content-type": "application/json"}
    assert sent == [Sent(address, b'{"result":1.5}', headers) for address in ("back", "out", "log")]


async def test_a_result_that_nobody_wants_goes_nowhere() -> None:
    assert await after(predict, Native()) == []


async def test_none_answers_a_requester_with_an_empty_body_and_is_not_published() -> None:
    sent = await after(nothing, Native(reply="back", headers=ASKED), "out")
    assert sent == [Sent("back", b"", {"correlation_id": "c-1"})]


async def test_no_reply_leaves_the_requester_alone_and_the_publishers_not() -> None:
    sent = await after(predict, Native(reply="back"), "out", no_reply=True)
    assert [each.address for each in sent] == ["out"]
    assert await after(fail, Native(reply="back"), no_reply=True) == []


async def test_a_message_without_a_correlation_id_gets_one_for_all_that_follows() -> None:
    broker = FakeBroker()

    @broker.subscriber("in")
    @broker.publisher("out")
    async def handler(body: bytes) -> int:
        await broker.publish("from within", "aside")
        return 1

    await broker.start()
    await broker.deliver(Native(reply="back"))
    ids = {each.headers["correlation_id"] for each in broker.sent}
    assert [each.address for each in broker.sent] == ["aside", "back", "out"]
    assert len(ids) == 1
    assert ids != {""}


async def test_the_correlation_id_is_inherited_by_what_a_handler_publishes() -> None:
    broker = FakeBroker()

    @broker.subscriber("in")
    async def handler(body: bytes, message: FakeMessage) -> None:
        await broker.publish("x", "aside")

    await broker.start()
    await broker.deliver(Native(headers=ASKED))
    assert broker.sent[0].headers["correlation_id"] == "c-1"


async def test_a_failure_is_logged_with_its_traceback(caplog: pytest.LogCaptureFixture) -> None:
    await after(fail, Native(headers=ASKED))
    (record,) = caplog.records
    assert record.levelname == "ERROR"
    assert (
        record.getMessage()
        == "in | c-1 | ValueError: secret of the house; given up after try 1; payload: b''"
    )
    assert vars(record)["correlation_id"] == "c-1"
    assert record.exc_info is not None


async def test_a_failure_is_answered_without_telling_what_is_inside() -> None:
    (sent,) = await after(fail, Native(reply="back", headers=ASKED), "out")
    assert sent == Sent("back", b"", ASKED, ("500", "the handler failed with ValueError"))


async def test_an_invalid_payload_is_logged_with_its_head_and_answered_with_the_reason(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def handler(prediction: Prediction) -> None: ...

    body = b'{"result":"%s"}' % (b"x" * 500)
    (sent,) = await after(handler, Native(body, reply="back", headers=ASKED))
    assert sent.error is not None
    code, description = sent.error
    assert code == "400"
    assert description.startswith("message of 'in': parameter 'prediction', field 'result': Input should")
    assert "xxx" not in description
    (record,) = caplog.records
    assert record.getMessage().startswith(
        "in | c-1 | message of 'in': parameter 'prediction', field 'result'"
    )
    assert vars(record)["payload_head"] == body[:200]
    assert record.exc_info is None


async def test_a_handler_chooses_what_the_requester_is_told(caplog: pytest.LogCaptureFixture) -> None:
    async def handler(body: bytes) -> None:
        raise RemoteError("404", "no such user")

    (sent,) = await after(handler, Native(reply="back", headers=ASKED))
    assert sent.error == ("404", "no such user")
    (record,) = caplog.records
    assert record.levelname == "WARNING"
    assert record.getMessage() == "in | c-1 | answered with 404: no such user"


async def test_an_error_of_another_service_is_not_passed_off_as_ours() -> None:
    async def handler(body: bytes) -> None:
        raise RemoteError("404", "inside of theirs", response=FakeMessage(Native()))

    (sent,) = await after(handler, Native(reply="back"))
    assert sent.error == ("500", "the handler failed with RemoteError")


async def test_a_result_of_the_wrong_kind_is_a_failure(caplog: pytest.LogCaptureFixture) -> None:
    async def handler(body: bytes) -> Prediction:
        return {"result": "much"}  # type: ignore[return-value]

    (sent,) = await after(handler, Native(reply="back"), "out")
    assert sent.error == ("500", "the handler failed with ResultError")
    assert "handler is not of Prediction: field 'result'" in caplog.text
    assert "much" not in caplog.text


async def test_a_publisher_that_fails_is_logged_and_the_requester_keeps_the_answer(
    caplog: pytest.LogCaptureFixture,
) -> None:
    sent = await after(predict, Native(reply="back"), "out", refused=("out",))
    assert [(each.address, each.error) for each in sent] == [("back", None)]
    assert "PublishError: out refuses" in caplog.text


async def test_a_reply_that_fails_is_logged_and_fails_nothing_else(
    caplog: pytest.LogCaptureFixture,
) -> None:
    assert await after(fail, Native(reply="back"), refused=("back",)) == []
    assert "the requester could not be told of it: back refuses" in caplog.text


async def test_no_logger_is_silence(caplog: pytest.LogCaptureFixture) -> None:
    await after(fail, Native(), logger=None)
    assert not caplog.records


def test_the_text_of_an_error_stays_inside() -> None:
    assert error_reply(KeyError("password")) == ("500", "the handler failed with KeyError")
    problem = FieldError("a", "b", "wrong")
    assert error_reply(ValidationError("in", (problem,))) == (
        "400",
        "message of 'in': parameter 'a', field 'b': wrong",
    )
