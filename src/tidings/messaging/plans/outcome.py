"""What follows a handler's call: its result goes out, or its failure is told.

A result is published to the requester first, then by each publisher of the handler. A failure is
logged, and answered to a requester who has no answer yet:

=====================  ======  =====================================================
the failure            code    description
=====================  ======  =====================================================
ValidationError        400     its text, which says what is wrong and holds no value
RemoteError that the   its own, as the handler raised it
handler raised itself
any other              500     the name of its type; its text stays in our log
=====================  ======  =====================================================

`AckMessage` and `SkipMessage` are no failures, and nobody is told of them.
"""

from asyncio import current_task
from collections.abc import Sequence
from dataclasses import dataclass
from logging import ERROR, WARNING, Logger
from time import perf_counter
from typing import Any

from ..acks import RejectMessage, Verdict
from ..adapter import Send
from ..broker import Broker
from ..endpoints import Encode
from ..errors import RemoteError, ValidationError
from ..message import Message
from ..response import Response
from .handling import Handling

__all__ = [
    "Encoders",
    "Outcome",
    "are_cancelled",
    "error_reply",
    "is_deliberate",
    "log_end",
    "log_failure",
    "log_try",
    "pass_on",
]

_ENDS = (KeyboardInterrupt, SystemExit, GeneratorExit)
_HEAD = 200  # bytes of a payload that a log shows: enough to recognize it


@dataclass(frozen=True, slots=True)
class Encoders:
    """What makes the bodies of one handler's results; each raises ResultError.

    Attributes:
        result: of what it returns.
        response: of what stands in a `Response`.
        untyped: of what neither speaks of: no body, and what a middleware made of one.
    """

    result: Encode
    response: Encode
    untyped: Encode

    def of_response(self, response: Response[Any]) -> Encode:
        """The one for the body of a `Response`."""
        return self.untyped if response.body is None else self.response


class Outcome:
    """What follows the calls of one handler.

    Args:
        broker: whose logger and adapter it uses.
        encoders: make results bodies with their content types.
        sends: publish a result, one for each publisher of the handler.
        here: the message being handled.
        replies: whether requesters are answered.
    """

    def __init__(
        self,
        broker: Broker[Any],
        encoders: Encoders,
        sends: Sequence[Send],
        here: Handling,
        *,
        replies: bool,
    ) -> None:
        self.here = here
        self.publishes = bool(sends)
        self.replies = replies
        self._broker = broker
        self._adapter = broker.adapter
        self._encode = encoders.result
        self._encoders = encoders
        self._sends = sends

    async def deliver(self, result: Any) -> None:
        """Publish a result to those who want it; None only to a requester, as an empty body."""
        if isinstance(result, Response):
            await self._deliver_response(result)
            return
        message = self.here.message()
        body, content_type = (b"", "") if result is None else self._encode(result)
        headers = {"correlation_id": message.correlation_id}
        if content_type:
            headers["content-type"] = content_type
        if self.replies and message.reply_to:
            await self._adapter.reply(message, body, headers)
            message.replied = True
        if result is not None:
            for send in self._sends:
                await send(body, headers)

    async def _deliver_response(self, response: Response[Any]) -> None:
        message = self.here.message()
        correlation_id = response.correlation_id or message.correlation_id
        encode = self._encoders.of_response(response)
        body, headers = self._broker.compose(response.body, response.headers, correlation_id, encode)
        sends = [response.sender(send) for send in self._sends] if response.publish else []
        if response.reply and self.replies and message.reply_to:
            await self._adapter.reply(message, body, headers)
            message.replied = True
        for send in sends:
            await send(body, headers)

    async def tell_requester(self, message: Message[Any], error: BaseException) -> bool:
        """Answer the requester of `message`, if it has one without an answer, that its handler failed.

        Returns:
            Whether there is a requester.
        """
        if not self.replies or not message.reply_to:
            return False
        if message.replied:
            return True
        try:
            await self._adapter.reply_error(message, *error_reply(error))
        except Exception as second:
            self._broker.logger.error(
                "%s | %s | the requester could not be told of it: %s",
                message.channel,
                message.correlation_id,
                second,
            )
        return True

    def log_handled(self, started: float, level: int) -> None:
        """Write the line of a message handled; `started` is of `time.perf_counter`."""
        message = self.here.message()
        milliseconds = (perf_counter() - started) * 1000
        self._broker.logger.log(
            level,
            "%s | %s | handled in %.2f ms",
            message.channel,
            message.correlation_id,
            milliseconds,
            extra={"duration_ms": milliseconds},
        )


def log_failure(logger: Logger, message: Message[Any], error: BaseException) -> None:
    """Write that the handler of `message` failed, and how."""
    where = (message.channel, message.correlation_id)
    if isinstance(error, ValidationError):
        head = _payload_head(message)
        logger.error("%s | %s | %s; payload: %r", *where, error, head, extra={"payload_head": head})
    elif isinstance(error, Verdict):
        logger.warning("%s | %s | %s: %s", *where, type(error).__name__, error)
    elif is_deliberate(error):
        logger.warning("%s | %s | answered with %s", *where, error)
    else:
        logger.error("%s | %s | %s: %s", *where, type(error).__name__, error, exc_info=error)


def log_try(
    logger: Logger, message: Message[Any], error: BaseException, attempt: int, most: int, delay: float
) -> None:
    """Write that a try failed, and when the next one is; `most` is 0 where there is no end of them."""
    logger.warning(
        "%s | %s | try %d%s failed, again in %.3g s: %s: %s",
        message.channel,
        message.correlation_id,
        attempt,
        f" of {most}" if most else "",
        delay,
        type(error).__name__,
        error,
        exc_info=None if isinstance(error, Verdict) else error,
        extra={"attempt": attempt, "delay": delay},
    )


def log_end(logger: Logger, message: Message[Any], error: BaseException, attempt: int, what: str) -> None:
    """Write that there is no other try, and `what` becomes of the message."""
    head = _payload_head(message)
    is_failure = not isinstance(error, (Verdict, ValidationError))
    logger.log(
        WARNING if isinstance(error, RejectMessage) else ERROR,
        "%s | %s | %s: %s; %s after try %d; payload: %r",
        message.channel,
        message.correlation_id,
        type(error).__name__,
        error,
        what,
        attempt,
        head,
        exc_info=error if is_failure else None,
        extra={"payload_head": head, "attempt": attempt},
    )


def _payload_head(message: Message[Any]) -> bytes:
    """As much of the payload as a log shows."""
    return message.body[:_HEAD]


def error_reply(error: BaseException) -> tuple[str, str]:
    """The code and the description that a requester gets."""
    if isinstance(error, RemoteError) and is_deliberate(error):
        return error.code, error.description
    if isinstance(error, ValidationError):
        return "400", str(error)
    return "500", f"the handler failed with {type(error).__name__}"


def is_deliberate(error: BaseException) -> bool:
    """Whether it is what a handler wants its requester to be answered with."""
    return isinstance(error, RemoteError) and error.response is None


def are_cancelled() -> bool:
    """Whether it is the current task that is to end."""
    task = current_task()
    return task is None or task.cancelling() > 0


def pass_on(error: BaseException) -> None:
    """Raise what is for the program, and no failure of a handler.

    All else is one: a CancelledError too, which a handler also gets from something else that it awaits, and
    other children of BaseException, such as what `pytest.fail` raises. They would end who delivers to it.
    """
    if isinstance(error, _ENDS):
        raise error
