from __future__ import annotations

import math
import typing
from functools import partial
from typing import Any

import pytest

from tidings.nats import ConnectOptions
from tidings.nats.core import options
from tidings.nats.core.options import Options, options_from


def test_the_keywords_of_connect_are_the_options() -> None:
    assert list(ConnectOptions.__annotations__) == list(Options.fields)
    assert typing.get_type_hints(ConnectOptions, localns=vars(options)) == {
        name: hint for name, hint in typing.get_type_hints(Options).items() if name in Options.fields
    }


def test_every_option_is_documented() -> None:
    assert Options.__doc__
    for name in Options.fields:
        assert name in Options.__doc__


def test_every_default_is_valid() -> None:
    assert vars(options_from({})) == vars(Options())


def test_an_unknown_option_is_named() -> None:
    with pytest.raises(TypeError, match="no option 'nmae', 'pasword'"):
        options_from({"nmae": "a", "name": "b", "pasword": "c"})


def test_options_do_not_change() -> None:
    with pytest.raises(AttributeError, match="Options does not change"):
        Options().name = "x"  # type: ignore[misc]


@pytest.mark.parametrize("name", ["connect_timeout", "ping_interval", "drain_timeout"])
@pytest.mark.parametrize("value", [0, -1, -0.5, math.nan])
def test_a_time_is_above_zero(name: str, value: float) -> None:
    with pytest.raises(ValueError, match=name):
        options_from({name: value})


@pytest.mark.parametrize("name", ["reconnect_time_wait", "reconnect_jitter", "max_reconnect_wait"])
@pytest.mark.parametrize("value", [-1, math.nan])
def test_a_wait_or_a_size_is_not_negative(name: str, value: float) -> None:
    with pytest.raises(ValueError, match=name):
        options_from({name: value})


@pytest.mark.parametrize("value", [0, -1])
def test_at_least_one_ping_may_be_outstanding(value: int) -> None:
    with pytest.raises(ValueError, match="max_outstanding_pings"):
        options_from({"max_outstanding_pings": value})


@pytest.mark.parametrize(
    "given",
    [
        {"connect_timeout": math.inf},
        {"reconnect_time_wait": 0, "reconnect_jitter": 0, "reconnect_buffer_size": 0},
        {"max_reconnect_attempts": -1, "reconnect_buffer_size": -1},
        {"max_reconnect_attempts": 0},
        {"error_cb": print, "closed_cb": lambda: None},
    ],
    ids=",".join,
)
def test_what_stands_at_the_edge_is_taken(given: dict[str, Any]) -> None:
    options_from(given)


@pytest.mark.parametrize(
    "name",
    [
        "connect_timeout",
        "ping_interval",
        "drain_timeout",
        "max_outstanding_pings",
        "max_reconnect_attempts",
        "reconnect_time_wait",
        "reconnect_jitter",
        "max_reconnect_wait",
        "reconnect_buffer_size",
    ],
)
@pytest.mark.parametrize("value", ["1", None, [1]], ids=repr)
def test_a_number_is_a_number(name: str, value: object) -> None:
    with pytest.raises(TypeError, match=name):
        options_from({name: value})


@pytest.mark.parametrize("name", ["name", "user", "password", "token", "inbox_prefix"])
@pytest.mark.parametrize("value", [b"sesame", 5], ids=repr)
def test_text_is_text_and_is_not_told(name: str, value: object) -> None:
    with pytest.raises(TypeError, match=name) as caught:
        options_from({name: value})
    assert "sesame" not in str(caught.value)


@pytest.mark.parametrize(
    "name",
    [
        "error_cb",
        "disconnected_cb",
        "reconnected_cb",
        "closed_cb",
        "discovered_server_cb",
        "lame_duck_mode_cb",
        "reconnect_delay_cb",
        "reconnect_to_server_handler",
        "transport",
    ],
)
@pytest.mark.parametrize("value", [5, "print"], ids=repr)
def test_a_callback_can_be_called(name: str, value: object) -> None:
    with pytest.raises(TypeError, match=name):
        options_from({name: value})


def test_secrets_are_not_shown() -> None:
    headers = {"Authorization": "Bearer b3arer"}
    proxied = partial(through_proxy, "socks5://eve:pr0xy@h")
    shown = repr(
        Options(
            user="ada", password="sesame", token="t0ken", ws_connection_headers=headers, transport=proxied
        )
    )
    assert not any(secret in shown for secret in ("ada", "sesame", "t0ken", "b3arer", "pr0xy"))


async def through_proxy(proxy: str, host: str, port: int, protocol: object) -> None:
    raise NotImplementedError


@pytest.mark.parametrize("value", ["X-A: b", 5, [("X-A", "b")]], ids=repr)
def test_headers_are_a_mapping_or_a_function(value: object) -> None:
    with pytest.raises(TypeError, match="ws_connection_headers"):
        options_from({"ws_connection_headers": value})
