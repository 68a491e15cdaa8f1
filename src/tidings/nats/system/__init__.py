"""What servers tell of themselves and their accounts, over the system account.

::

    for answer in await client.system().varz():
        print(answer.server.name, answer.data["connections"])
"""

from tidings.nats.system.answers import Answer, ServerInfo
from tidings.nats.system.errors import NoSuchServerError, NotSystemAccountError, SystemRequestError
from tidings.nats.system.events import EventKind, SystemEvent, SystemEvents
from tidings.nats.system.requests import AccountRequests, System

__all__ = [
    "AccountRequests",
    "Answer",
    "EventKind",
    "NoSuchServerError",
    "NotSystemAccountError",
    "ServerInfo",
    "System",
    "SystemEvent",
    "SystemEvents",
    "SystemRequestError",
]
