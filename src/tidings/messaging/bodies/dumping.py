"""Pydantic's serializer, made to refuse what is not as its model declares it.

Pydantic has `warnings="error"` for that, and takes 2 µs to read that text: four times what it writes a small
model in. Its default, a warning, costs nothing as long as there is none to give. So one filter turns that
warning, given here and by nobody else, into an error; and where the filter is not the first one of the
process, so that another might come before it, the text is used.
"""

import re
import warnings
from collections.abc import Callable
from functools import partial
from typing import Any

from .codec import to_builtins

__all__ = ["strict_dump"]

_filter: object = None


def strict_dump(serializer: Any) -> Callable[[Any], bytes]:
    """What writes a value as JSON; it raises what pydantic raises where the value is not as declared.

    Args:
        serializer: of a pydantic `TypeAdapter`.
    """
    global _filter
    here = re.escape(__name__)
    warnings.filterwarnings("error", "Pydantic serializer warnings", UserWarning, module=here)
    _filter = warnings.filters[0]
    quick = partial(serializer.to_json, by_alias=True, fallback=to_builtins)
    sure = partial(quick, warnings="error")

    def dump(value: Any) -> bytes:
        filters = warnings.filters
        if filters and filters[0] is _filter:
            try:
                written: bytes = quick(value)
            except UserWarning:  # which tells of the value; the error does too, but by its fields
                pass
            else:
                return written
        written = sure(value)
        return written

    return dump
