from __future__ import annotations

import json
import socket
import time
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from tidings.nats.server import NatsServer, StartTimeoutError
from tidings.nats.server import server as module


def leader_of(server: NatsServer) -> str:
    """The name of the server that leads the JetStream cluster, as ``server`` sees it."""
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        with urllib.request.urlopen(f"{server.listeners['monitoring'][0]}/jsz") as page:
            if leader := json.load(page)["meta_cluster"].get("leader"):
                return str(leader)
    raise AssertionError("no leader was elected")


def request(server: NatsServer, subject: str, payload: object) -> Any:
    body = json.dumps(payload).encode()
    with (
        socket.create_connection((server.host, server.port), timeout=10) as connection,
        connection.makefile("rb") as lines,
    ):
        connect = json.dumps({"verbose": False, "auth_token": server.token})
        head = f"CONNECT {connect}\r\nSUB answers 1\r\nPUB {subject} answers {len(body)}\r\n"
        connection.sendall(head.encode() + body + b"\r\n")
        for line in lines:
            if line.startswith(b"MSG"):
                return json.loads(lines.read(int(line.split()[-1])))
    raise AssertionError("the connection was closed")


def test_three_servers_keep_a_stream_through_the_death_of_one() -> None:
    with NatsServer.cluster(3) as cluster:
        assert [server.url for server in cluster.servers] == cluster.urls
        assert len(set(cluster.urls)) == 3
        leader = int(leader_of(cluster.servers[0])[1:]) - 1
        witness, victim = cluster.servers[leader], cluster.servers[leader - 1]
        stream = {"name": "S", "subjects": ["s"], "num_replicas": 3}
        created = request(witness, "$JS.API.STREAM.CREATE.S", stream)
        assert len(created["cluster"]["replicas"]) == 2

        url = victim.url
        victim.kill()
        assert [server.running for server in cluster.servers].count(True) == 2
        cluster.wait_ready()
        victim.restart()
        cluster.wait_ready()
        assert victim.url == url
        assert leader_of(victim)
    assert not any(server.running for server in cluster.servers)


def test_a_lost_race_for_a_route_port_is_tried_again_in_the_same_folders(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    free_port = module.free_port
    with socket.create_server(("127.0.0.1", 0)) as taken:
        ports = iter([taken.getsockname()[1]])
        monkeypatch.setattr(module, "free_port", lambda: next(ports, None) or free_port())
        with NatsServer.cluster(2, store_dir=tmp_path, durability="fast") as cluster:
            assert next(ports, None) is None
            servers = cluster.servers
            cluster.start()
            assert cluster.servers is servers
            assert servers[0].token is not None
            assert servers[0].token not in repr(cluster)
    assert (tmp_path / "n1" / "jetstream").is_dir()
    assert (tmp_path / "n2" / "jetstream").is_dir()


def test_a_cluster_without_a_majority_is_not_ready() -> None:
    with NatsServer.cluster(2) as cluster:
        cluster.servers[0].kill()
        cluster.servers[1].restart()
        with pytest.raises(StartTimeoutError, match=r"is not healthy: .*JetStream"):
            cluster.wait_ready(timeout=0.05)


def test_one_server_is_no_cluster() -> None:
    with pytest.raises(ValueError, match="at least 2 servers, not 1"):
        NatsServer.cluster(1)
