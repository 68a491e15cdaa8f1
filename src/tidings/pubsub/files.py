"""The files that a config names: looked at before anything is sent, so that the error names the key."""

from __future__ import annotations

import os
import ssl

from tidings.pubsub.errors import ConfigError
from tidings.pubsub.settings import Settings

__all__ = ["check_secret_file", "tls_files"]


def tls_files(backend: str, settings: Settings) -> dict[str, str] | None:
    """The keys of TLS whose files are given; None when TLS is not asked for, by a file or ``tls``.

    Raises:
        ConfigError: a file that cannot be used.
    """
    names = ("tls_ca_cert", "tls_cert", "tls_key")
    files: dict[str, str] = {name: settings[name] for name in names if settings[name] is not None}
    asked = settings["tls"]
    if asked is False or (asked is None and not files):
        return None
    if "tls_key" in files and "tls_cert" not in files:
        raise ConfigError(f"{backend}: key 'tls_key' goes with 'tls_cert', which is missing")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if "tls_ca_cert" in files:
        try:
            context.load_verify_locations(files["tls_ca_cert"])
        except OSError as error:
            raise _unusable(backend, "'tls_ca_cert'", files["tls_ca_cert"], error) from None
    if "tls_cert" in files:
        try:
            # Without a password of ours OpenSSL would ask for one at the terminal.
            context.load_cert_chain(files["tls_cert"], files.get("tls_key"), password="")
        except OSError as error:
            both = " and ".join(file for name, file in files.items() if name != "tls_ca_cert")
            raise _unusable(backend, "'tls_cert' (with 'tls_key')", both, error) from None
    return files


def check_secret_file(backend: str, key: str, value: str, what: str) -> None:
    """Refuse what is no file. It is not shown: it may be a secret with a slip in it. Raises ConfigError."""
    try:
        with open(value, "rb"):
            return
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else "no path"
    raise ConfigError(f"{backend}: key {key!r} is {what}, or a file that can be read ({why})")


def _unusable(backend: str, key: str, file: str, error: OSError) -> ConfigError:
    is_content = isinstance(error, ssl.SSLError)
    why = f"no good PEM: {error.strerror}" if is_content else os.strerror(error.errno or 0)
    return ConfigError(f"{backend}: key {key}: {file} cannot be used: {why}")
