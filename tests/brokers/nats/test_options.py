"""What NATS can be told."""

import pytest

from tidings.brokers.nats import NatsDestination, NatsEndpoint, NatsSource
from tidings.brokers.nats.options import NatsKeywords
from tidings.messaging.broker import BrokerKeywords
from tidings.messaging.errors import SetupError
from tidings.nats import ConnectOptions


def test_a_source_is_a_subject_and_options_by_name() -> None:
    source = NatsSource("logs.{level}", queue="workers", no_reply=True)
    assert source.channel == "logs.{level}"
    assert list(source.path_names) == ["level"]
    assert source.pattern.subject == "logs.*"
    with pytest.raises(TypeError):
        NatsSource("logs", "workers")  # type: ignore[misc]


def test_a_destination_is_a_subject_and_options_by_name() -> None:
    assert NatsDestination("out", reply_to="back").channel == "out"


def test_no_option_of_a_broker_hides_one_of_the_client() -> None:
    assert not BrokerKeywords.__annotations__.keys() & ConnectOptions.__annotations__.keys()
    assert NatsKeywords.__annotations__.keys() == (
        BrokerKeywords.__annotations__.keys() | ConnectOptions.__annotations__.keys()
    )


def test_a_prefix_goes_before_the_subject_the_filters_and_the_keys() -> None:
    source = NatsSource("x.>", stream="S", filter_subjects=("x.a",)).prefixed("p.")
    assert (source.subject, list(source.filter_subjects)) == ("p.x.>", ["p.x.a"])
    assert NatsSource(kv_watch="bucket").prefixed("p.").subject == "p.>"
    assert NatsSource("x").prefixed("") == NatsSource("x")
    assert NatsDestination("x", stream="S").prefixed("p.") == NatsDestination("p.x", stream="S")


@pytest.mark.parametrize(
    "source",
    [NatsEndpoint("sum", service="calc"), NatsSource("sum", obj_watch="bucket")],
    ids=["endpoint", "objects"],
)
def test_some_take_no_prefix(source: NatsSource | NatsEndpoint) -> None:
    assert source.prefixed("") == source
    with pytest.raises(SetupError, match="sum' takes no prefix, and its router has 'p"):
        source.prefixed("p.")
