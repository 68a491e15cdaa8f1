from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tidings.nats.server import NatsServer

PATIENCE = 10.0


def eventually(condition: Callable[[], object]) -> bool:
    """Whether ``condition`` came true before patience ran out."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


def commands() -> dict[int, tuple[int, str]]:
    """Parent and command line of each process; a zombie's command line is empty."""
    table = {}
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            line = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
        except OSError:
            continue
        table[int(entry.name)] = (parent, line)
    return table


def command_of(pid: int) -> str:
    """The command line of a process, empty for one that has ended."""
    return commands().get(pid, (0, ""))[1]


def children() -> set[int]:
    """The processes of this program, zombies too."""
    return {pid for pid, (parent, _) in commands().items() if parent == os.getpid()}


def mentioning(text: object) -> list[str]:
    """The command lines in which ``text`` occurs."""
    return [line for _, line in commands().values() if str(text) in line]


@pytest.fixture(autouse=True)
def no_process_left_behind() -> Iterator[None]:
    before = children()
    yield
    assert children() <= before


class Raw:
    """A connection without a client: lines in, lines out."""

    def __init__(self, server: NatsServer, token: str | None = None) -> None:
        self.socket = socket.create_connection((server.host, server.port), timeout=PATIENCE)
        self.lines = self.socket.makefile("rb")
        self.info = json.loads(self.lines.readline().removeprefix(b"INFO "))
        options = {"verbose": False, "lang": "raw", "version": "1", "auth_token": token}
        self.send(f"CONNECT {json.dumps(options)}\r\nPING\r\n".encode())
        self.answer = self.lines.readline()

    def __enter__(self) -> Raw:
        return self

    def __exit__(self, *_: object) -> None:
        self.lines.close()
        self.socket.close()

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def request(self, subject: str, payload: object = "") -> Any:
        body = json.dumps(payload).encode() if payload != "" else b""
        head = f"SUB answers 1\r\nUNSUB 1 1\r\nPUB {subject} answers {len(body)}\r\n"
        self.send(head.encode() + body + b"\r\n")
        size = int(self.lines.readline().split()[-1])
        return json.loads(self.lines.read(size + 2))


def answers(server: NatsServer) -> bool:
    with Raw(server, server.token) as raw:
        return raw.answer == b"PONG\r\n"


def run_program(body: str) -> subprocess.Popen[str]:
    """A program of its own that runs ``body``, the server class imported."""
    return subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", f"{PROLOGUE}{body}"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


PROLOGUE = """
import os, sys
from tidings.nats.server import NatsServer
"""


def test_starts_answers_and_stops() -> None:
    with NatsServer() as server:
        folder = server.store_dir
        assert answers(server)
        assert server.url == f"nats://{server.token}@127.0.0.1:{server.port}"
        assert server.running
        assert folder is not None
        assert folder.is_dir()
    assert not server.running
    assert server.pid is None
    assert not folder.exists()
    assert mentioning(folder) == []


def test_the_token_is_required(nats_server: NatsServer) -> None:
    with Raw(nats_server) as without, Raw(nats_server, "wrong") as wrong:
        assert without.info["auth_required"] is True
        assert without.answer == b"-ERR 'Authorization Violation'\r\n"
        assert wrong.answer == b"-ERR 'Authorization Violation'\r\n"


def test_the_token_is_nowhere_but_in_the_url_and_a_private_file(nats_server: NatsServer) -> None:
    token, folder = nats_server.token, nats_server.store_dir
    assert token is not None
    assert folder is not None
    assert len(token) >= 32
    assert len(mentioning(folder)) == 2
    assert mentioning(token) == []
    assert token not in repr(nats_server)
    assert token not in repr(nats_server.options)
    assert str(nats_server.port) in repr(nats_server)
    holders = [file for file in folder.rglob("*") if file.is_file() and token in file.read_text()]
    assert [file.name for file in holders] == ["nats-server.conf"]
    assert holders[0].stat().st_mode & 0o777 == 0o600


def test_listens_on_loopback_only(nats_server: NatsServer) -> None:
    assert nats_server.listeners == {"nats": [f"nats://127.0.0.1:{nats_server.port}"]}


def test_jetstream_data_survives_in_a_given_folder(tmp_path: Path) -> None:
    # Whatever a path or a token may hold has to come through the config file.
    folder = tmp_path / 'new "folder" \\ ü {x}'
    token = 'p"a\\s @:/é$X'
    with NatsServer(folder, token=token) as server, Raw(server, token) as raw:
        raw.request("$JS.API.STREAM.CREATE.S", {"name": "S", "subjects": ["s"]})
        assert raw.request("s", "kept")["seq"] == 1
    assert folder.stat().st_mode & 0o777 == 0o700
    with NatsServer(folder, token=token) as server, Raw(server, token) as raw:
        assert raw.request("$JS.API.STREAM.INFO.S")["state"]["messages"] == 1


@pytest.mark.parametrize(("durability", "synced"), [("sync", True), ("fast", None)])
def test_jetstream_syncs_before_it_acknowledges_unless_fast(durability: Any, synced: bool | None) -> None:
    with (
        NatsServer(durability=durability, config='http: "127.0.0.1:-1"') as server,
        urllib.request.urlopen(f"{server.listeners['monitoring'][0]}/jsz") as page,
    ):
        config = json.load(page)["config"]
    assert config.get("sync_always") is synced


def test_without_jetstream() -> None:
    with NatsServer(jetstream=False) as server, Raw(server, server.token) as raw:
        assert "jetstream" not in raw.info


