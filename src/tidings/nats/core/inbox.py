"""Subjects on which replies come: unique, and not to be guessed."""

from __future__ import annotations

import os

from tidings.nats.errors import BadSubjectError
from tidings.nats.wire import check_subject

__all__ = ["check_prefix", "new_inbox"]


def new_inbox(prefix: str) -> str:
    """A fresh subject below `prefix`; 88 random bits keep others from guessing it."""
    return f"{prefix}.{os.urandom(11).hex()}"


def check_prefix(prefix: str) -> None:
    """Refuse an ``inbox_prefix`` that is no literal subject. Raises BadSubjectError."""
    try:
        check_subject(prefix, "inbox_prefix")
    except TypeError as error:
        raise BadSubjectError(str(error)) from None
