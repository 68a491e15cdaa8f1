"""The JetStream API: JSON requests below a prefix, and what all parts of JetStream share."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from typing import Any

from tidings.nats.core.connection import Connection
from tidings.nats.errors import NoRespondersError, ProtocolError
from tidings.nats.jetstream.errors import ApiError, ApiLevelError, JetStreamUnavailableError, api_error
from tidings.nats.jetstream.options import JetStreamOptions
from tidings.nats.wire import Msg

__all__ = ["Api", "Part", "decode_answer"]

REQUIRED_LEVEL = "Nats-Required-Api-Level"
_LEVEL_REFUSED = 10185


class Api:
    """Requests to the JetStream of one domain, over one connection.

    Attributes:
        connection: what the requests go over.
        prefix: first tokens of the API's subjects, without a dot at the end.
        timeout: seconds, for requests that are given none.
    """

    __slots__ = ("connection", "prefix", "timeout")

    def __init__(self, connection: Connection, *, prefix: str = "$JS.API", timeout: float = 5.0) -> None:
        self.connection = connection
        self.prefix = prefix
        self.timeout = timeout

    @property
    def level(self) -> int:
        """The API level of the server that we are connected to (ADR-44); 0 when it tells none."""
        level = self.connection.server_info.get("api_lvl")
        return level if type(level) is int else 0

    def require(self, level: int, what: str) -> None:
        """Refuse `what` when the server is below `level`; before there was a server, nothing is.

        Raises:
            ApiLevelError: it is.
        """
        if level > (offered := self.level) and self.connection.server_info:
            raise ApiLevelError(what, level, offered)

    async def request(
        self,
        subject: str,
        body: Mapping[str, Any] | None = None,
        *,
        timeout: float | None = None,
        level: int = 0,
    ) -> dict[str, Any]:
        """Send a request and read its answer.

        Args:
            subject: without the prefix.
            body: sent as JSON; None sends an empty payload.
            timeout: seconds; None takes that of the API.
            level: the API level that the one who answers must have, which need not be the server that we
                are connected to.

        Raises:
            ApiError: the answer is an error; a subclass that says which.
            JetStreamUnavailableError: nobody answers.
            TimeoutError: no answer came in time.
            ConnectionClosedError, PermissionsError: as `Connection.request`.
        """
        payload = b"" if body is None else json.dumps(body, separators=(",", ":")).encode()
        headers = {REQUIRED_LEVEL: str(level)} if level else None
        answer = await self.ask(subject, payload, timeout=timeout, headers=headers)
        try:
            return decode_answer(answer, subject)
        except ApiError as error:
            if error.err_code == _LEVEL_REFUSED:
                raise ApiLevelError("this request", level, None) from error
            raise

    async def ask(
        self,
        subject: str,
        payload: bytes = b"",
        *,
        timeout: float | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Msg:
        """Send a request and return the answer as it came. Raises as `request`, but no ApiError."""
        try:
            return await self.connection.request(
                f"{self.prefix}.{subject}",
                payload,
                self.timeout if timeout is None else timeout,
                headers=headers,
            )
        except NoRespondersError as error:
            raise self.unavailable(subject) from error

    def unavailable(self, subject: str) -> JetStreamUnavailableError:
        """What to raise when nobody answers a request to `subject`."""
        why = (
            "is there such a stream, and has it allow_direct?"
            if subject.startswith("DIRECT.")
            else "is JetStream on, for this account and domain?"
        )
        return JetStreamUnavailableError(f"nobody answers {self.prefix}.{subject}: {why}")

    async def pages(
        self, subject: str, key: str, body: Mapping[str, Any] | None = None
    ) -> AsyncIterator[Any]:
        """The items below `key` of a paged list, page by page, as the server gives them."""
        offset = 0
        while True:
            answer = await self.request(subject, {**(body or {}), "offset": offset})
            items, total = answer.get(key) or [], answer.get("total", 0)
            if not isinstance(items, list) or type(total) is not int:
                raise ProtocolError(f"the JetStream API answered no list: {answer!r:.200}")
            for item in items:
                yield item
            offset += len(items)
            if not items or offset >= total:
                return


def decode_answer(answer: Msg, request: str = "") -> dict[str, Any]:
    """The JSON object of an answer to `request`.

    Raises:
        ApiError: it is an error.
        ProtocolError: it is no JSON object.
    """
    try:
        fields = json.loads(answer.data)
    except (ValueError, RecursionError) as error:
        raise ProtocolError(f"the JetStream API answered what is no JSON: {answer.data[:80]!r}") from error
    if not isinstance(fields, dict):
        raise ProtocolError(f"the JetStream API answered no JSON object: {answer.data[:80]!r}")
    if refusal := fields.get("error"):
        raise api_error(refusal if isinstance(refusal, dict) else {"description": refusal}, request)
    return fields


class Part:
    """A part of `JetStream`: some of its methods, over the same API and options.

    Attributes:
        api: the way to the server.
        options: see `JetStreamOptions`.
    """

    api: Api
    options: JetStreamOptions
