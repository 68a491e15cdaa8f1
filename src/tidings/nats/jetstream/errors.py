"""Every exception of JetStream; all of them are `tidings.nats.errors.Error` as well.

::

    JetStreamError
    ├── JetStreamUnavailableError            nobody answers the JetStream API (status 503)
    ├── ConfigError            (ValueError)  refused before a byte was sent; the text says what to do
    │   └── BadNameError                     a stream or consumer name that cannot stand in a subject
    ├── ApiLevelError                        the server is too old for what was asked
    ├── SnapshotError                        the server broke a snapshot or a restore off
    ├── NoStreamResponseError                no stream takes what was published (a NoRespondersError)
    ├── TooManyStalledMsgsError              the window of async publishes stayed full
    ├── UnconfirmedError                     published, but whether it was stored is not known
    │   ├── AckTimeoutError (TimeoutError)   … since no acknowledgement came in time
    │   └── AckLostError (ConnectionError)   … since the connection was lost before it
    ├── BatchClosedError                     the batch was committed, discarded, or has failed
    ├── BatchGapError                        messages of a fast batch were lost
    ├── BatchMessageError                    … or one was refused
    ├── BatchCutError                        a fast batch ended before all of it was stored
    ├── NotJSMessageError                    no consumer delivered the message, so there is nobody to tell
    ├── MsgAlreadyAckdError                  the message is settled already
    ├── NoHeartbeatError                     the server should have been heard of and was not
    ├── ConsumerSequenceMismatchError        a message of an ordered consumer is missing
    ├── PullError                            the server ended a pull, or refuses it
    │   ├── PullInterruptedError             the leader changed, its server stops, another client is pinned
    │   ├── TooManyPullsError                more pulls wait than the consumer's ``max_waiting``
    │   ├── PullRefusedError                 the request breaks a rule of the consumer
    │   ├── ConsumerIsPushError              nobody can pull from a push consumer
    │   └── ConsumerDeletedError             the consumer was deleted under the reader
    └── ApiError                             the server answered with an error
        ├── NotFoundError                    code 404
        │   ├── StreamNotFoundError
        │   ├── ConsumerNotFoundError
        │   └── MessageNotFoundError
        ├── BadRequestError                  code 400
        │   ├── InvalidConfigError           the server refuses a config
        │   ├── InvalidJsonError             … or a field of it that it does not know
        │   ├── StreamNameInUseError         a stream of that name has another config
        │   ├── SubjectsOverlapError         another stream has the subject already
        │   ├── StreamSealedError            the stream is sealed, nothing can change
        │   ├── ConsumerExistsError          a consumer of that name has another config
        │   ├── InvalidResetError            the consumer cannot be reset to that sequence
        │   ├── WrongLastSequenceError       an expected last sequence did not hold
        │   ├── WrongLastMsgIdError          an expected last message id did not hold
        │   ├── WrongStreamError             the message went to another stream than expected
        │   ├── MessageTTLError              a TTL that is none, or that the stream does not allow
        │   ├── CounterError                 no increment, or the stream does not count
        │   ├── ScheduleError                a schedule that is none, or that the stream does not allow
        │   └── BatchError                   a batch, atomic or fast, that the server refuses
        │       ├── BatchNotEnabledError     … since the stream does not allow it
        │       ├── BatchAbandonedError      … since it does not know it, or not any more
        │       └── BatchDuplicateError      … since it has a message id that was stored before
        ├── LimitError                       a limit of the account, the server or the stream is reached
        ├── TooManyResultsError              code 413: more subjects match than the server gives at once
        ├── ClusterError                     code 503: no leader, no quorum, or no server that could take it
        └── NotEnabledError                  JetStream is off, for the server or for the account

Which class an answer becomes is decided by its ``err_code`` (ADR-7), and where no class names that, by its
``code``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from tidings.nats.errors import ConnectionError, Error, NoRespondersError, TimeoutError

__all__ = [
    "AckLostError",
    "AckTimeoutError",
    "ApiError",
    "ApiLevelError",
    "BadNameError",
    "BadRequestError",
    "BatchAbandonedError",
    "BatchClosedError",
    "BatchCutError",
    "BatchDuplicateError",
    "BatchError",
    "BatchGapError",
    "BatchMessageError",
    "BatchNotEnabledError",
    "ClusterError",
    "ConfigError",
    "ConsumerDeletedError",
    "ConsumerExistsError",
    "ConsumerIsPushError",
    "ConsumerNotFoundError",
    "ConsumerSequenceMismatchError",
    "CounterError",
    "InvalidConfigError",
    "InvalidJsonError",
    "InvalidResetError",
    "JetStreamError",
    "JetStreamUnavailableError",
    "LimitError",
    "MessageNotFoundError",
    "MsgAlreadyAckdError",
    "NoHeartbeatError",
    "NotEnabledError",
    "NotFoundError",
    "NotJSMessageError",
    "PullError",
    "PullInterruptedError",
    "PullRefusedError",
    "SnapshotError",
    "StreamNameInUseError",
    "StreamNotFoundError",
    "StreamSealedError",
    "SubjectsOverlapError",
    "TooManyPullsError",
    "WrongLastMsgIdError",
    "WrongLastSequenceError",
    "WrongStreamError",
    "api_error",
]


class JetStreamError(Error):
    """Root of all errors of JetStream."""


class JetStreamUnavailableError(JetStreamError):
    """Nobody answers: JetStream is off, the domain is unknown, there is no leader, or no permission."""


class ConfigError(JetStreamError, ValueError):
    """A config or argument that cannot work; it was refused before a byte was sent."""


class BadNameError(ConfigError):
    """A name of a stream or consumer that cannot stand in a subject or be a file name (ADR-6)."""


class ApiLevelError(JetStreamError):
    """The server's JetStream API is too old for what was asked (ADR-44); nothing was changed.

    Attributes:
        needed: the API level that it takes.
        offered: that of the server; 0 is a server before 2.11. None where only the one who answered knows.
    """

    def __init__(self, what: str, needed: int, offered: int | None) -> None:
        super().__init__(
            f"{what} needs JetStream API level {needed}, the server offers "
            f"{'less' if offered is None else offered}: leave it out, or use a newer nats-server"
        )
        self.needed = needed
        self.offered = offered


class NotJSMessageError(JetStreamError):
    """No consumer of a stream delivered the message: it has no place there, and nobody to tell."""


class MsgAlreadyAckdError(JetStreamError):
    """The message was acknowledged, refused or ended before."""


class NoHeartbeatError(JetStreamError):
    """Neither a message nor a heartbeat came for twice the time between heartbeats."""


class ConsumerSequenceMismatchError(JetStreamError):
    """A message of an ordered consumer is missing; it is read again by another one, nothing is lost."""


class PullError(JetStreamError):
    """The server ended a pull, or refuses it.

    Attributes:
        status: the status code.
        text: what the server said beside it.
    """

    def __init__(self, status: int, text: str) -> None:
        super().__init__(f"the server ended a pull: {status} {text}")
        self.status = status
        self.text = text


class PullInterruptedError(PullError):
    """The consumer's leader changed, its server shuts down, or another client is pinned: pull again."""


