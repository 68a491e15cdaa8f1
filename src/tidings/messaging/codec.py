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
from typing import Any, TypeAlias

from .errors import PublishError


def _plain_to_json(value: Any, **_: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


from_json: Callable[[bytes], Any] = json.loads
_to_json: Callable[..., bytes] = _plain_to_json
try:
    import pydantic_core
except ImportError:
    pass  # who sets validate=False needs no pydantic, and gets by with the standard library
else:
    from_json, _to_json = pydantic_core.from_json, pydantic_core.to_json

__all__ = ["JSON", "TEXT", "Encoded", "decode_any", "encode", "from_json", "is_json", "is_text"]

JSON = "application/json"
TEXT = "text/plain"

Encoded: TypeAlias = tuple[bytes, str]
"""A body and its content type, empty for raw bytes."""


def encode(value: Any) -> Encoded:
    """The body of a value and its content type. PublishError for a value without a JSON form."""
    if isinstance(value, bytes):
        return value, ""
    if isinstance(value, str):
        return value.encode(), TEXT
    if value is None:
        return b"", ""
    if isinstance(value, (bytearray, memoryview)):
        return bytes(value), ""
    try:
        return _to_json(value, by_alias=True, fallback=_to_builtins), JSON
    except (ValueError, TypeError) as error:
        raise PublishError(f"a {type(value).__name__} has no JSON form: {error}") from error


def _to_builtins(value: Any) -> Any:
    """A `msgspec.Struct`, wherever in the value it stands, as dicts and lists."""
    msgspec = sys.modules.get("msgspec")
    if msgspec is None or not hasattr(value, "__struct_fields__"):
        raise TypeError(f"{type(value).__name__} is not a type that can be written as JSON")
    return msgspec.to_builtins(value)


def decode_any(body: bytes, content_type: str) -> Any:
    """The value of a body whose handler does not say what it wants.

    An empty body is None. JSON and text are decoded as the content type says, another content type
    leaves the bytes untouched. Without one it is JSON if it parses, text if it is UTF-8, and bytes
    if it is neither. Raises ValueError for a body that is not what its content type says.
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
