"""TLS: when a connection is encrypted, with which context, and what went wrong if it could not be."""

from __future__ import annotations

import asyncio
import builtins
import os
import ssl
from typing import Any

from tidings.nats.core.record import Record
from tidings.nats.core.servers import Server
from tidings.nats.errors import (
    SecureConnFailedError,
    SecureConnRequiredError,
    SecureConnWantedError,
    ServerClosedError,
)

__all__ = ["TLSOptions", "context_of", "explained", "is_tls_error", "is_tls_wanted", "upgrade"]


class TLSOptions(Record):
    """Files for TLS, in PEM; they are read at each connect, so that a replaced one is taken up.

    Raises:
        ValueError: a key without its certificate, or what stands in a file in the place of its path.

    Attributes:
        ca_file: the authorities to trust; None trusts those of the system.
        cert_file, key_file: our certificate, for a server that asks for one, and its private key; a
            ``cert_file`` that holds both needs no ``key_file``.
        key_password: of an encrypted key.
        verify: False takes any certificate of any name: the connection is encrypted, but nobody knows
            with whom. For experiments.
    """

    hidden = frozenset(("key_password",))

    ca_file: str | os.PathLike[str] | None = None
    cert_file: str | os.PathLike[str] | None = None
    key_file: str | os.PathLike[str] | None = None
    key_password: str | None = None
    verify: bool = True

    def _check(self) -> None:
        for name in ("ca_file", "cert_file", "key_file"):
            # It may be a private key, which no error shall show.
            if "-----BEGIN" in str(getattr(self, name)):
                raise ValueError(f"{name} takes the path of a file in PEM, and was given what stands in one")
        if self.cert_file is None and (self.key_file is not None or self.key_password is not None):
            raise ValueError("TLSOptions has a key and no cert_file that goes with it")

    def context(self) -> ssl.SSLContext:
        """A context made of the files; it reads them, so it blocks.

        Raises:
            SecureConnFailedError: a file cannot be read, or does not hold what it should.
        """
        try:
            context = ssl.create_default_context(cafile=self.ca_file)
        except OSError as error:
            raise SecureConnFailedError(
                f"ca_file {os.fspath(self.ca_file or '')!r}: {_text(error)}"
            ) from error
        if not self.verify:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        if self.cert_file is not None:
            self._load_certificate(context, self.cert_file)
        return context

    def _load_certificate(self, context: ssl.SSLContext, cert_file: str | os.PathLike[str]) -> None:
        # Without a password of ours OpenSSL would ask for one at the terminal.
        password = self.key_password or ""
        try:
            context.load_cert_chain(cert_file, self.key_file, lambda: password)
        except OSError as error:
            files = f"cert_file {os.fspath(cert_file)!r}"
            if self.key_file is not None:
                files += f", key_file {os.fspath(self.key_file)!r}"
            raise SecureConnFailedError(
                f"{files}: {_text(error)}; they hold a certificate and its key in PEM, and an encrypted key "
                "needs key_password"
            ) from error


def is_tls_wanted(server: Server, asked: bool, info: dict[str, Any]) -> bool:
    """Whether to encrypt the connection whose server said `info`; `asked`: the user gave TLS options.

    A server that insists gets it without our being asked, verified by the authorities of the system.

    Raises:
        SecureConnWantedError: we want it and the server has none. Nothing secret was sent yet.
    """
    required = bool(info.get("tls_required"))
    if not asked:
        return required
    if not required and not info.get("tls_available"):
        raise SecureConnWantedError(
            f"{server} offers no TLS, which this connection asks for; turn it on in the server's config, or "
            "leave out the tls options and write nats:// to send everything in the clear"
        )
    return True


async def context_of(tls: ssl.SSLContext | TLSOptions | None) -> ssl.SSLContext:
    """The context to use; None trusts the authorities of the system.

    Raises:
        SecureConnFailedError: see `TLSOptions.context`.
    """
    if isinstance(tls, ssl.SSLContext):
        return tls
    return await asyncio.to_thread((tls or TLSOptions()).context)


