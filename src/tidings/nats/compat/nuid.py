"""Unique identifiers of 22 characters, as `nats.nuid` gives them."""

from __future__ import annotations

import secrets

__all__ = [
    "BASE",
    "DIGITS",
    "INC",
    "MAX_INC",
    "MAX_SEQ",
    "MIN_INC",
    "NUID",
    "PREFIX_LENGTH",
    "SEQ_LENGTH",
    "TOTAL_LENGTH",
]

# The shape of an identifier, and what a sequence would be counted by, which programs import.
DIGITS = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
BASE = len(DIGITS)
PREFIX_LENGTH = 12
SEQ_LENGTH = 10
TOTAL_LENGTH = PREFIX_LENGTH + SEQ_LENGTH
MAX_SEQ = BASE**SEQ_LENGTH
MIN_INC = 33
MAX_INC = 333
INC = MAX_INC - MIN_INC


class NUID:
    """Gives identifiers that nobody else has."""

    def next(self) -> bytearray:
        """22 random letters and digits: 131 bits, which needs no sequence to be unique."""
        return bytearray(DIGITS[secrets.randbelow(BASE)] for _ in range(TOTAL_LENGTH))

    def randomize_prefix(self) -> None:
        """Nothing to do: each identifier is random as a whole."""

    def reset_sequential(self) -> None:
        """Nothing to do: each identifier is random as a whole."""
