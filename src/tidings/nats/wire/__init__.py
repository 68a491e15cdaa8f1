"""The NATS protocol: bytes ⇄ messages and events. No socket, no clock, no task, no thread.

Two implementations with the same names pass the same tests: the readable reference in `parser`,
`commands`, `headers`, `message` and `calls`, and `_speedups`, compiled. This is the only file that
knows there are two. ``TIDINGS_PURE=1`` asks for the reference, ``TIDINGS_PURE=0`` insists on the
compiled one; unset, the compiled one runs where it was built. `IMPLEMENTATION` says which: ``"c"`` or
``"python"``.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Literal

from tidings.nats.wire.events import Err, Event, Info, Ok, Ping, Pong
from tidings.nats.wire.headers import HeaderInput, Headers
from tidings.nats.wire.message import BLOCK, DROP_NEW, DROP_OLD, ERROR
from tidings.nats.wire.parser import MAX_CONTROL_LINE, MAX_HEADERS, MAX_PAYLOAD, READ_SIZE
from tidings.nats.wire.subjects import check_pattern, check_queue, subject_matches

__all__ = [
    "BLOCK",
    "DROP_NEW",
    "DROP_OLD",
    "ERROR",
    "IMPLEMENTATION",
    "MAX_CONTROL_LINE",
    "MAX_HEADERS",
    "MAX_PAYLOAD",
    "READ_SIZE",
    "Calls",
    "Encoder",
    "Err",
    "Event",
    "HeaderInput",
    "Headers",
    "Info",
    "Msg",
    "Ok",
    "Parser",
    "Ping",
    "Pong",
    "Route",
    "check_pattern",
    "check_queue",
    "check_subject",
    "encode_headers",
    "parse_headers",
    "subject_matches",
]

IMPLEMENTATION: Literal["c", "python"]

if TYPE_CHECKING:
    # The twins have the same signatures; the reference is the one to read and to check against.
    from tidings.nats.wire.calls import Calls
    from tidings.nats.wire.commands import Encoder
    from tidings.nats.wire.headers import encode_headers, parse_headers
    from tidings.nats.wire.message import Msg, Route
    from tidings.nats.wire.parser import Parser
    from tidings.nats.wire.subjects import check_subject
else:
    _asked = os.environ.get("TIDINGS_PURE", "")
    if _asked not in ("", "0", "1"):
        raise ImportError(f"TIDINGS_PURE is 1 (pure Python) or 0 (compiled), not {_asked!r}")
    try:
        if _asked == "1":
            raise ImportError
        from tidings.nats.wire._speedups import (
            Calls,
            Encoder,
            Msg,
            Parser,
            Route,
            check_subject,
            encode_headers,
            parse_headers,
        )

        IMPLEMENTATION = "c"
    except ImportError as error:
        if _asked == "0":
            raise ImportError(
                "TIDINGS_PURE=0 insists on the compiled wire core, which is not there: install a C compiler "
                "and the headers of Python, then install tidings again"
            ) from error
        from tidings.nats.wire.calls import Calls
        from tidings.nats.wire.commands import Encoder
        from tidings.nats.wire.headers import encode_headers, parse_headers
        from tidings.nats.wire.message import Msg, Route
        from tidings.nats.wire.parser import Parser
        from tidings.nats.wire.subjects import check_subject

        IMPLEMENTATION = "python"
