"""Auth callout: the server asks a service who we are, and hands it all that CONNECT says (ADR-26)."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from tests.identities import NO_LIMIT, Key
from tests.nats.core.gathering import Gathered

from tidings.nats import AuthorizationError, Msg, connect
from tidings.nats.server import NatsServer


def claims(jwt: str) -> dict[str, Any]:
    """What a JWT says; whoever signed it."""
    body = jwt.split(".")[1]
    said: dict[str, Any] = json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))
    return said


@asynccontextmanager
async def asking(allowed: Gathered) -> AsyncIterator[NatsServer]:
    """A server that lets in whom the service lets in: those whose CONNECT stands in `allowed`."""
    issuer = Key("A")
    config = f"""
    accounts {{ AUTH {{ users: [{{user: auth, password: x}}] }}, SHOP {{}} }}
    authorization {{ auth_callout {{ issuer: {issuer.public}, account: AUTH, auth_users: [auth] }} }}
    """

    async def judge(message: Msg) -> None:
        asked = claims(message.data.decode())["nats"]
        told = asked["connect_opts"]
        answer: dict[str, Any] = {"type": "authorization_response"}
        if told in allowed:
            user = {"type": "user"} | NO_LIMIT
            answer["jwt"] = issuer.jwt(asked["user_nkey"], user, aud="SHOP")
        else:
            answer["error"] = "not today"
        allowed.asked = told  # type: ignore[attr-defined]
        await message.respond(issuer.jwt(asked["user_nkey"], answer, aud=asked["server_id"]["id"]))

    with NatsServer(token=False, config=config, jetstream=False) as server:
        service = await connect(f"nats://auth:x@{server.host}:{server.port}")
        await service.subscribe("$SYS.REQ.USER.AUTH", cb=judge)
        await service.flush()
        try:
            yield server
        finally:
            await service.close()


class Those(Gathered):
    """CONNECT is let in that has these fields."""

    def __init__(self, **fields: str) -> None:
        super().__init__()
        self.fields = fields
        self.asked: dict[str, Any] = {}

    def __contains__(self, told: object) -> bool:
        return isinstance(told, dict) and self.fields.items() <= told.items()


@pytest.mark.parametrize(
    ("options", "fields"),
    [
        ({"user": "ada", "password": "lovelace"}, {"user": "ada", "pass": "lovelace"}),
        ({"token": "t0ken"}, {"auth_token": "t0ken"}),
    ],
    ids=["user", "token"],
)
async def test_the_service_hears_all_that_we_say(options: dict[str, Any], fields: dict[str, str]) -> None:
    async with asking(those := Those(**fields)) as server:
        client = await connect(f"nats://{server.host}:{server.port}", name="till", **options)
        assert client.account == "SHOP"
        assert those.asked["name"] == "till"
        await client.close()


async def test_whom_it_refuses() -> None:
    async with asking(Those(auth_token="right")) as server:
        with pytest.raises(AuthorizationError):
            await connect(f"nats://wrong@{server.host}:{server.port}")
