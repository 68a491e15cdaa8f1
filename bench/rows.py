"""What is measured, and what it should reach. One more is an entry in ROWS or in TARGETS."""

from dataclasses import dataclass
from enum import Enum


class Unit(Enum):
    """What a figure is in; only of a rate is the greater one the better."""

    RATE = "/s"
    TIME = "ms"
    SHORT_TIME = "µs"
    SIZE = "bytes"


LOOPS = ("asyncio", "uvloop")


@dataclass(frozen=True)
class Row:
    """One workload of `bench.workloads`, and who is measured on it."""

    name: str
    title: str
    workload: str  # "module.function"
    contenders: tuple[str, ...]
    unit: Unit = Unit.RATE
    size: int = 16  # bytes of payload
    loops: tuple[str, ...] = LOOPS
    scheme: str = "nats"  # which listener of `bench.server`


@dataclass(frozen=True)
class Target:
    """`ours` over `theirs` on a row: of rates at least `factor`, of all else at most.

    Without `theirs` it is the figure itself that is held to `factor`.
    """

    row: str
    theirs: str
    factor: float
    ours: str = "tidings"
    their_row: str = ""  # where it is another row than ours


CLIENTS = ("tidings", "tidings-pure", "natsio", "nats-core", "nats-py")
SERVICES = ("tidings-services", "faststream")
PAIR = ("tidings", "natsio")
ONE = ("asyncio",)

CLIENT_ROWS = (
    Row("publish", "awaited publish + final flush", "client.publish", (*CLIENTS, "c")),
    Row(
        "callback",
        "publish and receive on one connection, callback",
        "client.publish_and_receive",
        (*CLIENTS, "c"),
    ),
    Row("iterate", "the same through `async for`", "client.publish_and_iterate", CLIENTS),
    Row("request", "sequential request round trip", "client.request", CLIENTS, Unit.TIME),
    Row("requests", "100 concurrent requesters", "client.concurrent_requests", CLIENTS),
    Row(
        "large",
        "64 KiB payloads, published and received",
        "client.publish_and_receive",
        CLIENTS,
        size=64 * 1024,
    ),
)

JETSTREAM = ("tidings", "natsio", "nats-py")
# In files. The server has much to do for each message, so these say less of uvloop than the others.
JETSTREAM_ROWS = (
    Row(
        "js-publish",
        "JetStream: awaited publish, one by one",
        "jetstream.publish",
        JETSTREAM,
        scheme="jetstream",
    ),
    Row(
        "js-publish-1k",
        "the same with 1,024 bytes",
        "jetstream.publish",
        JETSTREAM,
        size=1024,
        loops=("asyncio",),
        scheme="jetstream",
    ),
    Row(
        "js-async",
        "JetStream: async publish with window",
        "jetstream.publish_async",
        (*JETSTREAM, "raw"),
        scheme="jetstream",
    ),
    Row(
        "js-async-1k",
        "the same with 1,024 bytes",
        "jetstream.publish_async",
        (*JETSTREAM, "raw"),
        size=1024,
        loops=("asyncio",),
        scheme="jetstream",
    ),
    *(
        Row(
            f"js-{name}{suffix}",
            title + more,
            f"consume.{name}",
            who,
            size=size,
            loops=loops,
            scheme="jetstream",
        )
        for name, title, who in (
            ("messages", "JetStream: read on and on, `ack` each", ("tidings", "natsio")),
            ("fetch", "JetStream: fetch 256, `ack` each", (*JETSTREAM, "raw")),
            ("ordered", "JetStream: read a stream in order", JETSTREAM),
        )
        for suffix, more, size, loops in (("", "", 16, LOOPS), ("-1k", ", 1,024 bytes", 1024, LOOPS[:1]))
    ),
)

WEBSOCKET_ROWS = (
    Row(
        "ws-publish",
        "`ws://`: awaited publish + final flush",
        "client.publish",
        ("tidings", "natsio"),
        scheme="ws",
    ),
    Row(
        "ws-callback",
        "`ws://`: publish and receive on one connection, callback",
        "client.publish_and_receive",
        ("tidings", "natsio"),
        scheme="ws",
    ),
)

TLS_ROWS = (
    Row("tls-publish", "TLS: awaited publish + final flush", "client.publish", PAIR, loops=ONE, scheme="tls"),
    Row(
        "tls-callback",
        "TLS: publish and receive on one connection",
        "client.publish_and_receive",
        PAIR,
        loops=ONE,
        scheme="tls",
    ),
)

