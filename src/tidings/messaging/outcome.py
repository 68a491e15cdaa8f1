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
from collections.abc import Callable, Sequence
from logging import Logger
from time import perf_counter
from typing import Any

from .acks import AckMessage, SkipMessage, Verdict
from .adapter import Send
from .broker import Broker
from .codec import Encoded
from .errors import RemoteError, ValidationError
from .handling import Handling
from .message import Message
from .response import Response

__all__ = ["FAILURES", "Outcome", "are_cancelled", "error_reply", "log_failure", "payload_head"]

FAILURES = (Exception, CancelledError)
"""What a handler may fail with. It gets CancelledError also from something else that it awaits."""

_HEAD = 200  # bytes of a payload that a log shows: enough to recognize it


class Outcome:
    """What follows the calls of one handler.

    Args:
        broker: whose logger and adapter it uses.
        encode: makes a result a body with its content type.
        sends: publish a result, one for each publisher of the handler.
        here: the message being handled.
        replies: whether requesters are answered.
        encode_untyped: makes the body of a `Response`; None for what the broker does.
    """

    def __init__(
        self,
        broker: Broker[Any],
        encode: Callable[[Any], Encoded],
        sends: Sequence[Send],
        here: Handling,
        *,
        replies: bool,
        encode_untyped: Callable[[Any], Encoded] | None = None,
    ) -> None:
        self.here = here
        self.publishes = bool(sends)
        self.replies = replies
        self._broker = broker
        self._adapter = broker.adapter
        self._encode = encode
        self._sends = sends
        self._encode_untyped = encode_untyped

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
        body, headers = self._broker.compose(
            response.body, response.headers, correlation_id, self._encode_untyped
        )
        if response.reply and self.replies and message.reply_to:
            await self._adapter.reply(message, body, headers)
            message.replied = True
        if response.publish:
            for send in self._sends:
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
