from __future__ import annotations

import pytest

from tidings.nats.core.auth import credentials
from tidings.nats.core.options import options_from
from tidings.nats.core.servers import parse_server


@pytest.mark.parametrize(
    ("url", "options", "fields"),
    [
        ("nats://h", {}, {}),
        ("nats://ada:secret@h", {}, {"user": "ada", "pass": "secret"}),
        ("nats://ada:@h", {}, {"user": "ada", "pass": ""}),
        ("nats://t0ken@h", {}, {"auth_token": "t0ken"}),
        ("nats://h", {"user": "ada", "password": "secret"}, {"user": "ada", "pass": "secret"}),
        ("nats://h", {"user": "ada"}, {"user": "ada", "pass": ""}),
        ("nats://h", {"token": "t0ken"}, {"auth_token": "t0ken"}),
        (
            "nats://h",
            {"user": "ada", "password": "secret", "token": "t0ken"},
            {"user": "ada", "pass": "secret", "auth_token": "t0ken"},
        ),
        ("nats://ada:secret@h", {"user": "bob", "password": "x"}, {"user": "ada", "pass": "secret"}),
        ("nats://ada:secret@h", {"token": "t0ken"}, {"user": "ada", "pass": "secret"}),
        ("nats://t0ken@h", {"user": "bob", "password": "x"}, {"auth_token": "t0ken"}),
        ("nats://t0ken@h", {"token": "other"}, {"auth_token": "t0ken"}),
    ],
)
def test_those_of_the_url_come_first(url: str, options: dict[str, str], fields: dict[str, str]) -> None:
    assert credentials(parse_server(url), options_from(options)) == fields