MANY_ROWS = (
    Row(
        "one",
        "CPU time a message received, 1 subscription",
        "subscriptions.one",
        ("tidings",),
        Unit.SHORT_TIME,
        loops=ONE,
    ),
    Row(
        "beside",
        "CPU time a message received, by one of 10,000 subscriptions",
        "subscriptions.beside",
        ("tidings",),
        Unit.SHORT_TIME,
        loops=ONE,
    ),
    Row(
        "many",
        "CPU time a message received, over 10,000 subscriptions",
        "subscriptions.many",
        ("tidings",),
        Unit.SHORT_TIME,
        loops=ONE,
    ),
    Row(
        "memory",
        "memory a subscription, of 10,000 with a callback",
        "subscriptions.memory",
        ("tidings", "tidings-pure", "natsio"),
        Unit.SIZE,
        loops=ONE,
    ),
)

KV = ("tidings", "natsio", "nats-py")
KV_ROWS = (
    Row("kv-put", "key-value: put, one by one", "kv.put", KV, scheme="jetstream"),
    Row("kv-get", "key-value: get, one by one", "kv.get", KV, scheme="jetstream"),
    Row("kv-watch", "key-value: the initial entries of 100,000 keys", "kv.watch", KV, scheme="jetstream"),
)

OBJECT_ROWS = (
    Row(
        "obj-64m",
        "object store: put and read 64 MB, in MB",
        "objects.round_trip",
        ("tidings", "natsio", "nats-py", "raw"),
        size=64_000_000,
        scheme="jetstream",
    ),
)

SERVICE_ROWS = (
    Row("model", "framework: pydantic body, `async def` handler", "services.model", SERVICES),
    Row(
        "injected",
        "framework: body + message + logger + context value + `Depends`",
        "services.injected",
        SERVICES,
    ),
    Row("chain", "framework: subscribe → publish chain", "services.chain", SERVICES),
    Row("raw", "framework: `bytes` body", "services.raw", ("tidings-callback", *SERVICES)),
    Row(
        "pulled",
        "framework: pull consumer, pydantic body, ack after",
        "stream_services.pulled",
        SERVICES,
        scheme="jetstream",
    ),
)

THREADED = ("tidings-pubsub", "nats-py-threads")
PUBSUB_ROWS = (
    Row(
        "pubsub-publish",
        "threads: `publish` that blocks, 128 bytes",
        "pubsub.publish",
        THREADED,
        size=128,
        loops=ONE,
    ),
    Row(
        "pubsub-listen",
        "threads: `for` over messages, 128 bytes",
        "pubsub.listen",
        THREADED,
        size=128,
        loops=ONE,
    ),
    Row(
        "pubsub-frame",
        "threads: memory of a frame of 6 MiB, sent and received",
        "pubsub.frame",
        THREADED,
        Unit.SIZE,
        loops=ONE,
        scheme="large",
    ),
)

MEMORY_BROKER = ("tidings-memory",)
MEMORY_ROWS = (
    Row("mem-raw", "memory broker: `bytes` body, handled", "memory.raw", MEMORY_BROKER),
    Row("mem-publish", "memory broker: `broker.publish` and handled", "memory.published", MEMORY_BROKER),
)

ENDPOINTS = ("tidings-svc", "natsio-svc", "nats-py-svc")
# Services of ADR-32: the same requests as above, answered by an endpoint.
ENDPOINT_ROWS = (
    Row(
        "svc-request",
        "service endpoint: sequential round trip",
        "client.request",
        ENDPOINTS,
        Unit.TIME,
        loops=ONE,
    ),
    Row(
        "svc-requests",
        "service endpoint: 100 concurrent requesters",
        "client.concurrent_requests",
        ENDPOINTS,
        loops=ONE,
    ),
)

