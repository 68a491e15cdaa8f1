"""Keys, JWTs and creds files, made by hand for servers of a test's own."""

from __future__ import annotations

import base64
import json
import os
import time
from typing import Any

import nkeys

__all__ = ["Key", "Operator", "creds_text"]

NO_LIMIT = {"subs": -1, "data": -1, "payload": -1}
ACCOUNT_LIMITS = NO_LIMIT | {"imports": -1, "exports": -1, "wildcards": True, "conn": -1, "leaf": -1}


class Key:
    """A key pair of a user ("U"), an account ("A") or an operator ("O").

    Attributes:
        seed, public: as text.
    """

    def __init__(self, kind: str = "U") -> None:
        prefix = {
            "U": nkeys.PREFIX_BYTE_USER,
            "A": nkeys.PREFIX_BYTE_ACCOUNT,
            "O": nkeys.PREFIX_BYTE_OPERATOR,
        }
        self.seed: str = nkeys.encode_seed(os.urandom(32), prefix[kind]).decode()
        self._pair = nkeys.from_seed(self.seed.encode())
        self.public: str = self._pair.public_key.decode()

    def sign(self, data: bytes) -> bytes:
        signature: bytes = self._pair.sign(data)
        return signature

    def jwt(self, subject: str, nats: dict[str, Any], **claims: Any) -> str:
        """A JWT for `subject`, signed by this key."""
        header = {"typ": "JWT", "alg": "ed25519-nkey"}
        body = {
            "jti": os.urandom(8).hex(),
            "iat": int(time.time()),
            "iss": self.public,
            "sub": subject,
            "name": subject[:5],
            "nats": nats | {"version": 2},
        } | claims
        signed = ".".join(_base64(json.dumps(part).encode()) for part in (header, body))
        return f"{signed}.{_base64(self.sign(signed.encode()))}"


class Operator:
    """An operator with one account, of these limits; `config` is for a server that trusts it."""

    def __init__(self, limits: dict[str, Any] = ACCOUNT_LIMITS) -> None:
        self._key = Key("O")
        self._account = Key("A")
        self._system = Key("A")
        self._limits = limits

    @property
    def config(self) -> str:
        account, system = self._account.public, self._system.public
        jwt = self._key.jwt(account, {"type": "account", "limits": self._limits})
        system_jwt = self._key.jwt(system, {"type": "account", "limits": ACCOUNT_LIMITS})
        operator = self._key.jwt(self._key.public, {"type": "operator"})
        return (
            f"operator: {operator}\nsystem_account: {system}\nresolver: MEMORY\n"
            f"resolver_preload: {{ {account}: {jwt}, {system}: {system_jwt} }}\n"
        )

    def user(self, key: Key, *, seconds: int = 0, **nats: Any) -> str:
        """The JWT of a user; it expires in so many `seconds`, or never."""
        claims = {"exp": int(time.time()) + seconds} if seconds else {}
        return self._account.jwt(key.public, {"type": "user"} | NO_LIMIT | nats, **claims)


def creds_text(jwt: str, seed: str) -> str:
    """As `nsc generate creds` writes it."""
    return (
        f"-----BEGIN NATS USER JWT-----\n{jwt}\n------END NATS USER JWT------\n\n"
        "************************* IMPORTANT *************************\n"
        "NKEY Seed printed below can be used to sign and prove identity.\n"
        "NKEYs are sensitive and should be treated as secrets.\n\n"
        f"-----BEGIN USER NKEY SEED-----\n{seed}\n------END USER NKEY SEED------\n\n"
        "*************************************************************\n"
    )


def _base64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
