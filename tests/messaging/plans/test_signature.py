"""A function's parameters, as the framework reads them."""

import functools
from typing import Annotated, Any

import pytest
from pydantic import Field

from tidings.messaging.errors import SetupError
from tidings.messaging.params import (
    MISSING,
    Context,
    ContextMarker,
    Depends,
    DependsMarker,
    Header,
    HeaderMarker,
    Logger,
    Path,
    PathMarker,
)
from tidings.messaging.plans.signature import Parameter, describe, read_signature


def dependency() -> int:
    return 1


def test_both_forms_of_a_marker_say_the_same() -> None:
    def annotated(x: Annotated[int, Depends(dependency)]) -> None: ...
    def default(x: int = Depends(dependency)) -> None: ...

    expected = Parameter("x", int, MISSING, DependsMarker(dependency, True), False)
    assert read_signature(annotated).parameters == read_signature(default).parameters == (expected,)


def test_metadata_that_is_no_marker_stays() -> None:
    bounded = Field(gt=1)

    def handler(x: Annotated[int, bounded, Header("n")] = 5, *, y: Annotated[int, bounded]) -> None: ...

    x, y = read_signature(handler).parameters
    assert x == Parameter("x", Annotated[int, bounded], 5, HeaderMarker("n", MISSING), False)
    assert y == Parameter("y", Annotated[int, bounded], MISSING, None, True)


def test_the_logger_is_a_value_of_the_context() -> None:
    def handler(logger: Logger) -> None: ...

    (parameter,) = read_signature(handler).parameters
    assert parameter.marker == ContextMarker("logger", MISSING)


def test_annotations_that_are_text_are_resolved_in_the_module_of_the_function() -> None:
    def handler(x: "int", y: "Annotated[str, PathMarker('y')]") -> "bytes": ...

    signature = read_signature(handler)
    assert [each.annotation for each in signature.parameters] == [int, str]
    assert signature.returns is bytes


def test_nothing_annotated_is_missing_everywhere() -> None:
    signature = read_signature(lambda x: x)
    assert signature.parameters == (Parameter("x", MISSING, MISSING, None, False),)
    assert signature.returns is MISSING


def test_methods_partials_callables_and_classes_have_signatures_too() -> None:
    class Service:
        def __init__(self, size: int) -> None: ...
        def method(self, x: int) -> None: ...
        def __call__(self, y: str) -> None: ...

    def names(function: Any) -> list[str]:
        return [each.name for each in read_signature(function).parameters]

    assert names(Service(1).method) == ["x"]
    assert names(Service(1)) == ["y"]
    assert names(Service) == ["size"]
    assert names(functools.partial(lambda a, b: None, 1)) == ["b"]


def test_variadic_parameters_are_noted_and_not_filled() -> None:
    signature = read_signature(lambda x, *args, **kwargs: None)
    assert [each.name for each in signature.parameters] == ["x"]
    assert signature.variadic == ("*args", "**kwargs")


def test_two_markers_on_one_parameter_are_refused() -> None:
    def handler(x: Annotated[int, Header()] = Context("y")) -> None: ...

    with pytest.raises(SetupError, match=r"parameter 'x' of .*handler asks for two things"):
        read_signature(handler)


def test_an_annotation_that_cannot_be_resolved_is_refused_by_name() -> None:
    def handler(x: "Unknown") -> None: ...  # type: ignore[name-defined]  # noqa: F821

    with pytest.raises(SetupError, match=r"handler names 'Unknown', which its module does not have"):
        read_signature(handler)


def test_functions_are_described_by_module_and_name() -> None:
    assert describe(dependency) == f"{__name__}.dependency"
    assert describe(functools.partial(dependency)).endswith("partial")


@pytest.mark.parametrize("marker", [Depends, Context, Header, Path], ids=lambda marker: marker.__name__)
def test_a_marker_that_is_not_called_is_refused(marker: Any) -> None:
    def default(x: int = marker) -> None: ...
    def annotated(x: Annotated[int, marker]) -> None: ...

    for function in (default, annotated):
        with pytest.raises(
            SetupError, match=rf"has {marker.__name__} itself: call it, {marker.__name__}\(…\)"
        ):
            read_signature(function)
