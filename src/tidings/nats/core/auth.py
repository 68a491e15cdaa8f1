"""Who we are: the credentials in CONNECT, asked for anew at each connect."""

from __future__ import annotations

import asyncio
import inspect
import os
from typing import Any

from tidings.nats.core.creds import (
    RawCredentials,
    UserKey,
    encode_signature,
    read_creds,
    read_jwt,
    read_seed,
    split_creds,
)
from tidings.nats.core.options import Options
from tidings.nats.core.servers import Server
from tidings.nats.errors import AuthorizationError, InvalidUserCredentialsError

__all__ = ["credentials", "value_of"]


async def credentials(server: Server, options: Options, info: dict[str, Any]) -> dict[str, str]:
    """The fields of CONNECT that authenticate us to `server`, which said `info`.

    User, password and token of the server's URL come before those of the options. A key or a JWT goes
    along with them, as an auth callout may want both; a server that asks for no credentials gets none
    of these, so that a program runs unchanged on a plain server.

    Raises:
        InvalidUserCredentialsError: a file, a key or what a callback gave is not what it should be.
        MissingExtraError: the extra ``nkeys`` is needed.
        AuthorizationError: the server cannot check a key.
    """
    fields = await _names(server, options)
    uses_key = any(
        given is not None
        for given in (
            options.user_credentials,
            options.nkeys_seed,
            options.nkeys_seed_str,
            options.signature_cb,
        )
    )
    nonce = info.get("nonce")
    if not info.get("auth_required") and not nonce:
        return fields
    if not uses_key:
        if options.user_jwt_cb is not None:  # a bearer's JWT, which needs no signature
            fields["jwt"] = await _text("user_jwt_cb", options.user_jwt_cb)
        return fields
    if not isinstance(nonce, str) or not nonce:
        raise AuthorizationError(
            f"{server} sends no nonce to sign; it knows neither nkeys nor JWTs, only user, password or token"
        )
    return fields | await _signed(options, nonce)


async def _names(server: Server, options: Options) -> dict[str, str]:
    if server.user is not None:
        return {"user": server.user, "pass": server.password or ""}
    if server.token is not None:
        return {"auth_token": server.token}
    fields = {}
    if options.user is not None:
        fields["user"] = await _text("user", options.user)
        fields["pass"] = "" if options.password is None else await _text("password", options.password)
    if options.token is not None:
        fields["auth_token"] = await _text("token", options.token)
    return fields


async def _signed(options: Options, nonce: str) -> dict[str, str]:
    """``jwt`` and ``sig``, or ``nkey`` and ``sig``."""
    if options.user_credentials is not None:
        jwt, key = await _from_creds(options.user_credentials)
        return {"jwt": jwt, "sig": key.sign(nonce)}
    fields = {}
    if options.user_jwt_cb is not None:
        fields["jwt"] = await _text("user_jwt_cb", options.user_jwt_cb)
    if options.signature_cb is not None:
        if options.nkey is not None:
            fields["nkey"] = await _text("nkey", options.nkey)
        return fields | {"sig": _signature(await value_of("signature_cb", options.signature_cb, nonce))}
    key = await _from_seed(options)
    if not fields:
        fields["nkey"] = key.public
    return fields | {"sig": key.sign(nonce)}


async def _from_creds(given: object) -> tuple[str, UserKey]:
    source = "user_credentials"
    value = await value_of(source, given)
    if isinstance(value, bytes | bytearray):
        value = RawCredentials(value)
    if isinstance(value, RawCredentials):
        jwt, seed = split_creds(value.text, source)
    elif isinstance(value, str | os.PathLike):
        jwt, seed = await asyncio.to_thread(read_creds, value)
        source = f"the seed in user_credentials {os.fspath(value)!r}"
    elif isinstance(value, tuple) and len(value) == 2:
        jwt = await asyncio.to_thread(read_jwt, value[0])
        seed = await asyncio.to_thread(read_seed, value[1], source)
        source = f"the seed in user_credentials {os.fspath(value[1])!r}"
    else:
        raise InvalidUserCredentialsError(
            f"user_credentials gave {type(value).__name__}; it is the path of a creds file, a pair of paths "
            "(JWT, seed), or RawCredentials(text)"
        )
    return jwt, UserKey(seed, source)


async def _from_seed(options: Options) -> UserKey:
    if options.nkeys_seed_str is not None:
        return UserKey(await _text("nkeys_seed_str", options.nkeys_seed_str), "nkeys_seed_str")
    path = await value_of("nkeys_seed", options.nkeys_seed)
    if not isinstance(path, str | os.PathLike):
        raise InvalidUserCredentialsError(f"nkeys_seed gave {type(path).__name__}, not the path of a file")
    seed = await asyncio.to_thread(read_seed, path)
    return UserKey(seed, f"the seed in nkeys_seed {os.fspath(path)!r}")


def _signature(given: object) -> str:
    """A signature as a callback gives it: the 64 bytes, or base64 of them as nats-py's callbacks return."""
    if isinstance(given, bytes | bytearray):
        if len(given) == 64:
            return encode_signature(bytes(given))
        given = given.decode("ascii", "replace")
    if not isinstance(given, str) or len(given.rstrip("=")) != 86:
        raise InvalidUserCredentialsError(
            "signature_cb gave no Ed25519 signature: it is 64 bytes, or those in base64"
        )
    return given


async def _text(name: str, given: object) -> str:
    """The value of the option `name`, a text."""
    value = await value_of(name, given)
    if isinstance(value, bytes | bytearray):
        value = value.decode("utf-8", "replace")
    if not isinstance(value, str):
        raise InvalidUserCredentialsError(f"{name} gave {type(value).__name__}, not a str")
    return value.strip() if name.endswith("_cb") else value


async def value_of(name: str, given: Any, *args: object) -> object:
    """`given`, the value of the option `name`, or what it gives when it is called, plain or async.

    Raises:
        InvalidUserCredentialsError: it failed; the cause is what it raised.
    """
    if not callable(given):
        return given
    try:
        result = given(*args)
        if inspect.isawaitable(result):
            result = await result
    except Exception as error:
        # Its text may hold a secret; whoever wants it finds it in the cause.
        raise InvalidUserCredentialsError(f"{name} failed with {type(error).__name__}") from error
    return result
