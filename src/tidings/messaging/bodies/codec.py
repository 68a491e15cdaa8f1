"""Values to bodies and back, where no annotation says what they are.

=====================  =====================  =========================================
value                  body                   content type
=====================  =====================  =========================================
None                   empty                  none
bytes, bytearray, …    the bytes themselves   none
str                    UTF-8                  text/plain
everything else        JSON                   application/json
=====================  =====================  =========================================

JSON goes through pydantic-core, which knows models, dataclasses, dates, UUIDs and enums; what it
does not know is offered to msgspec where that is in use. Models are written by their aliases, as
they are read.
"""

import json
import sys
from collections.abc import Callable
from functools import partial
from typing import Any, NoReturn, TypeAlias

from ..errors import PublishError


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no JSON")


def _plain_to_json(value: Any, **_: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()


from_json: Callable[[bytes], Any] = partial(json.loads, parse_constant=_refuse)
"""What JSON stands for. ValueError for what is none, NaN and Infinity too (RFC 8259)."""
_to_json: Callable[..., bytes] = _plain_to_json
try:
    import pydantic_core
except ImportError:
    pass  # who sets validate=False needs no pydantic, and gets by with the standard library
else:
    from_json, _to_json = partial(pydantic_core.from_json, allow_inf_nan=False), pydantic_core.to_json

__all__ = [
    "JSON",
    "TEXT",
    "Encoded",
    "checked",
    "decode_any",
    "encode",
    "from_json",
    "is_json",
    "is_text",
    "to_builtins",
]

JSON = "application/json"
TEXT = "text/plain"

Encoded: TypeAlias = tuple[bytes, str]
"""A body and its content type, empty for raw bytes."""


def encode(value: Any) -> Encoded:
    """The body of a value and its content type. PublishError for a value without a JSON form."""
    if isinstance(value, bytes):
        return value, ""
    if value is None:
        return b"", ""
    if isinstance(value, (bytearray, memoryview)):
        return bytes(value), ""
    try:
        if isinstance(value, str):
            return value.encode(), TEXT
        # JSON has no NaN: it is null, as pydantic has it for models, and msgspec for structs.
        return _to_json(value, by_alias=True, inf_nan_mode="null", fallback=to_builtins), JSON
    except (ValueError, TypeError, RecursionError) as error:
        form = "UTF-8" if isinstance(value, str) else "JSON"
        raise PublishError(f"a value of type {type(value).__name__} has no {form} form: {error}") from error


def checked(encoder: Callable[[Any], Encoded]) -> Callable[[Any], Encoded]:
    """A user's encoder as one that gives a body and a content type, or raises PublishError."""

    def encode_checked(value: Any) -> Encoded:
        try:
            encoded = encoder(value)
        except Exception as error:
            raise PublishError(
                f"the encoder failed with {type(error).__name__} for a value of type "
                f"{type(value).__name__}: {error}"
            ) from error
        match encoded:
            case (bytes(), str()):
                return encoded
        raise PublishError(
            f"the encoder gave {type(encoded).__name__}: it returns a tuple of the body in bytes and its "
            "content type, an empty text for none"
        )

    return encode_checked


def to_builtins(value: Any) -> Any:
    """A `msgspec.Struct`, wherever in the value it stands, as dicts and lists."""
    msgspec = sys.modules.get("msgspec")
    if msgspec is None or not hasattr(value, "__struct_fields__"):
        raise TypeError(f"{type(value).__name__} is not a type that can be written as JSON")
    return msgspec.to_builtins(value)


def decode_any(body: bytes, content_type: str) -> Any:
    """The value of a body whose handler does not say what it wants.

    An empty body is None. JSON and text are decoded as the content type says, another content type
    leaves the bytes untouched. Without one it is JSON if it parses, text if it is UTF-8, and bytes
    if it is neither. Raises ValueError for a body that is not what its content type says, and
    RecursionError where it is nested too deep and pydantic is not there.
    """
    if not body:
        return None
    if is_text(content_type):
        return body.decode()
    if is_json(content_type):
        return from_json(body)
    if content_type:
        return body
    try:
        return from_json(body)
    except ValueError:
        try:
            return body.decode()
        except UnicodeDecodeError:
            return body


def is_json(content_type: str) -> bool:
    """Whether the content type is JSON: "application/json; charset=utf-8", "application/x+json"."""
    if content_type == JSON:
        return True
    media = content_type.partition(";")[0].strip().lower()
    return media == JSON or media.endswith("+json")


def is_text(content_type: str) -> bool:
    """Whether the content type is text, "text/plain" for example."""
    return content_type.lstrip().lower().startswith("text/")
