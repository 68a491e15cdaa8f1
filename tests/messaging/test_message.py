"""A message as a handler sees it."""

from dataclasses import dataclass

import pytest
from pydantic import BaseModel

from tests.messaging.fakes import FakeMessage, Native


class User(BaseModel):
    name: str


@dataclass
class Point:
    x: int


async def test_a_body_is_decoded_as_asked() -> None:
    message = FakeMessage(Native(b'{"name":"n"}'))
    assert await message.decode() == {"name": "n"}
    assert await message.decode(User) == User(name="n")
    assert await message.decode(bytes) == b'{"name":"n"}'
    assert await message.decode(str) == '{"name":"n"}'
    assert await FakeMessage(Native(b"5", {"content-type": "text/plain"})).decode() == "5"
    with pytest.raises(ValueError, match="Field required"):
        await message.decode(Point)


def test_a_correlation_id_is_the_senders_or_made_once() -> None:
    assert FakeMessage(Native(headers={"correlation_id": "c-1"})).correlation_id == "c-1"
    message = FakeMessage(Native())
    assert message.correlation_id == message.correlation_id != ""


def test_a_message_shows_where_it_came_from_and_not_what_is_in_it() -> None:
    assert repr(FakeMessage(Native(b"secret"))) == "<FakeMessage 'in' 6 bytes>"
