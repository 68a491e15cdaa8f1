"""A message that was handled is not handled again.

Each message has a key, and the key a mark in a store (`marks`)::

    none      ──claim──▶  claimed by one delivery, for `lease` seconds
    claimed   ──the handler succeeded──▶  handled, for `ttl` seconds
    claimed   ──it failed, or was cancelled──▶  none
    claimed   ──its process died: the lease ends──▶  none

==========================  ====================================  ===================================
a message finds its key     where messages are settled            where they are not
==========================  ====================================  ===================================
free                        handled                               handled
handled                     acknowledged                          dropped; a requester is told, 409
claimed by another one      nacked with a delay; waits here       waits here
                            when the broker would not deliver it
                            again
not to be asked for         likewise nacked; handled when the     handled
                            broker would not deliver it again
==========================  ====================================  ===================================

So a message is never lost for its mark. It is handled twice when the process dies, or the store goes away,
between the handler's success and the mark; when a handler outlasts its lease; and when a store goes away
whose broker delivers no more.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from hashlib import sha256
from inspect import isawaitable
from os import urandom
from typing import Any, TypeAlias

from ..acks import AckMessage, NackMessage, Settler, SkipMessage
from ..bodies.payload import whole_decoder
from ..context import follow
from ..dedupe import Dedupe
from ..durations import to_seconds
from ..endpoints import Decode
from ..errors import ContextError, FieldError, ValidationError
from ..marks import Marks
from ..message import Message
from .handling import Handling, handling
from .outcome import Outcome, pass_on

__all__ = ["HANDLED_BEFORE", "Deduping"]

HANDLED_BEFORE = "409", "a message of this key was handled before"
"""What a requester is answered whose message is a duplicate."""

_HANDLED = "handled"
_FIRST_LOOK, _LONGEST_PAUSE = 0.05, 1.0  # seconds between looks at a mark that another delivery holds

Run: TypeAlias = Callable[[Any], Awaitable[bool]]
Fail: TypeAlias = Callable[[BaseException], Awaitable[bool]]


class Deduping:
    """Claims the keys of one plan's messages, which come one after the other.

    Args:
        dedupe: what is asked for.
        marks: the store, open.
        name: whose keys, where `dedupe` does not say.
        settler: what settles the messages; None where they are not.
        here: the message being handled.
        decoder: reads bodies for ``"body:…"`` in the place of JSON.
        broker: whose logger is used, and who answers requesters.
        acks_first: whether messages are acknowledged before they come here.
    """

    def __init__(
        self,
        dedupe: Dedupe,
        marks: Marks,
        name: str,
        settler: Settler | None,
        here: Handling,
        decoder: Decode | None,
        broker: Any,
        *,
        acks_first: bool = False,
    ) -> None:
        self._dedupe = dedupe
        self._marks = marks
        self._space = (dedupe.name or name).encode() + b"\0"
        self._settler = settler
        self._here = here
        self._decode = None if decoder is None else whole_decoder(decoder)
        self._broker = broker
        self._acks_first = acks_first
        self._logger = broker.logger
        self._ttl = to_seconds(dedupe.ttl, "ttl")
        self._lease = to_seconds(dedupe.lease, "lease")
        self._claim: tuple[str, int] | None = None  # the key and the revision of the mark of this message
        self._failure: BaseException | None = None  # of this message's last try

    def failing(self, failing: Callable[[Outcome], Fail]) -> Callable[[Outcome], Fail]:
        """`failing`, with the claim given up before the message is: who gets it next finds it free.

        Where messages are not settled their tries are made within one claim, and `concluding` gives it up.
        """

        def failing_here(outcome: Outcome) -> Fail:
            fail = failing(outcome)

            async def conclude_and_fail(error: BaseException) -> bool:
                await self._conclude(error)
                return await fail(error)

            async def note_and_fail(error: BaseException) -> bool:
                self._failure = error
                return await fail(error)

            return note_and_fail if self._settler is None else conclude_and_fail

        return failing_here

    def claiming(self, run: Run, fail: Fail, *, answers: bool) -> Run:
        """`run` for messages whose key is free; the others go to `fail` with what becomes of them.

        Args:
            run: handles a native message; its failures went through `failing`.
            fail: settles a message by what it failed with; through `failing` too.
            answers: whether requesters are answered.
        """
        here = self._here

        async def claim_and_run(native: Any) -> bool:
            if handling.get() is not here:
                handling.set(here)
            here.native, here.made = native, None
            try:
                if self._claim is None:
                    await self._take(native, here.message())
            except BaseException as error:
                pass_on(error)
                if isinstance(error, AckMessage):
                    await self._pass_over(here.message(), answers)
                return await fail(error)
            return await run(native)

        return claim_and_run

    def concluding(self, run: Run) -> Run:
        """`run`, which claims, and remembers the key where it succeeded; where it did not the key is free."""

        async def run_and_conclude(native: Any) -> bool:
            self._claim = self._failure = None
            try:
                succeeded = await run(native)
            except asyncio.CancelledError:
                await self._free()
                raise
            if not succeeded:
                await self._conclude(self._failure)
            elif self._is_settled_by_hand(native):
                # It may have said that it is not done: only what comes again for nothing is lost by this.
                channel = self._here.message().channel
                self._logger.warning("%s: settled by its handler, so not remembered", channel)
                await self._free()
            else:
                await self._remember()
            return succeeded

        return run_and_conclude

    async def _conclude(self, failure: BaseException | None) -> None:
        if isinstance(failure, AckMessage | SkipMessage):
            await self._remember()
        else:
            await self._free()

    def _is_settled_by_hand(self, native: Any) -> bool:
        return self._settler is not None and not self._acks_first and self._settler.is_settled(native)

    async def _take(self, native: Any, message: Message[Any]) -> None:
        """Claim the key. AckMessage where it is handled, NackMessage where it is to come again."""
        text = await self._key_of(message)
        if text is None:
            return
        key = sha256(self._space + text.encode()).hexdigest()
        token = urandom(8).hex()
        pause = _FIRST_LOOK
        while True:
            try:
                found = await self._look(key, token)
            except Exception as error:
                again = self._comes_again(native)
                self._log(message, "is to come again" if again else "may be a duplicate", error)
                if again:
                    raise NackMessage from error
                return
            if found == _HANDLED:
                self._logger.debug("%s | %s | handled before", message.channel, message.correlation_id)
                raise AckMessage
            if self._claim is not None:
                return
            if self._comes_again(native):
                raise NackMessage
            await asyncio.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)

    async def _look(self, key: str, token: str) -> str:
        """Claim the key if it is free; what its mark says if it is not."""
        revision = await self._marks.create(key, token, self._lease)
        if revision is None:
            mark = await self._marks.get(key)
            if mark is None or mark.text != token:  # ours where the answer to an earlier try was lost
                return "" if mark is None else mark.text
            revision = mark.revision
        self._claim = key, revision
        return token

    def _comes_again(self, native: Any) -> bool:
        settler = self._settler
        if settler is None or settler.is_settled(native):
            return False
        most = settler.max_deliveries
        return not most or settler.deliveries(native) < most

    async def _key_of(self, message: Message[Any]) -> str | None:
        key = self._dedupe.key
        if not isinstance(key, str):
            made = key(message)
            text = await made if isawaitable(made) else made
            what = "the function of its dedupe gives no key"
        else:
            kind, _, name = key.partition(":")
            what = f"the {kind} has no {name!r}, its key"
            text = message.headers.get(name) if kind == "header" else await self._field(message, name)
        if text is None or text == "":
            if self._dedupe.missing == "handle":
                return None
            raise ValidationError(message.channel, (FieldError("", "", what),))
        return str(text)

    async def _field(self, message: Message[Any], path: str) -> str | None:
        try:
            made = message.decode() if self._decode is None else self._decode(message)
            body = await made if isawaitable(made) else made
            value = follow(body, path.split("."))
        except ContextError:
            return None
        except Exception as error:
            problem = FieldError("", path, "the body cannot be read, and has the key")
            raise ValidationError(message.channel, (problem,)) from error
        if value is None or isinstance(value, str | int | float):
            return None if value is None else str(value)
        problem = FieldError("", path, f"a key is a text or a number, not a {type(value).__name__}")
        raise ValidationError(message.channel, (problem,))

    async def _remember(self) -> None:
        if self._claim is None:
            return
        (key, revision), self._claim = self._claim, None
        try:
            if await self._marks.update(key, _HANDLED, revision, self._ttl) is None:
                # The lease ended before the handler did.
                await self._marks.create(key, _HANDLED, self._ttl)
        except Exception as error:
            self._log(self._here.message(), "is handled, and a duplicate would be too", error)

    def _log(self, message: Message[Any], what: str, error: Exception) -> None:
        self._logger.error(
            "%s | %s | the store of its dedupe does not answer, so it %s: %s",
            message.channel,
            message.correlation_id,
            what,
            error,
        )

    async def _free(self) -> None:
        if self._claim is None:
            return
        (key, revision), self._claim = self._claim, None
        with suppress(Exception):  # the lease ends by itself
            await self._marks.delete(key, revision)

    async def _pass_over(self, message: Message[Any], answers: bool) -> None:
        if self._broker.watch is not None:
            self._broker.watch.passed_over()
        if not answers or not message.reply_to:
            return
        try:
            await self._broker.adapter.reply_error(message, *HANDLED_BEFORE)
        except Exception as error:
            self._logger.error(
                "%s | %s | the requester could not be told that it was handled before: %s",
                message.channel,
                message.correlation_id,
                error,
            )