async def upgrade(
    transport: asyncio.Transport,
    protocol: asyncio.BufferedProtocol,
    server: Server,
    context: ssl.SSLContext,
    hostname: str | None,
) -> asyncio.Transport:
    """Encrypt `transport`; what comes for `protocol` then comes through TLS.

    Nothing reaches `protocol` between the call and the end of the handshake.

    Args:
        transport: what is open to `server`.
        protocol: what it feeds.
        server: its name is what the certificate is checked for.
        context: what is trusted, and what we show.
        hostname: checked instead of the server's name.

    Raises:
        SecureConnFailedError: the handshake failed; its cause is the reason.
        SecureConnRequiredError: the transport cannot be encrypted.
    """
    name = hostname or server.certificate_name
    try:
        secure = await asyncio.get_running_loop().start_tls(
            transport, protocol, context, server_hostname=name.rstrip(".")
        )
    except (ssl.SSLError, builtins.ConnectionError) as error:
        raise explained(error, server, name) from error
    except TypeError as error:
        raise SecureConnRequiredError(f"{server} wants TLS, which {transport!r} cannot do") from error
    if secure is None:
        raise ServerClosedError(f"{server} closed the connection during the TLS handshake")
    return secure


def is_tls_error(error: Exception | None) -> bool:
    """Whether TLS broke, rather than the connection below it."""
    return isinstance(error, ssl.SSLError)


def explained(error: Exception, server: Server, name: str = "") -> SecureConnFailedError:
    """The failure of TLS with `server`, with what to do.

    Args:
        name: what its certificate was to be for; empty where the handshake was over.
    """
    failure = SecureConnFailedError(f"TLS with {server} failed: {_advice(error, name)}")
    failure.__cause__ = error
    return failure


# Codes of OpenSSL's verification (x509_vfy.h).
_OUT_OF_DATE = {9: "is not valid yet; compare the clocks", 10: "has expired; the server needs a new one"}
_UNKNOWN_AUTHORITY = frozenset({2, 18, 19, 20, 21, 27})
_WRONG_NAME = frozenset({62, 64})

# What the server's alerts say of the certificate that we showed, or did not.
_NO_CERTIFICATE = frozenset({"TLSV13_ALERT_CERTIFICATE_REQUIRED", "SSLV3_ALERT_HANDSHAKE_FAILURE"})
_BAD_CERTIFICATE = frozenset(
    {
        "SSLV3_ALERT_BAD_CERTIFICATE",
        "SSLV3_ALERT_CERTIFICATE_EXPIRED",
        "SSLV3_ALERT_CERTIFICATE_REVOKED",
        "SSLV3_ALERT_CERTIFICATE_UNKNOWN",
        "SSLV3_ALERT_UNSUPPORTED_CERTIFICATE",
        "TLSV1_ALERT_DECRYPT_ERROR",
        "TLSV1_ALERT_UNKNOWN_CA",
    }
)
_NO_TLS = frozenset({"WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "PACKET_LENGTH_TOO_LONG"})


def _advice(error: Exception, name: str) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return _certificate_advice(error, name)
    reason = getattr(error, "reason", None)
    if reason in _NO_CERTIFICATE:
        return (
            "it asks for our certificate; give tls=TLSOptions(cert_file=…, key_file=…) (" + _text(error) + ")"
        )
    if reason in _BAD_CERTIFICATE:
        return "it does not take our certificate; see cert_file and its authority (" + _text(error) + ")"
    if reason in _NO_TLS:
        return (
            "what it sent is not TLS; tls_handshake_first is for servers that are set to it, and wss:// for "
            "ports that are"
        )
    if isinstance(error, builtins.ConnectionError):
        if name:
            return f"it closed the connection during the handshake ({_text(error)})"
        return (
            f"it closed the connection right after the handshake ({_text(error)}); if it asks for our "
            "certificate, see cert_file of TLSOptions"
        )
    return _text(error)


def _certificate_advice(error: ssl.SSLCertVerificationError, name: str) -> str:
    if error.verify_code in _WRONG_NAME:
        return (
            f"its certificate is not for {name!r} ({error.verify_message}); connect by a name that stands in "
            "it, or say which with tls_hostname"
        )
    if error.verify_code in _UNKNOWN_AUTHORITY:
        return (
            f"its certificate comes from an authority that is not trusted here ({error.verify_message}); "
            "give the authority's certificate: tls=TLSOptions(ca_file=…)"
        )
    if error.verify_code in _OUT_OF_DATE:
        return f"its certificate {_OUT_OF_DATE[error.verify_code]}"
    return f"its certificate is not accepted: {error.verify_message}"


def _text(error: Exception) -> str:
    """What `error` says, without the place in Python's C source."""
    return str(getattr(error, "strerror", None) or error).partition(" (_ssl.c")[0] or type(error).__name__
