"""Keys and credentials as they are kept: creds files, seeds, and the signature over a nonce.

What is read here is secret. Errors name the file or the option it came from, never what stood in it.
"""

from __future__ import annotations

import base64
import binascii
import importlib
import os
import re
from typing import Any

from tidings.nats.errors import InvalidUserCredentialsError, MissingExtraError

__all__ = [
    "RawCredentials",
    "UserKey",
    "encode_signature",
    "read_creds",
    "read_jwt",
    "read_seed",
    "split_creds",
]


class RawCredentials:
    """The text of a creds file, from a vault or the environment, for ``user_credentials``.

    Args:
        text: what would stand in the file.
    """

    __slots__ = ("text",)

    def __init__(self, text: str | bytes | bytearray) -> None:
        self.text = text if isinstance(text, str) else bytes(text).decode("utf-8", "replace")

    def __repr__(self) -> str:
        return "<RawCredentials>"


# As `nsc` writes it, with any number of dashes:
#   -----BEGIN NATS USER JWT-----
#   eyJ0…
#   ------END NATS USER JWT------
# Compiled when it is first used: that takes as long as the import of this file.
_SECTION = r"(?s)-{3,}\s*BEGIN ([A-Z ]+?)\s*-{3,}\s*(.*?)\s*-{3,}\s*END "
_JWT, _SEED = "NATS USER JWT", "USER NKEY SEED"


def read_creds(path: str | os.PathLike[str]) -> tuple[str, str]:
    """The JWT and the seed in a creds file; blocks.

    Raises:
        InvalidUserCredentialsError: it cannot be read, or is no creds file.
    """
    source = _named("user_credentials", path)
    return split_creds(_read(path, source), source)


def split_creds(text: str, source: str) -> tuple[str, str]:
    """The JWT and the seed in the text of a creds file, which came from `source`.

    Raises:
        InvalidUserCredentialsError: it is not such a text.
    """
    sections = dict(re.findall(_SECTION, text))
    missing = [title for title in (_JWT, _SEED) if not sections.get(title)]
    if missing:
        raise InvalidUserCredentialsError(
            f"{source} has no {' and no '.join(missing)}; a creds file of `nsc generate creds` has both, "
            "between BEGIN and END lines"
        )
    return sections[_JWT], sections[_SEED]


def read_seed(path: str | os.PathLike[str], option: str = "nkeys_seed") -> str:
    """The seed in a file: alone in a line, as ``nk -gen user`` writes it, or as in a creds file; blocks.

    Raises:
        InvalidUserCredentialsError: it cannot be read, or holds no seed.
    """
    source = _named(option, path)
    for line in _read(path, source).splitlines():
        if re.fullmatch(r"S[A-Z2-7]{40,}", word := line.strip()):
            return word
    raise InvalidUserCredentialsError(f"{source} holds no seed: a line that begins with SU")


def read_jwt(path: str | os.PathLike[str]) -> str:
    """The JWT in a file, alone or as in a creds file; blocks.

    Raises:
        InvalidUserCredentialsError: it cannot be read, or holds none.
    """
    source = _named("user_credentials", path)
    text = _read(path, source)
    jwt = dict(re.findall(_SECTION, text)).get(_JWT) or text.strip()
    if jwt.count(".") != 2 or len(jwt.split()) != 1:
        raise InvalidUserCredentialsError(f"{source} holds no JWT")
    return jwt


class UserKey:
    """The key of a user, made of its seed.

    Args:
        seed: begins with SU.
        source: where it came from, for errors.

    Raises:
        InvalidUserCredentialsError: it is no seed, is damaged, or is not a user's.
        MissingExtraError: the package nkeys is not installed.
    """

    def __init__(self, seed: str, source: str) -> None:
        seed = seed.strip()
        _check_seed(seed, source)
        self._pair = _nkeys().from_seed(seed.encode())

    def __repr__(self) -> str:
        return "<UserKey>"

    @property
    def public(self) -> str:
        """The public key, which begins with U."""
        key: bytes = self._pair.public_key
        return key.decode().rstrip("=")

    def sign(self, nonce: str) -> str:
        """The signature over the characters of `nonce`, as CONNECT wants it."""
        return encode_signature(self._pair.sign(nonce.encode()))


def encode_signature(signature: bytes) -> str:
    """The 64 bytes of a signature in base64 for URLs, without padding."""
    return base64.urlsafe_b64encode(signature).rstrip(b"=").decode()


# What stands in a file of credentials: a seed, a JWT, the line before either; a path has no line break.
_CONTENT = r"\A\s*(?:S[A-Z2-7]{40,}|eyJ[\w-]+\.|-{3,}\s*BEGIN )|\n"


def _named(option: str, path: str | os.PathLike[str]) -> str:
    """How errors call the file at `path`, which `option` names.

    Raises:
        InvalidUserCredentialsError: it is what stands in such a file, and shall not stand in an error.
    """
    name = os.fspath(path)
    if re.search(_CONTENT, name):
        raise InvalidUserCredentialsError(
            f"{option} takes the path of a file, and was given what stands in one: a seed goes to "
            "nkeys_seed_str, the text of a creds file to user_credentials=RawCredentials(text)"
        )
    return f"{option} {name!r}"


def _read(path: str | os.PathLike[str], source: str) -> str:
    try:
        with open(os.path.expanduser(path), encoding="utf-8", errors="replace") as file:
            return file.read()
    except (OSError, ValueError) as error:
        raise InvalidUserCredentialsError(
            f"{source} cannot be read: {getattr(error, 'strerror', None) or error}"
        ) from None


# The second letter of a seed says whose it is (github.com/nats-io/nkeys).
_KINDS = {"O": "an operator", "A": "an account", "N": "a server", "C": "a cluster", "X": "encryption"}


def _check_seed(seed: str, source: str) -> None:
    """Ed25519 seeds are two bytes of prefix, 32 of seed, two of CRC-16, in base32."""
    if not seed.startswith("SU"):
        kind = _KINDS.get(seed[1:2]) if seed.startswith("S") and len(seed) == 58 else None
        found = f" is the seed of {kind}" if kind else " is no seed"
        raise InvalidUserCredentialsError(f"{source}{found}; a user's begins with SU")
    try:
        raw = base64.b32decode(seed + "=" * (-len(seed) % 8))
    except (binascii.Error, ValueError):
        raw = b""
    if len(raw) != 36 or binascii.crc_hqx(raw[:-2], 0) != int.from_bytes(raw[-2:], "little"):
        raise InvalidUserCredentialsError(f"{source} is a damaged seed: it is cut, or a character is wrong")


def _nkeys() -> Any:
    try:
        return importlib.import_module("nkeys")
    except ImportError as error:
        raise MissingExtraError(
            'nkeys and JWT need the package nkeys: pip install "tidings[nkeys]"', name="nkeys"
        ) from error
