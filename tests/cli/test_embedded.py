"""`tidings run --embedded`: a server that lives as long as the service, and no longer."""

import signal
import socket
import stat
from urllib.parse import urlsplit

import pytest

from tidings.cli import Exit

# Tells where the server is, and in a shutdown hook whether it still answers.
TELLING_APP = """
import os, socket
from urllib.parse import urlsplit
from tidings.app import App

url = os.environ["TIDINGS_NATS_SERVERS"]
app = App()

@app.after_startup
def tell():
    print(url, flush=True)

@app.on_shutdown
def ask():
    server = urlsplit(url)
    with socket.create_connection((server.hostname, server.port), timeout=10) as connection:
        print(connection.recv(4).decode(), flush=True)
"""


def test_the_server_outlives_the_service_and_no_more(start, module, folder) -> None:
    """Even when CTRL+C goes to every process of the terminal at once."""
    module("main", TELLING_APP)
    command = start("run", "main:app", "--embedded", TIDINGS_NATS_SERVERS="nats://unused:1")
    address = command.wait_line("embedded nats-server on").split()[-1]
    command.wait_line("app started")
    url_file = folder / ".tidings/nats/url"
    url = url_file.read_text().strip()
    assert stat.S_IMODE(url_file.stat().st_mode) == 0o600
    assert url.endswith(f"@{address}")

    command.send_to_group(signal.SIGINT)
    assert command.end() == Exit.OK
    assert command.out().split() == [url, "INFO"]
    assert (urlsplit(url).username or "no token") not in command.err
    assert not url_file.exists()
    host, _, port = address.partition(":")
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((host, int(port)), timeout=10)


def test_a_folder_of_ones_own_is_kept_out_of_version_control(start, module, folder) -> None:
    module("main", "from tidings.app import App\napp = App()\napp.after_startup(app.exit)")
    command = start("run", "main:app", "--embedded", "--store-dir", "data/streams")
    assert command.end() == Exit.OK, command.err
    assert (folder / "data/streams/.gitignore").read_text() == "*\n"
    assert not (folder / ".tidings").exists()


def test_without_the_binary_it_says_what_to_install(start, module) -> None:
    module("main", TELLING_APP)
    command = start("run", "main:app", "--embedded", TIDINGS_NATS_SERVER="/nowhere/nats-server")
    assert command.end() == Exit.NOT_INSTALLED
    assert "tidings: --embedded: " in command.err
    assert "Traceback" not in command.err


def test_a_folder_in_use_is_named(start, module) -> None:
    module("main", TELLING_APP)
    first = start("run", "main:app", "--embedded")
    first.wait_line("app started")
    second = start("run", "main:app", "--embedded")
    assert second.end() == Exit.NO_SERVER
    assert "in use" in second.err
    assert "Traceback" not in second.err
    first.send(signal.SIGTERM)
    assert first.end() == Exit.OK


def test_a_port_of_ones_own_and_one_that_is_taken(start, module, nats_server) -> None:
    module("main", TELLING_APP)
    taken = start("run", "main:app", "--embedded", "--port", str(nats_server.port))
    assert taken.end() == Exit.NO_SERVER
    assert f"tidings: --port {nats_server.port}: another program listens there; give another one" in taken.err
    assert "Traceback" not in taken.err
    first = start("run", "main:app", "--embedded")
    port = first.wait_line("embedded nats-server on").rpartition(":")[2].strip()
    first.wait_line("app started")
    first.send(signal.SIGTERM)
    assert first.end() == Exit.OK
    again = start("run", "main:app", "--embedded", "--port", port)
    again.wait_line(f"embedded nats-server on 127.0.0.1:{port}")
    again.wait_line("app started")
    again.send(signal.SIGTERM)
    assert again.end() == Exit.OK


def test_a_signal_before_the_service_is_there_leaves_nothing_either(start, module, folder) -> None:
    module(
        "main", "import sys, threading\nprint('here', file=sys.stderr, flush=True)\nthreading.Event().wait()"
    )
    command = start("run", "main:app", "--embedded")
    host, _, port = command.wait_line("embedded nats-server on").split()[-1].partition(":")
    command.wait_line("here")
    command.send(signal.SIGTERM)
    assert command.end() == 128 + signal.SIGTERM
    assert not (folder / ".tidings/nats/url").exists()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((host, int(port)), timeout=10)


def test_a_folder_that_cannot_be_made(start, module, folder) -> None:
    module("main", TELLING_APP)
    (folder / "file").write_text("")
    command = start("run", "main:app", "--embedded", "--store-dir", "file/streams")
    assert command.end() == Exit.NO_SERVER
    assert "no folder for it" in command.err


# Holds every message until the stop has begun; all of them have been delivered by then.
HOLDING_APP = """
import asyncio
from tidings import App, Logger
from tidings.brokers.nats import NatsBroker

broker = NatsBroker()
app = App(broker)
gate = asyncio.Event()
handled = []

@broker.subscriber("numbers")
async def hold(number: int, logger: Logger) -> None:
    await gate.wait()
    handled.append(number)

@app.after_startup
async def publish() -> None:
    for number in range(500):
        await broker.publish(number, "numbers")
    await broker.client.flush()

@app.on_shutdown
def release() -> None:
    print(len(handled), flush=True)
    gate.set()

@app.after_shutdown
def tell() -> None:
    print(handled == list(range(500)), flush=True)
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_loses_nothing_that_was_delivered(number: signal.Signals, start, module) -> None:
    module("main", HOLDING_APP)
    command = start("run", "--embedded", "main:app")
    command.wait_line("app started")
    command.send_to_group(number)
    assert command.end() == Exit.OK
    assert command.out().split() == ["0", "True"]
    assert "numbers              |" in command.err


ELSEWHERE_APP = """
from tidings import App
from tidings.brokers.nats import NatsBroker

app = App(NatsBroker(connect_attempts=1), NatsBroker("nats://u:secret@127.0.0.1:1", connect_attempts=1))
"""


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_broker_that_names_its_servers_is_told_apart(start, module, workers: str) -> None:
    module("main", ELSEWHERE_APP)
    command = start("run", "main:app", "--embedded", "--workers", workers)
    assert command.end() == Exit.NO_SERVER
    assert command.err.count("does not use the embedded server") == 1
    assert (
        "the broker of nats://127.0.0.1:1 does not use the embedded server: it names its own" in command.err
    )
    assert "tidings: no connection to nats://127.0.0.1:1: nothing listens there" in command.err
    assert "or without servers the variable TIDINGS_NATS_SERVERS" in command.err
    assert "The embedded server is there, for brokers that name no servers: NatsBroker()" in command.err
    assert "tidings run --embedded" not in command.err
    assert "secret" not in command.err


def test_without_a_server_the_embedded_one_is_named(start, module) -> None:
    module("main", ELSEWHERE_APP)
    command = start("run", "main:app", TIDINGS_NATS_SERVERS="nats://127.0.0.1:1")
    assert command.end() == Exit.NO_SERVER
    assert "say where it is: NatsBroker(servers), or the variable TIDINGS_NATS_SERVERS" in command.err
    assert "tidings run --embedded, and a NatsBroker() that names no servers" in command.err
