"""Requests to servers about themselves and their accounts, over the system account."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Unpack

from tidings.nats.core.connection import Connection
from tidings.nats.errors import BadSubjectError, NoRespondersError, TimeoutError
from tidings.nats.system.answers import Answer, ServerInfo, read_answer
from tidings.nats.system.errors import NoSuchServerError, NotSystemAccountError, SystemRequestError
from tidings.nats.system.events import EventKind, SystemEvents, subject_of
from tidings.nats.system.jetstream_types import JetStreamAccount, Jsz
from tidings.nats.system.options import (
    AccountzOptions,
    ConnzOptions,
    GatewayzOptions,
    HealthzOptions,
    JszOptions,
    LeafzOptions,
    RoutezOptions,
    ServerFilter,
    SubszOptions,
)
from tidings.nats.system.types import (
    AccountDetail,
    AccountStatz,
    Accountz,
    Connz,
    Gatewayz,
    Healthz,
    Leafz,
    Routez,
    Statsz,
    Subsz,
    UserInfo,
    Varz,
)
from tidings.nats.wire import check_subject

__all__ = ["AccountRequests", "System"]

_STATES = {"open": 0, "closed": 1, "all": 2}


class System:
    """What servers tell of themselves, over a connection of the system account. Made by `Client.system`.

    Each method asks every server that can be reached, or with `server` the one of that id, and gathers an
    `Answer` of each: until none came for `stall` seconds, or `timeout` is over. Options narrow down who
    answers (`ServerFilter`) and what; nobody it fits is an empty list. What may be asked stands in
    `tidings.nats.system.options`, what is answered in `tidings.nats.system.types`.

    Args:
        connection: what they are reached over.
        timeout: seconds for all answers.
        stall: seconds between two answers.
        expected: how many servers there are, where that is known: then nobody waits for more. 0 if not.

    Raises, each method:
        NotSystemAccountError: the connection is of another account.
        NoSuchServerError: there is no server of this id.
        SystemRequestError: a server answered with an error; it has the answers of the others.
        PermissionsError, ConnectionClosedError: as the client's `request_many`.
    """

    def __init__(
        self, connection: Connection, *, timeout: float = 5.0, stall: float = 0.3, expected: int = 0
    ) -> None:
        for name, value in (("timeout", timeout), ("stall", stall)):
            if not isinstance(value, int | float) or not value > 0:
                raise ValueError(f"{name} is a number of seconds above 0, not {value!r}")
        self._connection = connection
        self._timeout = timeout
        if type(expected) is not int or expected < 0:
            raise ValueError(f"expected is a number of servers, 0 if not known, not {expected!r}")
        self._stall = stall
        self._expected = expected

    async def servers(self, **filter: Unpack[ServerFilter]) -> list[ServerInfo]:
        """Who there is; the nearest first."""
        return [answer.server for answer in await self.statsz(**filter)]

    async def varz(self, server: str = "", **options: Unpack[ServerFilter]) -> list[Answer[Varz]]:
        """What servers are, how they are set up, and what they did."""
        return await self._of_servers("VARZ", server, options)

    async def connz(self, server: str = "", **options: Unpack[ConnzOptions]) -> list[Answer[Connz]]:
        """Their connections."""
        return await self._of_servers("CONNZ", server, _connz(options))

    async def routez(self, server: str = "", **options: Unpack[RoutezOptions]) -> list[Answer[Routez]]:
        """Their routes to the other servers of the cluster."""
        return await self._of_servers("ROUTEZ", server, options)

    async def gatewayz(self, server: str = "", **options: Unpack[GatewayzOptions]) -> list[Answer[Gatewayz]]:
        """Their gateways to other clusters."""
        return await self._of_servers("GATEWAYZ", server, options)

    async def leafz(self, server: str = "", **options: Unpack[LeafzOptions]) -> list[Answer[Leafz]]:
        """Their leaf nodes."""
        return await self._of_servers("LEAFZ", server, options)

    async def subsz(self, server: str = "", **options: Unpack[SubszOptions]) -> list[Answer[Subsz]]:
        """Their subscriptions."""
        return await self._of_servers("SUBSZ", server, options)

    async def jsz(self, server: str = "", **options: Unpack[JszOptions]) -> list[Answer[Jsz]]:
        """JetStream on them."""
        return await self._of_servers("JSZ", server, options)

    async def accountz(self, server: str = "", **options: Unpack[AccountzOptions]) -> list[Answer[Accountz]]:
        """Their accounts, or one of them."""
        return await self._of_servers("ACCOUNTZ", server, options)

    async def healthz(self, server: str = "", **options: Unpack[HealthzOptions]) -> list[Answer[Healthz]]:
        """Whether they are well. One that is not says so in its answer, which is no error here."""
        spelled = {
            name.replace("js_", "js-").replace("_only", "-only"): each for name, each in options.items()
        }
        return await self._of_servers("HEALTHZ", server, spelled)

    async def statsz(self, server: str = "", **options: Unpack[ServerFilter]) -> list[Answer[Statsz]]:
        """Their figures, in short."""
        return await self._of_servers("STATSZ", server, options, key="statsz")

    async def ask(self, endpoint: str, server: str = "", **options: Any) -> list[Answer[dict[str, Any]]]:
        """Any other endpoint: ``RAFTZ``, ``IPQUEUESZ``, ``EXPVARZ``, ``PROFILEZ`` for example.

        Args:
            endpoint: the last token of its subject.
            options: sent as they are.
        """
        return await self._of_servers(endpoint, server, options)

    def account(self, name: str) -> AccountRequests:
        """What servers tell of one account; costs nothing.

        Args:
            name: of the account; its public key, where accounts are JWTs.

        Raises:
            BadSubjectError: a name that cannot be a token of a subject.
        """
        return AccountRequests(self, _token(name, "account"))

    async def user(self) -> Answer[UserInfo]:
        """Who we are to the server, and what we may; works in every account."""
        reply = await self._connection.request("$SYS.REQ.USER.INFO", timeout=self._timeout)
        answer: Answer[UserInfo] = read_answer(reply, "data")
        return answer

    def events(self, kind: EventKind, *, account: str = "", server: str = "") -> SystemEvents:
        """What happens from now on: ``async with system.events("connect") as events``, then ``async for``.

        Args:
            kind: "connect", "disconnect" (of clients), "leafnode_connect", "connections" (how many an account
                has, every half minute and when that changes), "auth_error", "statsz" (every ten seconds),
                "lame_duck", "shutdown".
            account: only of this account, for the first four.
            server: only of the server of this id, for the others.

        Raises:
            ValueError: a kind that there is not, or something to choose by that it does not have.
        """
        if account:
            _token(account, "account")
        if server:
            _token(server, "server")
        return SystemEvents(self._connection, kind, subject_of(kind, account, server))

    async def _of_servers(
        self, endpoint: str, server: str, options: Mapping[str, Any], key: str = "data"
    ) -> list[Answer[Any]]:
        name = _token(endpoint, "endpoint")
        if not server:
            return await self.gather(f"$SYS.REQ.SERVER.PING.{name}", options, key)
        _token(server, "server")
        try:
            return await self.gather(f"$SYS.REQ.SERVER.{server}.{name}", options, key, most=1)
        except NoRespondersError as error:
            raise NoSuchServerError(f"no server {server!r} can be reached that answers {name}") from error

    async def gather(
        self, subject: str, options: Mapping[str, Any], key: str = "data", most: int = 0
    ) -> list[Answer[Any]]:
        """Ask, and gather the answers; for what has no method here.

        Args:
            subject: below ``$SYS.REQ``.
            options: the JSON object to send.
            key: under which the answers have their data.
            most: answers to wait for; 0 waits for as many as come.

        Raises:
            NoRespondersError: nobody listens to the subject.
        """
        answers: list[Answer[Any]] = []
        failures: list[SystemRequestError] = []
        body = json.dumps(options) if options else b""
        if not most and not options.keys() & ServerFilter.__annotations__.keys():
            most = self._expected
        replies = self._connection.request_many(
            subject, body, max_msgs=most, stall=self._stall, timeout=self._timeout, sentinel=None
        )
        try:
            async with replies:
                async for reply in replies:
                    try:
                        answers.append(read_answer(reply, key))
                    except SystemRequestError as error:
                        failures.append(error)
        except TimeoutError:
            pass  # servers that the filter does not fit say nothing
        except NoRespondersError:
            if self._connection.is_system_account:
                raise
            raise NotSystemAccountError(
                f"nobody answers {subject}: servers answer to users of the system account, and we "
                f"are in account {self._connection.account!r}"
            ) from None
        if failures:
            failures[0].answers = answers
            raise failures[0]
        return answers


class AccountRequests:
    """What servers tell of one account; made by `System.account`. The methods are those of `System`."""

    def __init__(self, system: System, name: str) -> None:
        self.name = name
        self._system = system

    async def info(self) -> list[Answer[AccountDetail]]:
        """The account as each server knows it."""
        return await self._ask("INFO", {})

    async def connz(self, **options: Unpack[ConnzOptions]) -> list[Answer[Connz]]:
        """Its connections."""
        return await self._ask("CONNZ", _connz(options))

    async def subsz(self, **options: Unpack[SubszOptions]) -> list[Answer[Subsz]]:
        """Its subscriptions."""
        return await self._ask("SUBSZ", options)

    async def leafz(self, **options: Unpack[LeafzOptions]) -> list[Answer[Leafz]]:
        """Its leaf nodes."""
        return await self._ask("LEAFZ", options)

    async def jsz(self, **options: Unpack[JszOptions]) -> list[Answer[JetStreamAccount]]:
        """Its JetStream."""
        return await self._ask("JSZ", options)

    async def statz(self) -> list[Answer[AccountStatz]]:
        """Its traffic; servers that have none of it do not answer."""
        return await self._ask("STATZ", {})

    async def _ask(self, endpoint: str, options: Mapping[str, Any]) -> list[Answer[Any]]:
        return await self._system.gather(f"$SYS.REQ.ACCOUNT.{self.name}.{endpoint}", options)


def _connz(options: ConnzOptions) -> Mapping[str, Any]:
    if "state" not in options:
        return options
    if (state := options["state"]) not in _STATES:
        raise ValueError(f"state is one of {', '.join(_STATES)}, not {state!r}")
    return {**options, "state": _STATES[state]}


def _token(text: str, what: str) -> str:
    check_subject(text, what)
    if "." in text:
        raise BadSubjectError(f"{what} {text!r} is one token of a subject, and so has no dot")
    return text
