"""Unique identifiers of 22 characters, as `nats.nuid` gives them."""

from __future__ import annotations

import secrets

__all__ = ["NUID"]

_DIGITS = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_LENGTH = 22


class NUID:
    """Gives identifiers that nobody else has."""

    def next(self) -> bytearray:
        """22 random letters and digits: 131 bits, which needs no sequence to be unique."""
        return bytearray(_DIGITS[secrets.randbelow(62)] for _ in range(_LENGTH))