class TooManyPullsError(PullError):
    """As many pulls wait at the consumer as its ``max_waiting`` allows."""


class PullRefusedError(PullError):
    """The request breaks a rule of the consumer, like ``max_batch``, or names no priority group of it."""


class ConsumerIsPushError(PullError):
    """The consumer pushes to a subject of its own; nobody can pull from it."""


class ConsumerDeletedError(PullError):
    """The consumer was deleted, or its stream."""


class NoStreamResponseError(JetStreamError, NoRespondersError):
    """No stream takes what was published: none has the subject, or it has no leader now."""


class TooManyStalledMsgsError(JetStreamError):
    """The window of async publishes was full and stayed so; the message was not sent."""


class UnconfirmedError(JetStreamError):
    """The message was published, and no acknowledgement came: it may or may not have been stored.

    Published again with the same ``msg_id``, within the stream's ``duplicate_window``, it is stored once.
    """


class AckTimeoutError(UnconfirmedError, TimeoutError):
    """No acknowledgement came in time."""


class AckLostError(UnconfirmedError, ConnectionError):
    """The connection was lost, or closed, before the acknowledgement came; ``__cause__`` says why."""


class BatchClosedError(JetStreamError):
    """The batch takes no more: it was committed or discarded, or it has failed; then that is the cause."""


