"""A handler's result with more than its body."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar, Union, get_args, get_origin

from .adapter import Send
from .bodies.annotations import members_of
from .params import MISSING

__all__ = ["Response", "body_of_response", "without_response"]

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Response(Generic[T]):
    """What a handler returns to say more of its result::

        return Response(receipt, headers={"tenant": "t"}, reply=False)

    Annotated as ``-> Response[Receipt]`` its body is checked to be one; that of a ``-> Response`` is encoded
    as it is.

    Attributes:
        body: the result; None is an empty body, which is published all the same.
        headers: sent along; they win over those of a publisher's destination.
        correlation_id: empty for that of the message handled.
        reply: whether a requester gets it. False for one that somebody else will answer.
        publish: whether the publishers of the handler get it.
    """

    body: T
    headers: Mapping[str, str] | None = None
    correlation_id: str = ""
    reply: bool = True
    publish: bool = True

    def sender(self, send: Send) -> Send:
        """What publishes it in the place of `send`, which is a publisher's. A broker's own response may add
        to it. PublishError for a publisher that cannot do what it asks for."""
        return send


def body_of_response(annotation: Any) -> Any:
    """What a return annotation says of the bodies of its `Response`; MISSING for nothing."""
    bodies = [get_args(member) for member in members_of(annotation) if _is_response(member)]
    if not bodies or not all(bodies):
        return MISSING
    return Union[tuple(body for (body,) in bodies)]  # noqa: UP007  of a tuple


def without_response(annotation: Any) -> Any:
    """What a return annotation says of results that are no `Response`; MISSING for nothing."""
    if annotation is MISSING:
        return annotation
    members = members_of(annotation)
    others = tuple(member for member in members if not _is_response(member))
    if len(others) == len(members):
        return annotation
    return Union[others] if others else MISSING  # noqa: UP007  of a tuple


def _is_response(annotation: Any) -> bool:
    found = get_origin(annotation) or annotation
    return isinstance(found, type) and issubclass(found, Response)
