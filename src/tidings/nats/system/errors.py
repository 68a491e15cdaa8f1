"""What goes wrong with requests to the system account.

::

    Error
    ├── NotSystemAccountError     we are not in the system account, so servers do not hear us
    ├── NoSuchServerError         there is no server of this id
    └── SystemRequestError        a server answered with an error
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tidings.nats.errors import Error

__all__ = ["NoSuchServerError", "NotSystemAccountError", "SystemRequestError"]


class NotSystemAccountError(Error):
    """Servers answer to the system account only, and the connection is in another one."""


class NoSuchServerError(Error):
    """No server of this id can be reached."""


class SystemRequestError(Error):
    """A server answered with an error.

    Attributes:
        code: in the manner of HTTP.
        description: the server's.
        server: the name of the server.
        answers: what other servers answered, as the call would have returned it.
    """

    def __init__(self, code: int, description: str, server: str, answers: Sequence[Any] = ()) -> None:
        super().__init__(f"server {server!r} answered {code}: {description}")
        self.code = code
        self.description = description
        self.server = server
        self.answers = list(answers)
