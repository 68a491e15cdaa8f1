"""What is said in two places is the same in both."""

from __future__ import annotations

import dataclasses
import inspect

from tidings.nats import Client
from tidings.nats.services import Group, Service, ServiceConfig, ServiceOptions, Services
from tidings.nats.services.config import EndpointConfig


def test_the_options_of_add_service() -> None:
    fields = {each.name: each for each in dataclasses.fields(ServiceConfig)}
    assert [*fields] == ["name", "version", *ServiceOptions.__annotations__]
    for name, annotation in ServiceOptions.__annotations__.items():
        assert getattr(annotation, "__forward_arg__", annotation) == fields[name].type


def test_the_options_of_add_endpoint() -> None:
    taken = inspect.signature(Group.add_endpoint).parameters
    assert {*taken} - {"self"} == {each.name for each in dataclasses.fields(EndpointConfig)}
    assert Service.add_endpoint is Group.add_endpoint


def test_the_options_of_services() -> None:
    taken = inspect.signature(Client.services).parameters
    wanted = inspect.signature(Services).parameters
    assert {name: each.default for name, each in taken.items() if name != "self"} == {
        name: each.default for name, each in wanted.items() if name != "connection"
    }
