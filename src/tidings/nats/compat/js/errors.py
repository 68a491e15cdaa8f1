"""`nats.js.errors`: nats-py's exceptions of JetStream, and which of ours become which."""

# ruff: noqa: D101  # their names and texts say what they are

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NoReturn

from tidings.nats.compat import border, errors
from tidings.nats.errors import ConnectionClosedError
from tidings.nats.jetstream import errors as native

__all__ = [
    "APIError",
    "BadBucketError",
    "BadObjectMetaError",
    "BadRequestError",
    "BucketNotFoundError",
    "ConsumerInvalidResetError",
    "ConsumerSequenceMismatchError",
    "DigestMismatchError",
    "Error",
    "FetchTimeoutError",
    "InvalidBucketNameError",
    "InvalidKeyError",
    "InvalidObjectNameError",
    "KeyDeletedError",
    "KeyHistoryTooLargeError",
    "KeyNotFoundError",
    "KeyValueError",
    "KeyValueLimitMarkerTTLNotSupportedError",
    "KeyWrongLastSequenceError",
    "LinkIsABucketError",
    "NoKeysError",
    "NoStreamResponseError",
    "NotFoundError",
    "ObjectAlreadyExists",
    "ObjectDeletedError",
    "ObjectNotFoundError",
    "ServerError",
    "ServiceUnavailableError",
    "TooManyStalledMsgsError",
]


class Error(errors.Error):
    """Base of those of JetStream."""

    def __init__(self, description: str | None = None) -> None:
        super().__init__(description)
        self.description = description

    def __str__(self) -> str:
        return self.text or f"nats: JetStream.{type(self).__name__} {self.description or ''}"


class APIError(Error, native.ApiError):
    """The server answered with an error.

    Attributes:
        code, err_code, description: as the server says; None when it does not.
        stream, seq: which stream refused, and where.
    """

    code: int | None  # type: ignore[assignment]
    err_code: int | None  # type: ignore[assignment]
    description: str | None  # type: ignore[assignment]

    def __init__(
        self,
        code: int | None = None,
        description: str | None = None,
        err_code: int | None = None,
        stream: str | None = None,
        seq: int | None = None,
    ) -> None:
        super().__init__(description)
        self.code = code
        self.err_code = err_code
        self.stream = stream
        self.seq = seq

    @classmethod
    def from_msg(cls, msg: Any) -> NoReturn:
        """Raise what the status of a message says."""
        if msg.header is None:
            raise APIError
        code = msg.header["Status"]
        if code == "503":
            raise ServiceUnavailableError
        raise APIError(code=int(code), description=msg.header.get("Description"))

    @classmethod
    def from_error(cls, err: Mapping[str, Any]) -> NoReturn:
        """Raise what the ``error`` of an answer says."""
        raise api_error(
            **{name: err.get(name) for name in ("code", "description", "err_code", "stream", "seq")}
        )

    def __str__(self) -> str:
        return self.text or (
            f"nats: {type(self).__name__}: code={self.code} err_code={self.err_code} "
            f"description='{self.description}'"
        )


class ServiceUnavailableError(APIError, native.JetStreamUnavailableError):
    pass


class ServerError(APIError):
    pass


class NotFoundError(APIError, native.NotFoundError):
    pass


class BadRequestError(APIError, native.BadRequestError):
    pass


class ConsumerInvalidResetError(BadRequestError):
    pass


class NoStreamResponseError(Error, native.NoStreamResponseError):
    text = "nats: no response from stream"


class TooManyStalledMsgsError(Error, native.TooManyStalledMsgsError):
    text = "nats: stalled with too many outstanding async published messages"


class FetchTimeoutError(errors.TimeoutError):
    text = "nats: fetch timeout"


