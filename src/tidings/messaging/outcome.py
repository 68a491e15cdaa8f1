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

from asyncio import CancelledError, current_task
from collections.abc import Sequence
from dataclasses import dataclass
from logging import Logger
from time import perf_counter
from typing import Any

from .acks import AckMessage, SkipMessage, Verdict
from .adapter import Send
from .broker import Broker
from .endpoints import Encode
from .errors import RemoteError, ValidationError
from .handling import Handling
from .message import Message
from .response import Response

__all__ = ["FAILURES", "Encoders", "Outcome", "are_cancelled", "error_reply", "log_failure", "payload_head"]

FAILURES = (Exception, CancelledError)
"""What a handler may fail with. It gets CancelledError also from something else that it awaits."""

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

    async def fail(self, error: BaseException) -> None:
        """Tell of a failure: in the log, and to the requester.

        Raises:
            CancelledError: `error`, where it is we who are cancelled.
        """
        if isinstance(error, CancelledError) and are_cancelled():
            raise error
        if isinstance(error, (AckMessage, SkipMessage)):
            return
        message = self.here.message()
        if self._broker.watch is not None:
            self._broker.watch.failed(message, error)
        log_failure(self._broker.logger, message, error)
        if not self.replies or message.replied or not message.reply_to:
            return
        try:
            await self._adapter.reply_error(message, *error_reply(error))
        except Exception as second:
            self._broker.logger.error(
                "%s | %s | the requester could not be told of it: %s",
                message.channel,
                message.correlation_id,
                second,
            )

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
        head = payload_head(message)
        logger.error("%s | %s | %s; payload: %r", *where, error, head, extra={"payload_head": head})
    elif isinstance(error, Verdict):
        logger.warning("%s | %s | %s: %s", *where, type(error).__name__, error)
    elif _is_deliberate(error):
        logger.warning("%s | %s | answered with %s", *where, error)
    else:
        logger.error("%s | %s | %s: %s", *where, type(error).__name__, error, exc_info=error)


def payload_head(message: Message[Any]) -> bytes:
    """As much of the payload as a log shows."""
    return message.body[:_HEAD]


def error_reply(error: BaseException) -> tuple[str, str]:
    """The code and the description that a requester gets."""
    if isinstance(error, RemoteError) and _is_deliberate(error):
        return error.code, error.description
    if isinstance(error, ValidationError):
        return "400", str(error)
    return "500", f"the handler failed with {type(error).__name__}"


def _is_deliberate(error: BaseException) -> bool:
    return isinstance(error, RemoteError) and error.response is None


def are_cancelled() -> bool:
    """Whether it is the current task that is to end."""
    task = current_task()
    return task is None or task.cancelling() > 0