def test_more_config_with_users_of_its_own() -> None:
    config = """
    accounts { A { users: [{user: a, password: b}] } }
    websocket { listen: "127.0.0.1:-1", no_tls: true }
    """
    with NatsServer(token=False, config=config) as server:
        assert server.url == f"nats://127.0.0.1:{server.port}"
        assert server.listeners["websocket"][0].startswith("ws://127.0.0.1:")
        with Raw(server) as stranger:
            assert stranger.answer == b"-ERR 'Authorization Violation'\r\n"


def test_start_of_a_running_and_stop_of_a_stopped_server_do_nothing() -> None:
    server = NatsServer()
    server.stop()
    server.kill()
    with pytest.raises(RuntimeError, match="no port before its first start"):
        _ = server.url
    with server:
        pid = server.pid
        server.start()
        assert server.pid == pid
    server.stop()


def test_a_stopped_server_starts_again() -> None:
    server = NatsServer()
    for _ in range(2):
        with server:
            assert answers(server)


@pytest.mark.parametrize("crash", [True, False])
def test_restart_keeps_port_token_and_data(nats_server: NatsServer, crash: bool) -> None:
    pid, url = nats_server.pid, nats_server.url
    with Raw(nats_server, nats_server.token) as raw:
        raw.request("$JS.API.STREAM.CREATE.S", {"name": "S", "subjects": ["s"]})
        raw.request("s", "kept")
    if crash:
        nats_server.kill()
        assert not nats_server.running
    nats_server.restart()
    assert nats_server.pid != pid
    assert nats_server.url == url
    with Raw(nats_server, nats_server.token) as raw:
        assert raw.request("$JS.API.STREAM.INFO.S")["state"]["messages"] == 1


def test_a_server_that_does_not_stop_is_killed(nats_server: NatsServer) -> None:
    assert nats_server.pid is not None
    os.kill(nats_server.pid, signal.SIGSTOP)
    nats_server.stop(timeout=0.05)
    assert not nats_server.running


def test_a_server_that_dies_is_reported_and_leaves_no_watcher(
    nats_server: NatsServer, caplog: pytest.LogCaptureFixture
) -> None:
    pid, folder = nats_server.pid, nats_server.store_dir
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    assert eventually(lambda: not nats_server.running)
    assert mentioning(folder) == []
    assert caplog.messages == [f"nats-server {pid} ended by itself with status -9"]
    nats_server.start()
    assert answers(nats_server)


def test_a_server_outlives_the_thread_that_started_it() -> None:
    server = NatsServer()
    thread = threading.Thread(target=server.start)
    thread.start()
    thread.join(PATIENCE)
    assert answers(server)
    server.stop()


def test_a_server_ends_when_its_program_is_killed() -> None:
    program = run_program("s = NatsServer(); s.start(); print(s.store_dir, flush=True); input()")
    with program:
        assert program.stdout is not None
        folder = Path(program.stdout.readline().strip())
        assert len(mentioning(folder)) == 2
        program.kill()
    assert eventually(lambda: mentioning(folder) == [])
    assert eventually(lambda: not folder.exists())


def test_a_folder_is_taken_over_at_once_from_a_killed_program(tmp_path: Path) -> None:
    program = run_program(f"""
s = NatsServer({str(tmp_path)!r})
s.start()
print("started", flush=True)
input()
""")
    with program:
        assert program.stdout is not None
        program.stdout.readline()
        program.kill()
    with NatsServer(tmp_path) as server:
        assert answers(server)
    assert (tmp_path / "jetstream").is_dir()


@pytest.mark.parametrize("ending", ["", "sys.exit(3)", "raise ValueError"])
def test_a_server_ends_with_the_interpreter(ending: str) -> None:
    program = run_program(f"""
s = NatsServer()
s.start()
print(s.store_dir)
sys.stderr = None
{ending}
""")
    output, _ = program.communicate(timeout=PATIENCE)
    folder = Path(output.strip())
    assert mentioning(folder) == []
    assert not folder.exists()


def test_a_forked_child_neither_stops_the_server_nor_keeps_it_alive() -> None:
    program = run_program("""
server = NatsServer()
server.start()
leaving = os.fork()
if not leaving:
    server.stop()
    sys.exit()
os.waitpid(leaving, 0)
staying = os.fork()
if staying:
    print(server.running, server.pid, staying, flush=True)
sys.stdin.read()
if staying == 0:
    os._exit(0)
""")
    with program:
        assert program.stdout is not None
        running, pid, staying = program.stdout.readline().split()
        assert running == "True"
        assert command_of(int(pid)) != ""
        program.kill()
        assert eventually(lambda: command_of(int(pid)) == "")
        assert command_of(int(staying)) != ""


def test_async_with_leaves_the_loop_free() -> None:
    async def main() -> None:
        turns = 0

        async def turn() -> None:
            nonlocal turns
            while True:
                turns += 1
                await asyncio.sleep(0)

        turning = asyncio.create_task(turn())
        async with NatsServer() as server:
            assert turns > 1
            assert answers(server)
        turning.cancel()
        assert not server.running

    asyncio.run(main())


def test_a_cancelled_async_with_leaves_no_server() -> None:
    async def main() -> None:
        server = NatsServer()
        entering = asyncio.create_task(server.__aenter__())
        await asyncio.sleep(0)
        entering.cancel()
        with pytest.raises(asyncio.CancelledError):
            await entering
        assert not server.running
        assert server.store_dir is None

    asyncio.run(main())
