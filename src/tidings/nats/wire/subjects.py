"""Subjects: what may stand in a protocol line, and which pattern matches which subject.

A subject is a row of tokens joined by dots. ``*`` as a whole token matches one token, ``>`` as the
last token matches one or more. The server splits protocol lines at white space, so no character up
to and including the space, nor DEL, may stand in a subject (NATS protocol, "Subject names"). Nor may
half of a surrogate pair, which has no bytes; but U+DC80 to U+DCFF stand for bytes that were no UTF-8.
"""

from __future__ import annotations

from tidings.nats.errors import BadSubjectError

__all__ = ["check_pattern", "check_queue", "check_subject", "check_word", "subject_matches"]


def check_subject(subject: str, what: str = "subject") -> None:
    """Refuse a subject that cannot be published to.

    Raises:
        BadSubjectError: empty, with an empty token, white space or a control character, or with a
            wildcard (only a subscription may have one).
        TypeError: not a ``str``.
    """
    if not isinstance(subject, str):
        raise TypeError(f"the {what} must be a str, not {type(subject).__name__}")
    tokens = subject.split(".")
    _check_tokens(subject, tokens, what)
    if "*" in tokens or ">" in tokens:
        raise BadSubjectError(f"{what} {subject!r} has a wildcard: publish to a literal one")


def check_pattern(pattern: str, what: str = "subject") -> None:
    """Refuse a subject that cannot be subscribed to; wildcards are welcome.

    Raises:
        BadSubjectError: empty, with an empty token, white space or a control character, or with
            ``>`` before the end.
        TypeError: not a ``str``.
    """
    if not isinstance(pattern, str):
        raise TypeError(f"the {what} must be a str, not {type(pattern).__name__}")
    tokens = pattern.split(".")
    _check_tokens(pattern, tokens, what)
    if ">" in tokens[:-1]:
        raise BadSubjectError(f"{what} {pattern!r}: '>' matches the rest and can only be the last token")


def check_word(subject: str, what: str = "subject") -> None:
    """Refuse only what cannot stand in a protocol line; the rest is for the server to judge.

    Raises:
        BadSubjectError: empty, or with white space, a control character or a lone surrogate.
        TypeError: not a ``str``.
    """
    if not isinstance(subject, str):
        raise TypeError(f"the {what} must be a str, not {type(subject).__name__}")
    if not _is_word(subject):
        raise BadSubjectError(
            f"{what} {subject!r} is empty or has white space, a control character or a lone surrogate"
        )


def check_queue(queue: str) -> None:
    """Refuse a queue group name that would break the SUB line.

    Raises:
        BadSubjectError: with white space or a control character.
        TypeError: not a ``str``.
    """
    if not isinstance(queue, str):
        raise TypeError(f"the queue group must be a str, not {type(queue).__name__}")
    if not _is_word(queue):
        raise BadSubjectError(
            f"queue group {queue!r} is empty or has white space, a control character or a lone surrogate"
        )


def _check_tokens(subject: str, tokens: list[str], what: str) -> None:
    if not subject:
        raise BadSubjectError(f"the {what} is empty")
    if "" in tokens:
        raise BadSubjectError(
            f"{what} {subject!r} has an empty token: no dot at either end, no two dots in a row"
        )
    if not _is_word(subject):
        raise BadSubjectError(f"{what} {subject!r} has white space, a control character or a lone surrogate")


def _is_word(text: str) -> bool:
    """Whether `text` can stand in a protocol line as one word."""
    try:
        encoded = text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return False
    return encoded != b"" and min(encoded) > 0x20 and 0x7F not in encoded


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
