"""Every exception of the blocking face::

    PubSubError
    ├── ConfigError           (ValueError)       a key, variable or argument that cannot work
    ├── MissingExtraError     (ImportError)      the backend needs an extra
    ├── ConnectError          (ConnectionError)  the constructor could not connect
    ├── LostConnectionError   (ConnectionError)  the connection is gone and does not come back
    ├── ClosedError           (RuntimeError)     the backend was closed
    ├── ForkedError           (RuntimeError)     it was made before a fork
    ├── NotSubscribedError    (RuntimeError)     `listen` before `subscribe`
    ├── TopicError            (ValueError)       the messaging system takes no such topic
    ├── MessageTooLargeError  (ValueError)       … nor so large a message
    ├── PublishError                             what was published did not arrive
    ├── BackpressureError     (TimeoutError)     no room for one more message in time
    ├── FlushError            (TimeoutError)     not everything was confirmed in time
    ├── BufferFullError                          ``buffer_policy`` is "error", and a reader was too slow
    └── DataError             (ValueError)       bytes that are no `Data`
        └── UnknownKindError                     … or of a kind that this program does not know

What the messaging system's own client raised is the ``__cause__``. No text shows a secret.
"""

from __future__ import annotations

import builtins

__all__ = [
    "BackpressureError",
    "BufferFullError",
    "ClosedError",
    "ConfigError",
    "ConnectError",
    "DataError",
    "FlushError",
    "ForkedError",
    "LostConnectionError",
    "MessageTooLargeError",
    "MissingExtraError",
    "NotSubscribedError",
    "PubSubError",
    "PublishError",
    "TopicError",
    "UnknownKindError",
]


class PubSubError(Exception):
    """Root of all errors of `tidings.pubsub`."""


class ConfigError(PubSubError, ValueError):
    """A key of a config, a variable of the environment or an argument that cannot work; the text names it."""


class MissingExtraError(PubSubError, ImportError):
    """The backend needs an extra of tidings; the text says how to install it."""


class ConnectError(PubSubError, builtins.ConnectionError):
    """The constructor could not connect; the text says why."""


class LostConnectionError(PubSubError, builtins.ConnectionError):
    """The connection is gone and did not come back within ``reconnect_timeout``; make a new backend."""


class ClosedError(PubSubError, RuntimeError):
    """The backend was closed; make a new one."""


class ForkedError(PubSubError, RuntimeError):
    """The backend was made before this process was forked; make a new one in it."""


class NotSubscribedError(PubSubError, RuntimeError):
    """There is nothing to listen to: `subscribe` comes before `listen`."""


class TopicError(PubSubError, ValueError):
    """The messaging system takes no topic of this name."""


class MessageTooLargeError(PubSubError, ValueError):
    """The messaging system takes no message of this size."""


class PublishError(PubSubError):
    """Messages that were published did not arrive, or nobody knows whether they did.

    Attributes:
        count: how many.
    """

    def __init__(self, text: str, count: int) -> None:
        super().__init__(text)
        self.count = count


class BackpressureError(PubSubError, builtins.TimeoutError):
    """For ``publish_timeout`` seconds there was no room for one more message; it was not taken."""


class FlushError(PubSubError, builtins.TimeoutError):
    """The messaging system did not confirm all that was published within the timeout."""


class BufferFullError(PubSubError):
    """The buffer was full, and its policy is "error"; what was held is handed out before this is raised."""


class DataError(PubSubError, ValueError):
    """Bytes that are no serialized `Data`, or fields that cannot be serialized."""


class UnknownKindError(DataError):
    """The bytes are of a kind of `Data` that this program did not define.

    Attributes:
        kind: the name.
    """

    def __init__(self, text: str, kind: str) -> None:
        super().__init__(text)
        self.kind = kind
