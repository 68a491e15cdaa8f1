"""What follows a handler's call: its result goes out, or its failure is told.

A result is published to the requester first, then by each publisher of the handler. A failure is
logged, and answered to a requester who has no answer yet:

=====================  ======  =====================================================
the failure            code    description
=====================  ======  =====================================================
ValidationError        400     its text, which says what is wrong and holds no value
RemoteError            its own, as the handler raised it
any other              500     the name of its type; its text stays in our log
=====================  ======  =====================================================
"""

from collections.abc import Callable, Sequence
from time import perf_counter
from typing import Any, cast

from .adapter import Send
from .broker import Broker
from .codec import Encoded
from .errors import RemoteError, ValidationError
from .message import Message, handling

__all__ = ["Outcome", "error_reply"]

_HEAD = 200  # bytes of a payload that a log shows: enough to recognize it


class Outcome:
    """What follows the calls of one handler."""

    def __init__(
        self,
        broker: Broker[Any],
        encode: Callable[[Any], Encoded],
        sends: Sequence[Send],
        message_of: Callable[[Any], Message[Any]],
        *,
        replies: bool,
    ) -> None:
        self._broker = broker
        self._adapter = broker.adapter
        self._encode = encode
        self._sends = sends
        self._message_of = message_of
        self._replies = replies

    async def deliver(self, native: Any, result: Any) -> None:
        """Publish a result to those who want it; None only to a requester, as an empty body."""
        message = self._message(native)
        body, content_type = (b"", "") if result is None else self._encode(result)
        headers = {"correlation_id": message.correlation_id}
        if content_type:
            headers["content-type"] = content_type
        if self._replies and self._adapter.reply_of(native):
            await self._adapter.reply(message, body, headers)
            message.replied = True
        if result is not None:
            for send in self._sends:
                await send(body, headers)

    def _message(self, native: Any) -> Message[Any]:
        """The message around `native`; the one there is, if something in the handler made one."""
        found = handling.get()
        if found is native:
            found = self._message_of(native)
            handling.set(found)
        return cast(Message[Any], found)

    async def fail(self, native: Any, error: Exception) -> None:
        """Tell of a failure: in the log, and to the requester."""
        message = self._message(native)
        self._log_failure(message, error)
        if not self._replies or message.replied or not message.reply_to:
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

    def log_handled(self, native: Any, started: float) -> None:
        """Write the line of a message handled; `started` is of `time.perf_counter`."""
        message = self._message(native)
        milliseconds = (perf_counter() - started) * 1000
        self._broker.logger.log(
            self._broker.options.log_level,
            "%s | %s | handled in %.2f ms",
            message.channel,
            message.correlation_id,
            milliseconds,
            extra={"duration_ms": milliseconds},
        )

    def _log_failure(self, message: Message[Any], error: Exception) -> None:
        where = message.channel, message.correlation_id
        if isinstance(error, ValidationError):
            head = message.body[:_HEAD]
            self._broker.logger.error(
                "%s | %s | %s; payload: %r", *where, error, head, extra={"payload_head": head}
            )
        else:
            self._broker.logger.error("%s | %s | %s: %s", *where, type(error).__name__, error, exc_info=error)


def error_reply(error: Exception) -> tuple[str, str]:
    """The code and the description that a requester gets."""
    if isinstance(error, RemoteError):
        return error.code, error.description
    if isinstance(error, ValidationError):
        return "400", str(error)
    return "500", f"the handler failed with {type(error).__name__}"
