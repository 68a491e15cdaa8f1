"""What goes wrong with services.

::

    Error
    ├── ServiceError                     the answer to a request is an error (ADR-32), or shall be one
    ├── ServiceConfigError (ValueError)  a name, version, subject or option that a service cannot have
    ├── ServiceStoppedError              the service has ended and takes no more endpoints
    └── EndpointError                    an endpoint failed; reported, its cause says how
"""

from __future__ import annotations

import re
from typing import Self

from tidings.nats.errors import Error, ProtocolError
from tidings.nats.wire import HeaderInput, Headers, Msg

__all__ = [
    "ERROR_CODE_HEADER",
    "ERROR_HEADER",
    "EndpointError",
    "ServiceConfigError",
    "ServiceError",
    "ServiceStoppedError",
    "error_headers",
]

ERROR_HEADER = "Nats-Service-Error"
ERROR_CODE_HEADER = "Nats-Service-Error-Code"

_NUMBER = re.compile(r"[0-9]{1,9}")


class ServiceError(Error):
    """The answer to a request is an error; a handler raises one to give that answer.

    Raised by a handler, `code` and `description` reach the requester as they are. One that came back to it
    from another service is a failure of the handler like any other.

    Attributes:
        code: what kind of error, in the manner of HTTP; 0 where the other side sent none that is a number.
        description: what went wrong, for people.
        data: the payload that goes with it.
        headers: sent along by a handler that raises it.
        reply: the answer that said so; None for one that a handler raises.
    """

    def __init__(
        self,
        code: int,
        description: str,
        *,
        data: bytes | bytearray | memoryview | str = b"",
        headers: HeaderInput | None = None,
        reply: Msg | None = None,
    ) -> None:
        super().__init__(f"{code}: {description}")
        self.code = code
        self.description = description
        self.data = data
        self.headers = headers
        self.reply = reply

    @classmethod
    def of(cls, reply: Msg) -> Self | None:
        """The error that a reply is; None for one that is none."""
        if not reply.has_headers:
            return None
        try:
            headers = reply.headers
        except ProtocolError:  # another client's broken header block
            return None
        code, description = headers.get(ERROR_CODE_HEADER), headers.get(ERROR_HEADER)
        if code is None and description is None:
            return None
        number = int(code) if code is not None and _NUMBER.fullmatch(code) else 0
        return cls(number, description or "", data=reply.data, reply=reply)


class ServiceConfigError(Error, ValueError):
    """A name, version, subject or option that a service or endpoint cannot have."""


class ServiceStoppedError(Error):
    """The service has ended and takes no more endpoints."""


class EndpointError(Error):
    """An endpoint failed: its handler raised, or its subscription ended. Reported; ``__cause__`` says how.

    Attributes:
        service: the name of the service.
        endpoint: the name of the endpoint.
        subject: of the request, or else of the endpoint.
    """

    def __init__(self, text: str, *, service: str, endpoint: str, subject: str) -> None:
        super().__init__(f"endpoint {endpoint!r} of service {service!r} ({subject}): {text}")
        self.service = service
        self.endpoint = endpoint
        self.subject = subject


def error_headers(code: int | str, description: str, others: HeaderInput | None = None) -> Headers:
    """The headers that make a reply an error (ADR-32), each in one line.

    Args:
        code: a number; what is text goes as it is, but others read a number out of it.
        others: headers that go along.
    """
    headers = Headers(others or ())
    headers.update({ERROR_CODE_HEADER: one_line(str(code)), ERROR_HEADER: one_line(description)})
    return headers


def one_line(text: str) -> str:
    """Without line breaks, and without what has no UTF-8: as a header's value must be."""
    return " ".join(text.encode("utf-8", "replace").decode().split())
