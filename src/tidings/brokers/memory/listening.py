"""How a subscriber's workers take from an inbox, and stop."""

import asyncio
from contextlib import suppress
from contextvars import copy_context

from tidings.messaging.adapter import Handle
from tidings.messaging.batch import Batch

from .inbox import Inbox
from .message import MemoryMsg
from .options import MemorySource
from .server import MemoryServer

__all__ = ["Listening"]

_IN_A_ROW = 128  # messages handled before others get a turn: the other members of a queue group too
_PATIENCE = 2.0  # seconds that cancelled handlers have to come to their end


class Listening:
    """Hands the messages of a source to a handler.

    Attributes:
        tasks: the workers.
    """

    def __init__(self, server: MemoryServer, source: MemorySource, handle: Handle) -> None:
        self.tasks: set[asyncio.Task[None]] = set()
        self._server = server
        self._source = source
        self._handle = handle
        self._ended = False
        self._inbox = server.join(source.pattern.subject, source.queue)
        loop = asyncio.get_running_loop()
        for number in range(source.workers):
            name = f"{source.subject} worker {number}"
            task = loop.create_task(self._work(), name=name, context=copy_context())
            self.tasks.add(task)
            task.add_done_callback(self.tasks.discard)

    @property
    def runs_here(self) -> bool:
        """Whether it is one of the handlers that asks."""
        return asyncio.current_task() in self.tasks

    @property
    def trouble(self) -> str:
        """What keeps messages from the handler; empty where nothing does."""
        missing = self._source.workers - len(self.tasks)
        return f"{missing} of its {self._source.workers} workers have ended" if missing else ""

    async def _work(self) -> None:
        inbox, batch = self._inbox, self._source.batch
        while not self._is_over(inbox):
            if not inbox.queue:
                await inbox.arrival()
            elif batch is None:
                await self._one_by_one(inbox)
            else:
                await self._handle(await self._gather(inbox, batch))
            await asyncio.sleep(0)

    def _is_over(self, inbox: Inbox) -> bool:
        """What the queue holds is for the members that stay; the last one works it off."""
        return self._ended and (inbox.members > 0 or not inbox.queue)

    async def _one_by_one(self, inbox: Inbox) -> None:
        handle, queue, left = self._handle, inbox.queue, _IN_A_ROW
        while queue and left:
            if self._ended and inbox.members:
                return
            left -= 1
            await handle(queue.popleft())

    async def _gather(self, inbox: Inbox, batch: Batch) -> list[MemoryMsg]:
        gathered = [inbox.queue.popleft()]
        inbox.held += 1
        try:
            with suppress(TimeoutError):
                async with asyncio.timeout(batch.timeout):
                    while len(gathered) < batch.size:
                        if inbox.queue:
                            gathered.append(inbox.queue.popleft())
                        elif self._ended:
                            break
                        else:
                            await inbox.arrival()
        except asyncio.CancelledError:
            for message in gathered:
                await message.nack()
            raise
        finally:
            inbox.held -= 1
        return gathered

    async def end(self, timeout: float) -> int:
        """Listen no more, and handle what was delivered unless others of the queue group do.

        Args:
            timeout: seconds. Handlers that run then are cancelled, and their messages go to the others.

        Returns:
            How many messages nobody has handled then.
        """
        inbox = self._inbox
        if not self._ended:
            self._ended = True
            self._server.leave(inbox)
            if not inbox.members:
                inbox.hurry()
            inbox.wake_all()
        if self.runs_here and timeout > 0:
            return 0  # the worker that calls us comes to its end behind us
        others = self.tasks - {asyncio.current_task()}
        cancelled = 0
        given_up = inbox.given_up
        if others:
            _, busy = await asyncio.wait(others, timeout=timeout)
            cancelled = len(busy)
            given_up = inbox.given_up + len(inbox.queue)
            for task in busy:
                task.cancel()
            if busy:
                await asyncio.wait(busy, timeout=_PATIENCE)
        if inbox.members:
            return 0
        # What cancelled handlers held is given back, unless it was settled before.
        left = max(inbox.given_up + len(inbox.queue), given_up + cancelled)
        inbox.queue.clear()
        inbox.given_up = 0
        return left
