"""The libraries that validate, pydantic and msgspec: loaded when an annotation is first one of theirs."""

from typing import TYPE_CHECKING, Any

from ..errors import SetupError
from .annotations import RAW, name_of

if TYPE_CHECKING:
    from pydantic import TypeAdapter

__all__ = ["adapter_of", "msgspec_for"]


def adapter_of(annotation: Any) -> "TypeAdapter[Any]":
    """What pydantic makes of an annotation. SetupError where it is not installed, or knows nothing of it.

    A float is finite: JSON has neither NaN nor Infinity. Models and dataclasses have their own say in that.
    """
    try:
        from pydantic import (
            ConfigDict,
            InstanceOf,
            PydanticSchemaGenerationError,
            PydanticUserError,
            TypeAdapter,
        )
    except ImportError:
        raise SetupError(
            "validation needs pydantic: install tidings[services], or turn validation off with validate=False"
        ) from None
    if annotation in RAW:
        instance_of: Any = InstanceOf
        return TypeAdapter(instance_of[annotation])
    try:
        try:
            return TypeAdapter(annotation, config=ConfigDict(allow_inf_nan=False))
        except PydanticUserError as error:
            if error.code != "type-adapter-config-unused":
                raise
            return TypeAdapter(annotation)
    except (PydanticSchemaGenerationError, PydanticUserError) as error:
        reason = str(error).partition("\n")[0].partition(". ")[0]
        raise SetupError(f"pydantic cannot validate {name_of(annotation)}: {reason}") from error


def msgspec_for(annotation: Any) -> Any:
    """The module msgspec, if it can read and write the annotation. SetupError otherwise."""
    try:
        import msgspec
    except ImportError:
        raise SetupError(f"{name_of(annotation)} is of msgspec: install tidings[msgspec]") from None
    try:
        msgspec.json.Decoder(annotation)
    except TypeError as error:
        reason = str(error).partition(" - type ")[0]
        raise SetupError(f"msgspec cannot validate {name_of(annotation)}: {reason}") from error
    return msgspec
