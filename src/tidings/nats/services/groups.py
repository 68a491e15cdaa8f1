"""Groups: endpoints whose subjects begin alike."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

from tidings.nats.core.options import DEFAULT_LIMITS
from tidings.nats.services.config import EndpointConfig, Handler, check_group, check_prefix
from tidings.nats.services.endpoint import Endpoint

__all__ = ["Group"]

Add = Callable[[EndpointConfig], Awaitable[Endpoint]]


class Group:
    """Endpoints whose subjects begin alike; made by `Service.add_group`, or by a group.

    Attributes:
        prefix: first tokens of the subjects; empty for none.
        queue_group: of endpoints that name none; None for that of the service.
    """

    def __init__(self, prefix: str, queue_group: str, add: Add) -> None:
        self.prefix = prefix
        self.queue_group = queue_group
        self._add = add

    async def add_endpoint(
        self,
        name: str,
        handler: Handler,
        *,
        subject: str | None = None,
        queue_group: str | None = None,
        metadata: Mapping[str, str] | None = None,
        workers: int = 1,
        pending_msgs_limit: int = DEFAULT_LIMITS.msgs,
        pending_bytes_limit: int = DEFAULT_LIMITS.bytes,
    ) -> Endpoint:
        """Answer requests; returns when the server knows of it, or at once while the connection is away.

        Args:
            name: letters, digits, ``-`` and ``_``; several endpoints may have the same.
            handler: called with each `Request`; plain or async. What it returns, unless None, is the answer;
                what it raises is an error for the requester, see `ServiceError`.
            subject: what to listen to, after the prefix of the group; may hold wildcards. None is the name.
            queue_group: None for that of the group; an empty text for none: then each instance gets each
                request.
            metadata: text by text, shown by discovery.
            workers: requests handled at once; with more than one their order is lost.
            pending_msgs_limit: requests that may wait for the handler; more are dropped, and reported. 0 is
                no limit.
            pending_bytes_limit: bytes of payload likewise.

        Raises:
            ServiceConfigError: a value that an endpoint cannot have; nothing was sent.
            ServiceStoppedError: the service has ended.
            PermissionsError: the server refuses the subscription.
            ConnectionClosedError, ConnectionDrainingError, FlushTimeoutError: there is no server to tell.
        """
        last = name if subject is None else subject
        config = EndpointConfig(
            name=name,
            handler=handler,
            subject=f"{self.prefix}.{last}" if self.prefix else last,
            queue_group=self.queue_group if queue_group is None else queue_group,
            metadata={} if metadata is None else metadata,
            workers=workers,
            pending_msgs_limit=pending_msgs_limit,
            pending_bytes_limit=pending_bytes_limit,
        )
        return await self._add(config)

    def add_group(self, name: str, *, queue_group: str | None = None) -> Group:
        """A group within this one; costs nothing.

        Args:
            name: one token of a subject, or several.
            queue_group: of endpoints that name none; None for that of this group, an empty text for none.

        Raises:
            ServiceConfigError: a name that cannot begin a subject.
        """
        prefix = check_prefix(name)
        check_group(queue_group)
        return Group(
            f"{self.prefix}.{prefix}" if self.prefix else prefix,
            self.queue_group if queue_group is None else queue_group,
            self._add,
        )