# The same program, written for nats-py, on either: what changing the import alone does.
COMPAT = ("tidings-compat", "nats-py")
COMPAT_ROWS = (
    Row(
        "compat-publish",
        "a nats-py program: awaited publish + final flush",
        "client.publish",
        COMPAT,
        loops=ONE,
    ),
    Row(
        "compat-callback",
        "the same: publish and receive, callback",
        "client.publish_and_receive",
        COMPAT,
        loops=ONE,
    ),
    Row("compat-iterate", "the same through `async for`", "client.publish_and_iterate", COMPAT, loops=ONE),
    Row("compat-request", "the same: sequential round trip", "client.request", COMPAT, Unit.TIME, loops=ONE),
    Row(
        "compat-js-publish",
        "the same: JetStream publish, one by one",
        "jetstream.publish",
        COMPAT,
        loops=ONE,
        scheme="jetstream",
    ),
    Row(
        "compat-js-fetch",
        "the same: fetch 256, `ack` each",
        "consume.fetch",
        COMPAT,
        loops=ONE,
        scheme="jetstream",
    ),
)

IMPORT_ROWS = (
    Row(
        "import-client",
        "import of the client",
        "imports.first_import",
        ("tidings", "natsio", "nats-core", "nats-py"),
        Unit.TIME,
        loops=("asyncio",),
    ),
    Row(
        "import-services",
        "import of the framework",
        "imports.first_import",
        SERVICES,
        Unit.TIME,
        loops=("asyncio",),
    ),
)

ROWS = (
    *CLIENT_ROWS,
    *TLS_ROWS,
    *WEBSOCKET_ROWS,
    *MANY_ROWS,
    *JETSTREAM_ROWS,
    *KV_ROWS,
    *OBJECT_ROWS,
    *SERVICE_ROWS,
    *MEMORY_ROWS,
    *PUBSUB_ROWS,
    *ENDPOINT_ROWS,
    *COMPAT_ROWS,
    *IMPORT_ROWS,
)

TARGETS = (
    Target("publish", "natsio", 5),
    Target("publish", "nats-core", 3),
    Target("publish", "c", 0.45),
    Target("callback", "natsio", 7),
    Target("iterate", "tidings", 0.7, their_row="callback"),
    Target("request", "natsio", 0.6),
    Target("requests", "nats-py", 2),
    Target("large", "natsio", 1.2),
    *(Target(row.name, "natsio", 1, ours="tidings-pure") for row in CLIENT_ROWS),
    *(Target(name, "natsio", 1.7) for name in ("js-publish", "js-publish-1k")),
    *(Target(name, "natsio", 4) for name in ("js-async", "js-async-1k")),
    *(Target(name, "natsio", 3) for name in ("js-messages", "js-messages-1k", "js-fetch", "js-fetch-1k")),
    *(Target(name, "nats-py", 4) for name in ("js-ordered", "js-ordered-1k")),
    *(Target(name, "natsio", 1.7) for name in ("kv-put", "kv-get")),
    Target("kv-watch", "nats-py", 4),
    Target("obj-64m", "natsio", 2),
    *(Target(row.name, "natsio", 2) for row in WEBSOCKET_ROWS),
    *(Target(row.name, "natsio", 3) for row in TLS_ROWS),
    Target("beside", "tidings", 1.1, their_row="one"),
    Target("many", "tidings", 1.1, their_row="one"),
    Target("memory", "", 2048),
    Target("memory", "", 2048, ours="tidings-pure"),
    Target("model", "faststream", 15, ours="tidings-services"),
    Target("injected", "faststream", 50, ours="tidings-services"),
    Target("chain", "faststream", 20, ours="tidings-services"),
    Target("raw", "tidings-callback", 0.5, ours="tidings-services"),
    Target("pulled", "faststream", 15, ours="tidings-services"),
    Target("mem-raw", "", 300_000, ours="tidings-memory"),
    Target("pubsub-publish", "nats-py-threads", 60, ours="tidings-pubsub"),
    Target("pubsub-listen", "nats-py-threads", 5, ours="tidings-pubsub"),
    Target("pubsub-frame", "", 2.01 * 6 * 1024 * 1024, ours="tidings-pubsub"),  # two copies of it
    Target("svc-requests", "nats-py-svc", 2, ours="tidings-svc"),
    Target("compat-publish", "nats-py", 3, ours="tidings-compat"),
    Target("compat-callback", "nats-py", 3, ours="tidings-compat"),
    Target("compat-iterate", "nats-py", 10, ours="tidings-compat"),
    Target("compat-request", "nats-py", 0.7, ours="tidings-compat"),
    Target("compat-js-publish", "nats-py", 2, ours="tidings-compat"),
    Target("compat-js-fetch", "nats-py", 4, ours="tidings-compat"),
    Target("import-client", "nats-py", 0.6),
    Target("import-services", "faststream", 0.5, ours="tidings-services"),
)
