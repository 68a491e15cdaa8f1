"""`nats.micro.request`: a request as a handler of nats-py sees it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Self, TypeAlias

from tidings.nats.compat.aio.msg import Msg
from tidings.nats.services.errors import ERROR_CODE_HEADER, ERROR_HEADER, error_headers

__all__ = ["ERROR_CODE_HEADER", "ERROR_HEADER", "Handler", "Request", "ServiceError"]


class Request:
    """One request to an endpoint."""

    def __init__(self, msg: Msg) -> None:
        self._msg = msg

    @property
    def subject(self) -> str:
        """The subject it was sent to."""
        return self._msg.subject

    @property
    def headers(self) -> dict[str, str] | None:
        """Its headers; None when it has none."""
        return self._msg.headers

    @property
    def data(self) -> bytes:
        """The payload."""
        return self._msg.data

    async def respond(self, data: bytes = b"", headers: dict[str, str] | None = None) -> None:
        """Answer. Raises ValueError when nobody waits for one."""
        if not self._msg.reply:
            raise ValueError("no reply subject set")
        await self._msg.respond(data, headers=headers)

    async def respond_error(
        self, code: str, description: str, data: bytes = b"", headers: dict[str, str] | None = None
    ) -> None:
        """Answer with an error."""
        await self.respond(data, headers=dict(error_headers(code, description, headers)))


Handler: TypeAlias = Callable[[Request], Awaitable[None]]


@dataclass
class ServiceError(Exception):
    """Raised by a handler: the answer is this error."""

    code: str
    description: str

    def __repr__(self) -> str:
        return f"{self.code}:{self.description}"

    def to_dict(self) -> dict[str, Any]:
        """Its fields."""
        return {"code": self.code, "description": self.description}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """One of these fields."""
        return cls(code=data.get("code", ""), description=data.get("description", ""))