class BatchGapError(JetStreamError):
    """Messages of a fast batch were lost on their way; the server went on with those behind them.

    Attributes:
        first, last: the numbers of the messages that are missing, within the batch.
    """

    def __init__(self, first: int, last: int) -> None:
        super().__init__(f"messages {first} to {last} of the batch were lost")
        self.first = first
        self.last = last


class BatchMessageError(JetStreamError):
    """The stream refused a message of a fast batch and went on with those behind it; the cause says why.

    Attributes:
        number: which message, counted from 1.
    """

    def __init__(self, number: int) -> None:
        super().__init__(f"message {number} of the batch was refused")
        self.number = number


class BatchCutError(JetStreamError):
    """A fast batch ended before all of it was stored; the messages from `stored` + 1 on were not.

    Attributes:
        stored: how many of the batch's messages, from the first on, the stream has.
        seq: the stream sequence of the last of them; 0 when there is none.
    """

    def __init__(self, text: str, stored: int, seq: int) -> None:
        super().__init__(text)
        self.stored = stored
        self.seq = seq


class SnapshotError(JetStreamError):
    """The server broke a snapshot or a restore off; begin again."""


_BY_ERR_CODE: dict[int, type[ApiError]] = {}


class ApiError(JetStreamError):
    """The server answered with an error.

    Attributes:
        code: its kind, as in HTTP.
        err_code: what exactly it is (ADR-7); 0 when the server does not say.
        description: the server's text.
        request: what it answered: the subject, without the prefix of the API; empty when it was no request.
    """

    err_codes: ClassVar[tuple[int, ...]] = ()

    def __init__(self, code: int = 0, err_code: int = 0, description: str = "", request: str = "") -> None:
        text = f"{description or 'no description'} (code {code}, err_code {err_code})"
        super().__init__(f"{request}: {text}" if request else text)
        self.code = code
        self.err_code = err_code
        self.description = description
        self.request = request

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        for err_code in cls.__dict__.get("err_codes", ()):
            _BY_ERR_CODE[err_code] = cls


class NotFoundError(ApiError):
    """There is no such thing."""


class StreamNotFoundError(NotFoundError):
    """There is no stream of that name."""

    err_codes = (10059,)


class ConsumerNotFoundError(NotFoundError):
    """There is no consumer of that name."""

    err_codes = (10014, 10149)


class MessageNotFoundError(NotFoundError):
    """The stream has no message of that sequence or subject."""

    err_codes = (10037, 10043)


class BadRequestError(ApiError):
    """The server refuses the request."""


class InvalidConfigError(BadRequestError):
    """The server refuses a config."""

    err_codes = (
        # of a stream
        *(10021, 10022, 10024, 10052, 10055, 10056, 10061, 10069, 10074, 10096, 10113, 10123, 10128, 10133),
        *(10155, 10156, 10157),
        # of its mirror and sources
        *(10029, 10030, 10031, 10032, 10033, 10034, 10045, 10046, 10140, 10141, 10142, 10143, 10144, 10145),
        *(10146, 10147, 10150, 10151, 10152, 10154, 10173, 10186, 10187, 10198, 10209),
        *(10213, 10214, 10215, 10216, 10217),
        # of a consumer
        *(10012, 10078, 10079, 10080, 10081, 10082, 10083, 10084, 10085, 10086, 10087, 10088, 10089, 10093),
        *(10094, 10095, 10098, 10099, 10100, 10101, 10102, 10103, 10106, 10107, 10108, 10112, 10114, 10115),
        *(10116, 10126, 10127, 10131, 10132, 10134, 10135, 10136, 10137, 10138, 10139, 10153, 10159, 10161),
        *(10162, 10178, 10181, 10182, 10183, 10184, 10196, 10197, 10218, 10219, 10220, 10221, 10222),
    )


