"""Trying again where nobody delivers again: the message stays with its worker, and those behind it wait.

====================================  ======================================================
the handler                           what follows
====================================  ======================================================
failed, while tries are left          a wait that grows, then another try
raised `NackMessage`                  likewise, after its delay
got no valid input, or rejected it    the end
raised `AckMessage`, `SkipMessage`    nothing: it is done
failed a requester                    he is told at once; where a `Retry` is given, at the end
is cancelled                          the end, without a dead letter
====================================  ======================================================

The end is the dead-letter address, if there is one, and in any case a line with the head of the payload.
Each worker waits by itself, so the order of a source with one of them is kept. A stop cuts the wait short:
there is one more try then, and no other.
"""

from asyncio import CancelledError
from collections.abc import Awaitable, Callable
from typing import Any

from ..acks import AckMessage, NackMessage, SkipMessage, Verdict
from ..broker import Broker
from ..dead_letters import letter_headers
from ..endpoints import Source
from ..errors import ValidationError
from ..message import Message
from ..retry import IN_PLACE
from .handling import Handling
from .outcome import Outcome, are_cancelled, is_deliberate, log_end, log_failure, log_try
from .pauses import Pauses

__all__ = ["InPlace"]


class InPlace:
    """Tries the messages of one worker again.

    Attributes:
        run: handles a message; set once that is known, before the first one comes.
    """

    run: Callable[[Any], Awaitable[bool]]

    def __init__(self, source: Source, broker: Broker[Any], here: Handling, pauses: Pauses) -> None:
        self._source = source
        self._retry = source.retry or IN_PLACE
        self._broker = broker
        self._here = here
        self._pauses = pauses
        self._is_trying = False
        self._failures: list[BaseException] = []  # of the try under way

    def failing(self, outcome: Outcome) -> Callable[[BaseException], Awaitable[bool]]:
        """What gets the failures of the handler with this outcome; whether a later try succeeded."""

        async def fail(error: BaseException) -> bool:
            if isinstance(error, CancelledError) and are_cancelled():
                raise error
            if self._is_trying:
                self._failures.append(error)
                return False
            return await self._try_again(outcome, error)

        return fail

    async def _try_again(self, outcome: Outcome, error: BaseException) -> bool:
        first, attempt, is_last = error, 1, False
        native = self._here.native
        self._is_trying = True
        try:
            while not isinstance(error, (AckMessage, SkipMessage)):
                message = self._here.message()
                self._note(message, error)
                if is_last or not self._is_worth_a_try(outcome, message, error, attempt):
                    await self._end(outcome, message, error, attempt)
                    break
                await self._pause(message, error, attempt)
                is_last = self._pauses.are_over
                attempt += 1
                if await self.run(native):
                    return True
                error = self._failures.pop()
                _cut_context(error, first)
        finally:
            self._is_trying = False
            self._failures.clear()
        return False

    def _is_worth_a_try(
        self, outcome: Outcome, message: Message[Any], error: BaseException, attempt: int
    ) -> bool:
        retry = self._retry
        is_asked = outcome.replies and bool(message.reply_to)
        if is_asked and (self._source.retry is None or message.replied or is_deliberate(error)):
            return False
        if attempt >= retry.attempts or isinstance(error, ValidationError):
            return False
        return isinstance(error, NackMessage if isinstance(error, Verdict) else retry.on)

    async def _pause(self, message: Message[Any], error: BaseException, attempt: int) -> None:
        delay = self._retry.delay(attempt)
        if isinstance(error, NackMessage) and error.delay is not None:
            delay = error.delay
        log_try(self._broker.logger, message, error, attempt, self._retry.attempts, delay)
        await self._wait(message, error, attempt, delay)

    async def _wait(self, message: Message[Any], error: BaseException, attempt: int, delay: float) -> None:
        try:
            if self._broker.adapter.waits_in_place:
                await self._pauses.wait(delay)
        except CancelledError:
            log_end(self._broker.logger, message, error, attempt, "cancelled before the next try")
            raise

    def _note(self, message: Message[Any], error: BaseException) -> None:
        if self._broker.watch is not None:
            self._broker.watch.failed(message, error)

    async def _end(self, outcome: Outcome, message: Message[Any], error: BaseException, attempt: int) -> None:
        is_told = await outcome.tell_requester(message, error)
        if self._source.dead_letter is not None:
            await self._bury(message, error, attempt, self._source.dead_letter)
        elif is_told:
            log_failure(self._broker.logger, message, error)
        else:
            log_end(self._broker.logger, message, error, attempt, "given up")

    async def _bury(self, message: Message[Any], error: BaseException, attempt: int, address: str) -> None:
        headers = letter_headers(message, error, attempt)
        for burial in range(1, self._retry.attempts + 1):
            try:
                await self._broker.adapter.bury(message, address, headers)
            except Exception as refusal:
                delay = self._retry.delay(burial)
                is_last = burial == self._retry.attempts or self._pauses.are_over
                what = "it is lost" if is_last else f"again in {delay:.3g} s"
                log_end(
                    self._broker.logger,
                    message,
                    error,
                    attempt,
                    f"{address!r} does not take it, {what}: {refusal}",
                )
                if is_last:
                    return
                await self._wait(message, error, attempt, delay)
            else:
                log_end(self._broker.logger, message, error, attempt, f"moved to {address!r}")
                return


def _cut_context(error: BaseException, first: BaseException) -> None:
    """Take the first failure, within whose handling the later tries are made, from what led to theirs."""
    seen: BaseException | None = error
    while seen is not None and seen is not first:
        if seen.__context__ is first:
            seen.__context__ = None
        seen = seen.__context__
