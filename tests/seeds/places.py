"""Every block of code of the talk that the project started from, by its place there.

The talk is about FastStream. What it shows on NATS or without a server runs here, rewritten with `tidings` in
the place of `faststream` and `App` in that of `FastStream`; each such place names its test. The others say
what they wait for, or why there is nothing of ours to run.
"""

from collections.abc import Mapping
from dataclasses import dataclass

__all__ = ["PLACES", "Aside", "Needs", "Shown"]


@dataclass(frozen=True)
class Shown:
    """It runs, in those tests of the files beside this one; names, with spaces between."""

    what: str
    tests: str


@dataclass(frozen=True)
class Needs:
    """It is code for us, and waits for a part that is not there."""

    what: str
    part: str


@dataclass(frozen=True)
class Aside:
    """It is no code for us: another library, or something to look at."""

    what: str


Place = Shown | Needs | Aside

PLACES: Mapping[int, Place] = {
    1: Needs("a first subscriber", "RabbitMQ"),
    2: Aside("the classes of aio-pika"),
    3: Aside("a caller of aio-pika's RPC"),
    4: Aside("a consumer of aio-pika"),
    5: Aside("a consumer of aio-pika, again"),
    6: Aside("a route of FastAPI"),
    7: Aside("the same with words struck out, on the way to a subscriber"),
    8: Needs("a first subscriber, again", "RabbitMQ"),
    9: Aside("a consumer of aio-pika, again"),
    10: Aside("a consumer of aio-pika, again"),
    11: Needs("a first subscriber, again", "RabbitMQ"),
    12: Shown("a first subscriber on NATS", "test_a_handler_without_annotations"),
    13: Needs("a first subscriber", "Kafka"),
    14: Needs("a first subscriber", "Redis"),
    15: Shown("a subscriber of a model: its address", "test_an_incoming_model"),
    16: Shown("a subscriber of a model: its message", "test_an_incoming_model"),
    17: Shown("the model", "test_the_model_of_the_json_that_is_expected"),
    18: Shown("the JSON that is expected", "test_the_model_of_the_json_that_is_expected"),
    19: Shown("publishing a dict", "test_publishing_a_dict"),
    20: Shown("a result, and nobody it goes to", "test_a_result_that_goes_nowhere"),
    21: Shown("RPC", "test_rpc_over_mq"),
    22: Shown("an answer to an address", "test_reply_to"),
    23: Shown("a publisher", "test_publisher"),
    24: Shown("a chain of services, the first", "test_services_chain"),
    25: Shown("a chain of services, the second", "test_services_chain"),
    26: Shown("a chain of services, the last", "test_services_chain"),
    27: Shown("an app", "test_an_app_for_the_command_line"),
    28: Shown("two workers; a reload", "test_two_workers test_a_reload"),
    29: Shown("the function that is tested", "test_the_function_that_is_tested"),
    30: Shown("a test of what comes in", "test_incorrect"),
    31: Shown("a test of what goes out", "test_correct"),
    32: Shown("a test on a real server", "test_end_to_end"),
    33: Shown("a logger", "test_logging"),
    34: Shown("what the log shows", "test_the_log_of_a_run"),
    35: Needs("a health check", "ASGI"),
    36: Needs("running under an ASGI server", "ASGI"),
    37: Needs("the set-up of OpenTelemetry", "traces"),
    38: Needs("the middleware of OpenTelemetry", "traces"),
    39: Shown("a service that AsyncAPI describes", "test_the_service_that_is_described"),
    40: Needs("an example in the document", "AsyncAPI"),
    41: Needs("another example in the document", "AsyncAPI"),
    42: Shown("a broker that is global", "test_a_global_broker"),
    43: Shown("a router in its place", "test_a_router_in_the_place_of_a_global_broker"),
    44: Shown("a subscriber without the broker's own options", "test_a_subscriber_of_two_fields"),
    45: Needs("an exchange", "RabbitMQ"),
    46: Shown("watching a key of a bucket", "test_watching_a_key"),
    47: Shown("without pydantic", "test_pydantic_is_not_nailed_down"),
    48: Shown(
        "msgpack by a decoder and a middleware, there on RabbitMQ",
        "test_another_serialization_by_a_decoder_and_a_middleware",
    ),
}