class InvalidJsonError(BadRequestError):
    """The server cannot read the request; most often a field that it does not know."""

    err_codes = (10025,)


class StreamNameInUseError(BadRequestError):
    """There is a stream of that name, with another config."""

    err_codes = (10058,)


class SubjectsOverlapError(BadRequestError):
    """Another stream has one of the subjects already."""

    err_codes = (10065,)


class StreamSealedError(BadRequestError):
    """The stream is sealed: nothing can be added, removed or changed."""

    err_codes = (10109,)


class ConsumerExistsError(BadRequestError):
    """There is a consumer of that name, with another config."""

    err_codes = (10148, 10013, 10105)


class InvalidResetError(BadRequestError):
    """The consumer cannot be reset to that sequence (ADR-60)."""

    err_codes = (10204,)


class WrongLastSequenceError(BadRequestError):
    """The last sequence, of the stream or of the subject, is not the expected one."""

    err_codes = (10071, 10164)


class WrongLastMsgIdError(BadRequestError):
    """The last message id is not the expected one."""

    err_codes = (10070,)


class WrongStreamError(BadRequestError):
    """The subject belongs to another stream than the expected one."""

    err_codes = (10060,)


class MessageTTLError(BadRequestError):
    """The TTL of the message is none, or the stream does not allow it (``allow_msg_ttl``, ADR-43)."""

    err_codes = (10165, 10166)


class CounterError(BadRequestError):
    """The message is no increment, or the stream does not count (``allow_msg_counter``, ADR-49)."""

    err_codes = (10168, 10169, 10170, 10171, 10172)


class ScheduleError(BadRequestError):
    """The schedule is none, or the stream does not allow it (``allow_msg_schedules``, ADR-51)."""

    err_codes = (10188, 10189, 10190, 10191, 10192, 10203, 10212, 10223)


class BatchError(BadRequestError):
    """The server refuses a batch, or a message of it; nothing of an atomic batch was stored (ADR-50)."""

    err_codes: ClassVar[tuple[int, ...]] = (10175, 10177, 10179, 10199, 10200, 10206, 10207, 10210, 10211)


class BatchNotEnabledError(BatchError):
    """The stream does not allow it: ``allow_atomic`` for atomic batches, ``allow_batched`` for fast ones."""

    err_codes = (10174, 10205)


class BatchAbandonedError(BatchError):
    """The server does not know the batch, or not all of it: idle for ten seconds, or its leader lost."""

    err_codes = (10176, 10208)


class BatchDuplicateError(BatchError):
    """A ``msg_id`` of the atomic batch was stored before, or is in it twice; nothing was stored."""

    err_codes = (10201,)


class LimitError(ApiError):
    """A limit is reached: of the account, the server, or the stream."""

    err_codes = (
        *(10002, 10023, 10026, 10027, 10028, 10047, 10053, 10054, 10077, 10097, 10117, 10120, 10121, 10122),
        *(10125, 10167),
    )


class TooManyResultsError(ApiError):
    """More subjects match than the server gives at once; ask for fewer."""


class ClusterError(ApiError):
    """The cluster cannot do it now: no leader, no quorum, no server that could take it, or it is offline."""

    err_codes = (10004, 10005, 10008, 10009, 10010, 10041, 10118, 10119, 10163, 10194, 10195)


class NotEnabledError(ApiError):
    """JetStream is off, for the server or for the account."""

    err_codes = (10039, 10076)


_BY_CODE: dict[int, type[ApiError]] = {
    400: BadRequestError,
    404: NotFoundError,
    413: TooManyResultsError,
    503: ClusterError,
}


def api_error(error: Mapping[str, Any], request: str = "") -> ApiError:
    """The exception for the ``error`` object of an answer to `request`."""
    code, err_code = _number(error.get("code")), _number(error.get("err_code"))
    kind = _BY_ERR_CODE.get(err_code) or _BY_CODE.get(code) or ApiError
    return kind(code, err_code, str(error.get("description") or ""), request)


def _number(value: object) -> int:
    return value if type(value) is int else 0
