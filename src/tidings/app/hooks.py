"""How hooks and the lifespan are called: injected as handlers are, with options in the place of a message.

A parameter that asks for nothing else (`Depends`, `Context`, the App, a broker …) is an option: what
`app.start(name=value)` or `tidings run main:app --name value` gives it, else its default.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from inspect import isawaitable
from typing import Any, cast, get_origin

from tidings.messaging.bodies.annotations import is_untyped
from tidings.messaging.bodies.payload import Payload
from tidings.messaging.bodies.problems import field_errors
from tidings.messaging.bodies.validation import caster_for
from tidings.messaging.errors import ContextError, OptionError
from tidings.messaging.message import Message
from tidings.messaging.params import MISSING
from tidings.messaging.plans.injection import Surroundings, payload_parameters, with_injection
from tidings.messaging.plans.signature import Parameter, Signature, read_signature

__all__ = ["Hook", "check_options"]

_COLLECTIONS = (list, tuple, set, frozenset, Sequence, AbstractSet)


@dataclass(frozen=True, slots=True)
class Hook:
    """A hook, and what it asks for.

    Attributes:
        function: sync or async.
        signature: its own.
        surroundings: what it may ask for beside options.
        parameters: those that are options, of its dependencies too, by their names.
    """

    function: Callable[..., Any]
    signature: Signature
    surroundings: Surroundings
    parameters: Mapping[str, Parameter]

    @classmethod
    def read(cls, function: Callable[..., Any], surroundings: Surroundings) -> "Hook":
        """The hook that `function` is. SetupError for one that cannot be called."""
        signature = read_signature(function)
        parameters = {each.name: each for each in payload_parameters(signature, surroundings)}
        return cls(function, signature, surroundings, parameters)

    @property
    def takes_the_rest(self) -> bool:
        """Whether it takes every option that is given: ``**options``."""
        return any(each.startswith("**") for each in self.signature.variadic)

    async def call(self, options: Mapping[str, Any]) -> Any:
        """Call it with its parameters filled, and await what it returns if need be."""
        named = self.signature.parameters if self.takes_the_rest else ()
        taken = {each.name for each in named}
        rest = {name: value for name, value in options.items() if self.takes_the_rest and name not in taken}

        async def call(*args: Any, **kwargs: Any) -> Any:
            result = self.function(*args, **kwargs, **rest)
            return await result if isawaitable(result) else result

        values = self.values(options)
        payload = Payload(self.surroundings.channel, tuple(self.parameters), lambda message: values)
        injected = with_injection(call, self.signature, self.surroundings, payload)
        return await injected(cast(Message[Any], _NoMessage()))

    def values(self, options: Mapping[str, Any]) -> tuple[Any, ...]:
        """What its parameters get of the options. OptionError for one that is missing or not valid."""
        return tuple(self._value(parameter, options) for parameter in self.parameters.values())

    def _value(self, parameter: Parameter, options: Mapping[str, Any]) -> Any:
        name = parameter.name
        if name not in options:
            if parameter.default is not MISSING:
                return parameter.default
            raise OptionError(
                name,
                f"{self.surroundings.channel} asks for {name!r}, and no option of that name is given: "
                f"tidings run … {as_flag(name)} VALUE, or app.start({name}=…). What is no option needs a "
                "marker: Depends or Context",
            )
        value, annotation = options[name], parameter.annotation
        if is_untyped(annotation):
            return value
        if get_origin(annotation) in _COLLECTIONS and isinstance(value, str):
            value = [value]
        caster = caster_for(annotation)
        try:
            return value if caster is None else caster(value)
        except Exception as error:
            problems = "; ".join(each.problem for each in field_errors(error))
            raise OptionError(
                name,
                f"the option {as_flag(name)} is not what {self.surroundings.channel} asks for: {problems}",
            ) from error


def check_options(hooks: Iterable[Hook], options: Mapping[str, Any]) -> None:
    """See that the hooks get the options they ask for, and that there is no other.

    Raises:
        OptionError: one is missing, not valid, or asked for by nobody.
    """
    known: set[str] = set()
    anything_goes = False
    for hook in hooks:
        hook.values(options)
        known |= hook.parameters.keys()
        anything_goes |= hook.takes_the_rest
    unknown = [name for name in options if name not in known]
    if unknown and not anything_goes:
        asked = ", ".join(as_flag(name) for name in sorted(known))
        raise OptionError(
            unknown[0],
            f"no hook asks for the option {as_flag(unknown[0])}; "
            + (f"they ask for {asked}" if asked else "they ask for none"),
        )


def as_flag(name: str) -> str:
    """An option as the command line has it."""
    return "--" + name.replace("_", "-")


class _NoMessage:
    """Stands where handlers have their message."""

    def __getattr__(self, name: str) -> Any:
        raise ContextError(f"there is no message to take {name!r} of: hooks are called without one")
