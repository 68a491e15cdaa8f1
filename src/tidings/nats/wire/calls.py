"""The calls of plain callbacks, one after the other for all routes that got messages."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tidings.nats.wire.message import Route

__all__ = ["Calls"]


class Calls:
    """The routes whose callbacks are due, in the order in which they came to be.

    A callback that is a plain function needs no task: over many routes with a message or two for each,
    tasks would cost more than all else.

    Args:
        arm: called when the first route is due; has `run` called soon.
    """

    __slots__ = ("_arm", "_due")

    def __init__(self, arm: Callable[[], Any]) -> None:
        self._arm = arm
        self._due: list[Route] = []

    def add(self, route: Route) -> None:
        """The callback of `route` is to be called for what the route holds."""
        if not route.is_due:
            route.is_due = True
            if not self._due:
                self._arm()
            self._due.append(route)

    def run(self, limit: int) -> None:
        """Call the callbacks that are due, each for at most `limit` messages; the rest is due again.

        Raises:
            BaseException: what `Route.failed` raises; that route and those behind it remain due.
        """
        due, self._due = self._due, []
        served = 0
        try:
            for route in due:
                route.is_due = False
                route.context.run(self._serve, route, limit)
                if route.wants_served:
                    route.served()
                served += 1
        finally:
            for route in due[served:]:
                route.is_due = False
                self.add(route)

    def _serve(self, route: Route, limit: int) -> None:
        callback = route.callback
        for _ in range(limit):
            message = route.pop()
            if message is None:
                return
            try:
                result = callback(message)
            except BaseException as error:
                route.failed(error)
            else:
                if result is not None and route.returned(result):
                    return
        if route.pending_msgs:
            self.add(route)
