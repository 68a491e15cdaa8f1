"""When a message is settled, and how: the table of `AckPolicy`, applied to what became of a handler's call.

==================  =====================  =====================================================
the handler         while tries are left   at the end, without a dead-letter address
==================  =====================  =====================================================
succeeded           acknowledged           acknowledged; MANUAL: left to the handler
raised a `Verdict`  as that says           as that says
got no valid input  (there is no other)    rejected; NACK_ON_ERROR: nacked; ACK: acknowledged
failed              nacked with a delay    likewise; MANUAL: left to the handler
is cancelled        nacked                 nacked
failed a requester  (there is no other)    the requester is told, and it is acknowledged
==================  =====================  =====================================================

What the handler settled itself is left alone, whatever it raises then.
"""

from asyncio import CancelledError
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Any

from .acks import AckMessage, AckPolicy, NackMessage, RejectMessage, Settler, SkipMessage, Verdict
from .broker import Broker
from .endpoints import Source
from .errors import SetupError, ValidationError
from .handling import Handling
from .message import Message
from .outcome import Outcome, are_cancelled, log_failure, payload_head
from .retry import Retry

__all__ = ["ATTEMPTS", "ERROR", "SOURCE", "TIME", "Settling", "settling_for"]

SOURCE = "dead-letter-source"
"""Header of a dead letter: the address that the message came by."""
ERROR = "dead-letter-error"
"""… what failed: the type of the error and its text."""
ATTEMPTS = "dead-letter-attempts"
"""… how often it was delivered."""
TIME = "dead-letter-time"
"""… when it was given up, RFC 3339."""

_ONCE = (AckPolicy.ACK_FIRST, AckPolicy.MANUAL)
_TEXT = 500  # characters of an error that a header shows


def settling_for(source: Source, settler: Settler | None, broker: Broker[Any]) -> "Settling | None":
    """How the messages of `source` are settled; None where they are not.

    Raises:
        SetupError: options that the source cannot have, or that exclude each other.
    """
    given = [
        name for name in ("ack_policy", "retry", "dead_letter", "batch") if getattr(source, name) is not None
    ]
    if settler is None:
        if given:
            raise SetupError(
                f"{', '.join(given)} of the subscriber of {source.channel!r}: its messages are not settled"
            )
        return None
    policy = source.ack_policy or AckPolicy.REJECT_ON_ERROR
    if source.retry is not None and policy in _ONCE:
        raise SetupError(
            f"retry of the subscriber of {source.channel!r}: with {policy} nothing is tried again; "
            "leave out one of them"
        )
    return Settling(source, settler, policy, broker)


