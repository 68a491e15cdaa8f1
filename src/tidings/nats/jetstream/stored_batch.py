"""Many stored messages at once, directly from a replica (ADR-31).

A batch is asked for page by page. A page is complete before its first message is given away, so that a slow
reader holds up nobody, and an iteration that ends early leaves nothing behind.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

from tidings.nats.errors import NoRespondersError, TimeoutError
from tidings.nats.jetstream.api import Api
from tidings.nats.jetstream.stored import StoredMsg, direct_msg, is_status, status_error
from tidings.nats.wire import Msg

__all__ = ["stored_batch"]

_PAGE_MSGS = 500
_PAGE_BYTES = 4 * 1024 * 1024
_NOT_FOUND = 404
_END = 204


@dataclass(slots=True)
class _Page:
    """What one request gave: messages, and the status at their end, if it came."""

    msgs: list[StoredMsg] = field(default_factory=list)
    end: Msg | None = None

    @property
    def is_last(self) -> bool:
        """Whether there is nothing behind it."""
        if self.end is None:
            return False  # the connection was lost before the end
        return self.end.status == _NOT_FOUND or self.end.headers.get("Nats-Num-Pending", "0") == "0"


async def stored_batch(
    api: Api, stream: str, request: dict[str, Any], *, limit: int | None, timeout: float | None
) -> AsyncIterator[StoredMsg]:
    """The messages for a request, which lacks ``batch`` and ``max_bytes``; up to `limit`, None is all.

    Raises:
        TimeoutError: a page did not come in time.
        ApiError: the server refuses the request.
        JetStreamUnavailableError: the stream does not allow direct access, or there is none.
    """
    left = limit
    while left is None or left > 0:
        size = _PAGE_MSGS if left is None else min(left, _PAGE_MSGS)
        page = await _ask(api, stream, {**request, "batch": size, "max_bytes": _PAGE_BYTES}, timeout)
        for message in page.msgs:
            yield message
        if page.is_last:
            return
        if left is not None:
            left -= len(page.msgs)
        request = _next_request(request, page)


def _next_request(request: dict[str, Any], page: _Page) -> dict[str, Any]:
    """What to ask for behind `page`."""
    if not page.msgs:
        return request
    following = {**request, "seq": page.msgs[-1].seq + 1}
    following.pop("start_time", None)
    # The last messages of subjects are those as of the first page, whatever is published meanwhile.
    if page.end is not None and (up_to := page.end.headers.get("Nats-UpTo-Sequence", "")).isdecimal():
        following["up_to_seq"] = int(up_to)
        following.pop("up_to_time", None)
    return following


async def _ask(api: Api, stream: str, request: dict[str, Any], timeout: float | None) -> _Page:
    page = _Page()

    def is_end(message: Msg) -> bool:
        if is_status(message):
            page.end = message
            return True
        return False

    limit = api.timeout if timeout is None else timeout
    subject = f"DIRECT.GET.{stream}"
    try:
        async for message in api.connection.request_many(
            f"{api.prefix}.{subject}", json.dumps(request).encode(), timeout=limit, sentinel=is_end
        ):
            page.msgs.append(direct_msg(message, in_batch=True))
    except NoRespondersError as error:
        raise api.unavailable(subject) from error
    end = page.end
    if end is not None and end.status not in (_END, _NOT_FOUND):
        raise status_error(end, subject)
    if end is None and not page.msgs:
        raise TimeoutError(f"no stored messages from {stream!r} within {limit} s")
    return page