class ConsumerSequenceMismatchError(Error, native.ConsumerSequenceMismatchError):
    """A message of a consumer is missing.

    Attributes:
        stream_resume_sequence: where to go on in the stream.
        consumer_sequence, last_consumer_sequence: where we are, and where the server is.
    """

    def __init__(
        self,
        stream_resume_sequence: int | None = None,
        consumer_sequence: int | None = None,
        last_consumer_sequence: int | None = None,
    ) -> None:
        super().__init__()
        self.stream_resume_sequence = stream_resume_sequence
        self.consumer_sequence = consumer_sequence
        self.last_consumer_sequence = last_consumer_sequence

    def __str__(self) -> str:
        gap = (self.last_consumer_sequence or 0) - (self.consumer_sequence or 0)
        return (
            f"nats: sequence mismatch for consumer at sequence {self.consumer_sequence} ({gap} sequences "
            f"behind), should restart consumer from stream sequence {self.stream_resume_sequence}"
        )


class BucketNotFoundError(NotFoundError):
    pass


class BadBucketError(APIError):
    pass


class KeyValueError(APIError):
    pass


class KeyDeletedError(KeyValueError, NotFoundError):
    """The key was deleted.

    Attributes:
        entry: its marker.
        op: how it was deleted: ``DEL`` or ``PURGE``.
    """

    text = "nats: key was deleted"

    def __init__(self, entry: Any = None, op: str | None = None) -> None:
        super().__init__()
        self.entry = entry
        self.op = op


class KeyNotFoundError(KeyValueError, NotFoundError):
    """There is no such key.

    Attributes:
        entry, op: its marker, and how it was deleted, when it was.
        message: what else is known.
    """

    def __init__(self, entry: Any = None, op: str | None = None, message: str | None = None) -> None:
        super().__init__()
        self.entry = entry
        self.op = op
        self.message = message

    def __str__(self) -> str:
        return "nats: key not found" + (f": {self.message}" if self.message else "")


class KeyWrongLastSequenceError(KeyValueError, BadRequestError):
    """The key has another revision."""

    def __init__(self, description: str | None = None) -> None:
        super().__init__(description=description)

    def __str__(self) -> str:
        return f"nats: {self.description}"


class NoKeysError(KeyValueError):
    text = "nats: no keys found"


class KeyHistoryTooLargeError(KeyValueError):
    text = "nats: history limited to a max of 64"


class InvalidKeyError(Error):
    pass


class InvalidBucketNameError(Error):
    pass


class InvalidObjectNameError(Error):
    pass


class BadObjectMetaError(Error):
    pass


class LinkIsABucketError(Error):
    pass


class DigestMismatchError(Error):
    pass


class ObjectNotFoundError(NotFoundError):
    pass


class ObjectDeletedError(NotFoundError):
    pass


class ObjectAlreadyExists(Error):
    pass


class KeyValueLimitMarkerTTLNotSupportedError(Error):
    text = "nats: limit marker TTLs not supported by server"


_BY_CODE = {503: ServiceUnavailableError, 500: ServerError, 404: NotFoundError, 400: BadRequestError}


def api_error(code: int | None = None, **fields: Any) -> APIError:
    """The error of that code."""
    return _BY_CODE.get(code or 0, APIError)(code=code, **fields)


def _ack_lost(error: Any) -> Exception:
    """To nats-py a lost connection is an answer that does not come; its programs publish again."""
    is_over = isinstance(error.__cause__, ConnectionClosedError)
    return errors.ConnectionClosedError() if is_over else errors.TimeoutError()


border.TABLE |= {
    native.AckLostError: _ack_lost,
    native.JetStreamError: lambda error: Error(str(error)),
    native.ApiError: lambda error: api_error(
        error.code, err_code=error.err_code, description=error.description
    ),
    native.InvalidResetError: lambda error: ConsumerInvalidResetError(
        error.code, error.description, error.err_code
    ),
    native.PullError: lambda error: api_error(error.status, description=error.text),
    native.JetStreamUnavailableError: lambda error: ServiceUnavailableError(),
    native.NoStreamResponseError: lambda error: NoStreamResponseError(),
    native.TooManyStalledMsgsError: lambda error: TooManyStalledMsgsError(),
}