class Settling:
    """Settles the messages of one source.

    Attributes:
        settler: what does it.
    """

    def __init__(self, source: Source, settler: Settler, policy: AckPolicy, broker: Broker[Any]) -> None:
        self.settler = settler
        self._policy = policy
        self._dead_letter = source.dead_letter
        self._retry = source.retry or Retry()
        self._broker = broker
        self._logger = broker.logger
        tries = self._retry.attempts
        if policy in (AckPolicy.ACK_FIRST, AckPolicy.MANUAL) or (
            policy is AckPolicy.ACK and source.retry is None
        ):
            tries = 1
        elif policy is AckPolicy.NACK_ON_ERROR and source.dead_letter is None:
            tries = 0  # no end
        most = settler.max_deliveries
        # A nack of the last delivery would be the end of the message, and nobody would be told.
        self._tries = min(tries or most, most) if most else tries

    def around(self, run: Callable[[Any], Awaitable[bool]]) -> Callable[[Any], Awaitable[bool]]:
        """`run` with what is to be done before and after it succeeds; its failures come to `fail`."""
        ack, not_told = self.settler.ack, self._not_told

        async def run_and_ack(native: Any) -> bool:
            if await run(native):
                try:
                    await ack(native)
                except Exception as error:
                    not_told(native, error)
                return True
            return False

        async def ack_and_run(native: Any) -> bool:
            return await self._tell(native, ack(native)) and await run(native)

        match self._policy:
            case AckPolicy.ACK_FIRST:
                return ack_and_run
            case AckPolicy.MANUAL:
                return run
        return run_and_ack

    async def before(self, natives: Sequence[Any]) -> None:
        """What `around` does before a call, for a batch."""
        if self._policy is AckPolicy.ACK_FIRST:
            for native in natives:
                await self._tell(native, self.settler.ack(native))

    async def after(self, natives: Sequence[Any]) -> None:
        """What `around` does after a call, for a batch."""
        if self._policy is not AckPolicy.MANUAL:
            for native in natives:
                await self._tell(native, self.settler.ack(native))

    async def fail(self, here: Handling, error: BaseException) -> None:
        """Settle the message being handled, whose handler raised `error`.

        Raises:
            CancelledError: `error`, where it is we who are cancelled.
        """
        await self.fail_all([here.native], here.message_of, error, {id(here.native): here.message()})

    def failing(self, here: Handling, outcome: Outcome) -> Callable[[BaseException], Awaitable[None]]:
        """`fail`, where the handler's results are requesters' answers.

        One who waits for an answer is told of the failure at once, so that the message is done: another
        try would answer a second time.
        """

        async def fail(error: BaseException) -> None:
            to_end = isinstance(error, CancelledError) and are_cancelled()
            if to_end or isinstance(error, NackMessage) or not here.message().reply_to:
                await self.fail(here, error)
            else:
                await self._fail_answered(here, outcome, error)

        return fail if outcome.replies else partial(self.fail, here)

    async def _fail_answered(self, here: Handling, outcome: Outcome, error: BaseException) -> None:
        native, message, settler = here.native, here.message(), self.settler
        await outcome.fail(error)
        if settler.is_settled(native) and self._policy is not AckPolicy.ACK_FIRST:
            return
        if self._dead_letter is not None and not isinstance(error, (AckMessage, SkipMessage)):
            await self._bury(native, message, error, settler.deliveries(native), self._dead_letter)
        elif not settler.is_settled(native):
            await self._tell(native, settler.ack(native))

    async def fail_all(
        self,
        natives: Sequence[Any],
        message_of: Callable[[Any], Message[Any]],
        error: BaseException,
        made: dict[int, Message[Any]] | None = None,
    ) -> None:
        """Settle messages that were handled in one call, which raised `error`. Raises as `fail`."""
        try:
            if isinstance(error, CancelledError) and are_cancelled():
                raise error
            for native in natives:
                message = (made or {}).get(id(native)) or message_of(native)
                await self._conclude(native, message, error)
        except CancelledError:
            await self.give_back(natives)
            raise

    async def give_back(self, natives: Sequence[Any]) -> None:
        """Have the broker deliver again what is not settled: nobody works on it any more."""
        for native in natives:
            if not self.settler.is_settled(native):
                await self._tell(native, self.settler.nack(native, None))

    async def _conclude(self, native: Any, message: Message[Any], error: BaseException) -> None:
        settler = self.settler
        attempt = settler.deliveries(native)
        if self._broker.watch is not None and not isinstance(error, (AckMessage, SkipMessage)):
            self._broker.watch.failed(message, error)
        if isinstance(error, (AckMessage, SkipMessage)):
            await self._tell(native, settler.ack(native))
        elif isinstance(error, NackMessage):
            delay = self._retry.delay(attempt) if error.delay is None else error.delay
            await self._tell(native, settler.nack(native, delay))
        elif settler.is_settled(native) and self._policy is not AckPolicy.ACK_FIRST:
            log_failure(self._logger, message, error)
        elif isinstance(error, (Verdict, ValidationError)):
            await self._end(native, message, error, attempt)
        elif self._policy is AckPolicy.MANUAL:
            log_failure(self._logger, message, error)
        elif isinstance(error, self._retry.on) and (not self._tries or attempt < self._tries):
            await self._again(native, message, error, attempt)
        else:
            await self._end(native, message, error, attempt)

    async def _again(self, native: Any, message: Message[Any], error: BaseException, attempt: int) -> None:
        delay = self._retry.delay(attempt)
        self._logger.warning(
            "%s | %s | try %d%s failed, again in %.3g s: %s: %s",
            message.channel,
            message.correlation_id,
            attempt,
            f" of {self._tries}" if self._tries else "",
            delay,
            type(error).__name__,
            error,
            exc_info=error,
            extra={"attempt": attempt, "delay": delay},
        )
        await self._tell(native, self.settler.nack(native, delay))

    async def _end(self, native: Any, message: Message[Any], error: BaseException, attempt: int) -> None:
        if self._dead_letter is not None:
            await self._bury(native, message, error, attempt, self._dead_letter)
            return
        settler, policy = self.settler, self._policy
        if policy is AckPolicy.ACK_FIRST:
            self._log_end(message, error, attempt, "acknowledged before")
        elif policy is AckPolicy.ACK and not isinstance(error, Verdict):
            self._log_end(message, error, attempt, "acknowledged")
            await self._tell(native, settler.ack(native))
        elif self._may_nack(error, attempt):
            self._log_end(message, error, attempt, f"again in {self._retry.max_delay:g} s")
            await self._tell(native, settler.nack(native, self._retry.max_delay))
        else:
            self._log_end(message, error, attempt, "rejected")
            await self._tell(native, settler.reject(native, _reason(error)))

    def _may_nack(self, error: BaseException, attempt: int) -> bool:
        most = self.settler.max_deliveries
        return (
            self._policy is AckPolicy.NACK_ON_ERROR
            and not isinstance(error, Verdict)
            and (not most or attempt < most)
        )

    async def _bury(
        self, native: Any, message: Message[Any], error: BaseException, attempt: int, address: str
    ) -> None:
        settler = self.settler
        headers = {
            SOURCE: message.channel,
            ERROR: _one_line(f"{type(error).__name__}: {error}"),
            ATTEMPTS: str(attempt),
            TIME: datetime.now(UTC).isoformat(timespec="milliseconds"),
            "correlation_id": message.correlation_id,
        }
        try:
            await settler.bury(native, address, headers)
        except Exception as second:
            delay = self._retry.max_delay
            self._log_end(
                message, error, attempt, f"{address!r} does not take it, again in {delay:g} s: {second}"
            )
            await self._tell(native, settler.nack(native, delay))
        else:
            self._log_end(message, error, attempt, f"moved to {address!r}")
            await self._tell(native, settler.ack(native))

    def _log_end(self, message: Message[Any], error: BaseException, attempt: int, what: str) -> None:
        head = payload_head(message)
        is_failure = not isinstance(error, (Verdict, ValidationError))
        self._logger.log(
            _WARNING if isinstance(error, RejectMessage) else _ERROR,
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

    async def _tell(self, native: Any, settling: Awaitable[None]) -> bool:
        try:
            await settling
        except Exception as error:
            self._not_told(native, error)
            return False
        return True

    def _not_told(self, native: Any, error: Exception) -> None:
        if not self.settler.is_settled(native):
            self._logger.warning("a message could not be settled, and will be delivered again: %s", error)


_WARNING, _ERROR = 30, 40


def _reason(error: BaseException) -> str:
    """For the broker, whose other users may read it: without values of ours."""
    return _one_line(error.reason) if isinstance(error, RejectMessage) else type(error).__name__


def _one_line(text: str) -> str:
    return " ".join(text.split())[:_TEXT]
