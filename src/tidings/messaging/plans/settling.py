"""When a message is settled, and how: the table of `AckPolicy`, applied to what became of a handler's call.

==================  =====================  =====================================================
the handler         while tries are left   at the end, without a dead-letter address
==================  =====================  =====================================================
succeeded           acknowledged           acknowledged; MANUAL: left to the handler
raised a `Verdict`  as that says           as that says
got no valid input  (there is no other)    rejected; NACK_ON_ERROR: nacked; ACK: acknowledged
failed              nacked with a delay    likewise; MANUAL: left to the handler
is cancelled        nacked                 nacked
failed a requester  as above, if a `Retry` the requester is told, and it is acknowledged
                    is given; else at the end
==================  =====================  =====================================================

What the handler settled itself is left alone, whatever it raises then.
"""

from asyncio import CancelledError
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from ..acks import AckMessage, AckPolicy, NackMessage, RejectMessage, Settler, SkipMessage, Verdict
from ..broker import Broker
from ..dead_letters import letter_headers, one_line
from ..endpoints import Source
from ..errors import SetupError, ValidationError
from ..message import Message
from ..retry import Retry
from .handling import Handling
from .outcome import Outcome, are_cancelled, is_deliberate, log_end, log_failure, log_try

__all__ = ["Settling", "settling_for"]

_ONCE = (AckPolicy.ACK_FIRST, AckPolicy.MANUAL)


def settling_for(source: Source, settler: Settler | None, broker: Broker[Any]) -> "Settling | None":
    """How the messages of `source` are settled; None where they are not, see `in_place`.

    Raises:
        SetupError: options that the source cannot have, or that exclude each other.
    """
    given = [name for name in ("ack_policy", "batch") if getattr(source, name) is not None]
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
        self._retry_is_given = source.retry is not None
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
                    if (acking := ack(native)) is not None:
                        await acking
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

    def failing(self, here: Handling, outcome: Outcome) -> Callable[[BaseException], Awaitable[bool]]:
        """`fail`, where the handler's results may be requesters' answers.

        One who waits for an answer is told of the failure at once, unless a `Retry` is given. Then he is told
        at the end; and never of the failure of a message that he has an answer to.
        """

        async def fail(error: BaseException) -> bool:
            await self.fail(here, error)
            return False

        async def fail_or_tell(error: BaseException) -> bool:
            message = here.message()
            to_end = isinstance(error, CancelledError) and are_cancelled()
            comes_again = isinstance(error, NackMessage) or self._is_retried(here.native, message, error)
            if to_end or comes_again or not message.reply_to:
                await self.fail(here, error)
            else:
                await self._fail_answered(here.native, message, outcome, error)
            return False

        return fail_or_tell if outcome.replies else fail

    def _is_retried(self, native: Any, message: Message[Any], error: BaseException) -> bool:
        """Whether a request is handled again."""
        is_over = message.replied or is_deliberate(error) or self.settler.is_settled(native)
        if is_over or not self._retry_is_given:
            return False
        return self._has_another_try(error, self.settler.deliveries(native))

    def _has_another_try(self, error: BaseException, attempt: int) -> bool:
        if isinstance(error, (Verdict, ValidationError)) or self._policy is AckPolicy.MANUAL:
            return False
        return isinstance(error, self._retry.on) and (not self._tries or attempt < self._tries)

    async def _fail_answered(
        self, native: Any, message: Message[Any], outcome: Outcome, error: BaseException
    ) -> None:
        settler, is_failure = self.settler, not isinstance(error, (AckMessage, SkipMessage))
        if is_failure:
            if self._broker.watch is not None:
                self._broker.watch.failed(message, error)
            await outcome.tell_requester(message, error)
        is_over = settler.is_settled(native) and self._policy is not AckPolicy.ACK_FIRST
        if is_failure and not is_over and self._dead_letter is not None:
            await self._bury(native, message, error, settler.deliveries(native), self._dead_letter)
            return
        if is_failure:
            log_failure(self._logger, message, error)
        if not settler.is_settled(native):
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
        elif self._has_another_try(error, attempt):
            await self._again(native, message, error, attempt)
        elif self._policy is AckPolicy.MANUAL and not isinstance(error, (Verdict, ValidationError)):
            log_failure(self._logger, message, error)
        else:
            await self._end(native, message, error, attempt)

    async def _again(self, native: Any, message: Message[Any], error: BaseException, attempt: int) -> None:
        delay = self._retry.delay(attempt)
        log_try(self._logger, message, error, attempt, self._tries, delay)
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
        headers = letter_headers(message, error, attempt)
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
        log_end(self._logger, message, error, attempt, what)

    async def _tell(self, native: Any, settling: Awaitable[None] | None) -> bool:
        try:
            if settling is not None:
                await settling
        except Exception as error:
            self._not_told(native, error)
            return False
        return True

    def _not_told(self, native: Any, error: Exception) -> None:
        if not self.settler.is_settled(native):
            self._logger.warning("a message could not be settled, and will be delivered again: %s", error)


def _reason(error: BaseException) -> str:
    """For the broker, whose other users may read it: without values of ours."""
    return one_line(error.reason) if isinstance(error, RejectMessage) else type(error).__name__
