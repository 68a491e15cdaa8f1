"""What a handler takes and gives, as JSON schemas."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ..broker import Broker
from ..endpoints import Source
from ..params import MISSING
from ..plans.injection import payload_parameters
from ..plans.plan import surroundings_of
from ..plans.signature import read_signature
from ..response import body_of_response, without_response
from .validation import fields_schema, schema_of

__all__ = ["Schemas", "schemas_for"]


@dataclass(frozen=True, slots=True)
class Schemas:
    """The JSON schemas of a handler's body and of its result; None where nothing is known."""

    request: dict[str, Any] | None
    response: dict[str, Any] | None


def schemas_for(handler: Callable[..., Any], broker: Broker[Any], source: Source) -> Schemas:
    """The schemas of a handler of `source`. SetupError for one that cannot work."""
    signature = read_signature(handler)
    surroundings = surroundings_of(broker, source)
    found = {each.name: each for each in payload_parameters(signature, surroundings)}
    if surroundings.decoder is not None:  # the body is no JSON
        request = None
    elif len(found) == 1:
        (parameter,) = found.values()
        request = schema_of(parameter.annotation)
    else:
        fields = {name: (each.annotation, each.default) for name, each in found.items()}
        request = fields_schema(fields) if fields else None
    if (source.encoder or broker.options.encoder) is not None:
        return Schemas(request, None)
    returns = without_response(signature.returns)
    announced = body_of_response(signature.returns) if returns is MISSING else returns
    return Schemas(request, schema_of(announced, of_result=True))
