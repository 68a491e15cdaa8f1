"""Subjects: what may stand in a protocol line, and which pattern matches which subject.

A subject is a row of tokens joined by dots. ``*`` as a whole token matches one token, ``>`` as the
last token matches one or more. The server splits protocol lines at white space, so no character up
to and including the space, nor DEL, may stand in a subject (NATS protocol, "Subject names"). Nor may
half of a surrogate pair, which has no bytes; but U+DC80 to U+DCFF stand for bytes that were no UTF-8.
"""

from __future__ import annotations

import re

from tidings.nats.errors import BadSubjectError

__all__ = ["check_pattern", "check_queue", "check_subject", "subject_matches"]

# What does not fit into a line, to stand in [^…].
_UNFIT = r"\x00-\x20\x7f\ud800-\udc7f\udd00-\udfff"
_TOKENS = re.compile(rf"[^.{_UNFIT}]+(?:\.[^.{_UNFIT}]+)*")
# One pattern for the way that has no error; the words are found only when it fails.
_LITERAL = re.compile(rf"(?!(?:.*\.)?[*>](?:\.|\Z)){_TOKENS.pattern}", re.S)
_WORD = re.compile(rf"[^{_UNFIT}]+")


def check_subject(subject: str, what: str = "subject") -> None:
    """Refuse a subject that cannot be published to.

    Raises:
        BadSubjectError: empty, with an empty token, white space or a control character, or with a
            wildcard (only a subscription may have one).
        TypeError: not a ``str``.
    """
    if not isinstance(subject, str):
        raise TypeError(f"the {what} must be a str, not {type(subject).__name__}")
    if _LITERAL.fullmatch(subject) is None:
        raise BadSubjectError(
            _reason(subject, what) or f"{what} {subject!r} has a wildcard: publish to a literal one"
        )


def check_pattern(pattern: str, what: str = "subject") -> None:
    """Refuse a subject that cannot be subscribed to; wildcards are welcome.

    Raises:
        BadSubjectError: empty, with an empty token, white space or a control character, or with
            ``>`` before the end.
        TypeError: not a ``str``.
    """
    if not isinstance(pattern, str):
        raise TypeError(f"the {what} must be a str, not {type(pattern).__name__}")
    if reason := _reason(pattern, what):
        raise BadSubjectError(reason)
    if ">" in pattern.split(".")[:-1]:
        raise BadSubjectError(f"{what} {pattern!r}: '>' matches the rest and can only be the last token")


def check_queue(queue: str) -> None:
    """Refuse a queue group name that would break the SUB line.

    Raises:
        BadSubjectError: with white space or a control character.
        TypeError: not a ``str``.
    """
    if not isinstance(queue, str):
        raise TypeError(f"the queue group must be a str, not {type(queue).__name__}")
    if _WORD.fullmatch(queue) is None:
        raise BadSubjectError(
            f"queue group {queue!r} is empty or has white space, a control character or a lone surrogate"
        )


def _reason(subject: str, what: str) -> str:
    if not subject:
        return f"the {what} is empty"
    if _TOKENS.fullmatch(subject) is not None:
        return ""
    if "" in subject.split("."):
        return f"{what} {subject!r} has an empty token: no dot at either end, no two dots in a row"
    return f"{what} {subject!r} has white space, a control character or a lone surrogate"


def subject_matches(pattern: str, subject: str) -> bool:
    """Whether a subscription to `pattern` receives what is published to `subject`.

    Both are taken as valid; ``*`` stands for one token, a last ``>`` for one or more.
    """
    wanted = pattern.split(".")
    given = subject.split(".")
    for i, token in enumerate(wanted):
        if token == ">" and i == len(wanted) - 1:
            return len(given) > i
        if i >= len(given) or (token != "*" and token != given[i]):
            return False
    return len(wanted) == len(given)
