from __future__ import annotations

import pytest

from tidings.nats.core.servers import Server, ServerPool, parse_server


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("nats://localhost:4222", "nats://localhost:4222"),
        ("nats://localhost", "nats://localhost:4222"),
        ("localhost", "nats://localhost:4222"),
        ("localhost:5", "nats://localhost:5"),
        ("  nats://localhost/ ", "nats://localhost:4222"),
        ("NATS://LocalHost", "nats://localhost:4222"),
        ("nats://127.0.0.1:65535", "nats://127.0.0.1:65535"),
        ("nats://[::1]:4222", "nats://[::1]:4222"),
        ("[fe80::1]", "nats://[fe80::1]:4222"),
        ("nats://ada:secret@h", "nats://h:4222"),
        ("tls://h", "tls://h:4222"),
        ("ws://h", "ws://h:80"),
        ("wss://h", "wss://h:443"),
        ("WSS://t0ken@h:8443/", "wss://h:8443"),
        ("ws://h/nats/live", "ws://h:80/nats/live"),
        ("ws://[::1]:1/nats live/%20", "ws://[::1]:1/nats%20live/%20"),
        ("ws://h/caf\u00e9", "ws://h:80/caf%C3%A9"),
    ],
)
def test_where_a_url_points(url: str, address: str) -> None:
    server = parse_server(url)
    assert server.address == str(server) == address


@pytest.mark.parametrize(
    ("url", "credentials"),
    [
        ("nats://h", (None, None, None)),
        ("nats://@h", (None, None, None)),
        ("nats://ada:secret@h", ("ada", "secret", None)),
        ("nats://ada:@h", ("ada", "", None)),
        ("nats://t0ken@h", (None, None, "t0ken")),
        ("t0ken@h:1", (None, None, "t0ken")),
        ("nats://a%40b:c%3Ad%2Fe@h", ("a@b", "c:d/e", None)),
        ("nats://ada:p@ss@h", ("ada", "p@ss", None)),
        ("nats://ada:a:b@h", ("ada", "a:b", None)),
    ],
)
def test_credentials_in_a_url(url: str, credentials: tuple[str | None, ...]) -> None:
    server = parse_server(url)
    assert (server.user, server.password, server.token) == credentials


@pytest.mark.parametrize(
    ("url", "complaint"),
    [
        ("", "no host"),
        ("nats://", "no host"),
        ("nats://:4222", "no host"),
        ("nats://ada:secret@", "no host"),
        ("http://h", "not http://"),
        ("ws://h:0", "port is a number"),
        ("ws://h/a?b=c", "a path stands behind the port, and nothing more"),
        ("wss://h#x", "a path stands behind the port"),
        ("tls://h/path", "nothing stands behind the port"),
        ("nats://h:port", "port is a number"),
        ("nats://h:0", "port is a number"),
        ("nats://h:65536", "port is a number"),
        ("nats://h:-1", "port is a number"),
        ("nats://[::1", "cannot be read"),
        ("nats://h\u2100x", "cannot be read"),
        ("nats://h/path", "nothing stands behind the port"),
        ("nats://h?tls=1", "nothing stands behind the port"),
        ("nats://h#x", "nothing stands behind the port"),
    ],
)
def test_what_is_no_url_of_a_server(url: str, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        parse_server(url)


@pytest.mark.parametrize(
    "url",
    [
        "nats://ada:sec:ret@h:port",
        "nats://ada:sec/ret@h",
        "nats://ada:sec#ret@h",
        "nats://ada:sec@ret@h:port",
        "nats://ada:sec://ret@h:port",
        "ada:sec://ret@h:port",
        "nats://ada:sec",
        "nats://sec://ret@h:port",
    ],
)
def test_the_complaint_shows_no_credentials(url: str) -> None:
    with pytest.raises(ValueError, match="server") as caught:
        parse_server(url)
    assert "sec" not in str(caught.value)
    assert "ret" not in str(caught.value)


@pytest.mark.parametrize("url", [None, 4222, b"nats://h", ("h", 4222)])
def test_a_url_is_text(url: object) -> None:
    with pytest.raises(TypeError, match="str"):
        parse_server(url)  # type: ignore[arg-type]


def hosts(pool: ServerPool) -> list[str]:
    return [server.host for server in pool]


class TestServerPool:
    def test_of_a_sequence_or_of_commas(self) -> None:
        assert hosts(ServerPool(["a", "b", "c"], shuffle=False)) == ["a", "b", "c"]
        assert hosts(ServerPool("a, b,c,", shuffle=False)) == ["a", "b", "c"]

    def test_shuffled_it_holds_the_same(self) -> None:
        names = [f"h{i}" for i in range(50)]
        pool = ServerPool(names)
        assert hosts(pool) != names
        assert sorted(hosts(pool)) == sorted(names)

    @pytest.mark.parametrize("nothing", ["", ",", [], [""]])
    def test_of_nothing(self, nothing: str | list[str]) -> None:
        with pytest.raises(ValueError, match="no server given"):
            ServerPool(nothing)

    def test_discovered_servers_come_last_and_once(self) -> None:
        pool = ServerPool("a,b", shuffle=False)
        a, _ = pool
        assert pool.discover(["c:1", "a:4222", "c:1", "[::1]:2"], a) == ["nats://c:1", "nats://[::1]:2"]
        assert pool.discover(["c:1", "[::1]:2"], a) == []
        assert hosts(pool) == ["a", "b", "c", "::1"]

    def test_discovered_servers_get_the_credentials_of_the_one_that_named_them(self) -> None:
        pool = ServerPool("nats://ada:secret@a", shuffle=False)
        (a,) = pool
        pool.discover(["b:1"], a)
        _, b = pool
        assert (b.user, b.password, b.token) == ("ada", "secret", None)

    def test_a_copy_that_was_shown_is_found_again(self) -> None:
        pool = ServerPool("ws://t0ken@a/one, ws://t0ken@a/two", shuffle=False)
        one, two = pool.shown()
        assert (one.path, two.path, two.token) == ("/one", "/two", None)
        assert pool.get(two) is list(pool)[1]

    def test_discovered_servers_are_dialled_as_the_one_that_named_them(self) -> None:
        pool = ServerPool("wss://a/nats", shuffle=False)
        (a,) = pool
        assert pool.discover(["b:1", "c", "nats://d"], a) == ["wss://b:1/nats", "wss://c:443/nats"]

    def test_one_that_is_named_with_tls_is_not_spoken_to_without(self) -> None:
        pool = ServerPool("nats://a", shuffle=False)
        (a,) = pool
        assert pool.discover(["tls://b:1", "nats://c:1"], a) == ["tls://b:1", "nats://c:1"]
        pool = ServerPool("ws://a/nats", shuffle=False)
        (a,) = pool
        assert pool.discover(["wss://b:1", "ws://c:1"], a) == ["wss://b:1/nats", "ws://c:1/nats"]

    def test_discovered_servers_go_when_they_are_named_no_more(self) -> None:
        pool = ServerPool("a,b", shuffle=False)
        a, _ = pool
        pool.discover(["b", "c", "d"], a)
        *_, d = pool
        assert pool.discover(["c"], a) == []
        assert hosts(pool) == ["a", "b", "c"]
        assert pool.discover(["c", "d", "e"], d) == ["nats://d:4222", "nats://e:4222"]

    def test_the_server_that_is_used_stays(self) -> None:
        pool = ServerPool("a", shuffle=False)
        (a,) = pool
        pool.discover(["b", "c"], a)
        _, b, _ = pool
        pool.discover(["d"], b)
        assert hosts(pool) == ["a", "b", "d"]

    def test_naming_none_changes_nothing(self) -> None:
        pool = ServerPool("a", shuffle=False)
        (a,) = pool
        pool.discover(["b"], a)
        for none in ([], None):
            assert pool.discover(none, a) == []
        assert hosts(pool) == ["a", "b"]

    @pytest.mark.parametrize(
        "nonsense", ["b:1", 5, {"b": 1}, [None], [5], [""], ["::::"], ["ws://h"], ["h:0"], [["h"]]], ids=repr
    )
    def test_what_a_server_names_may_be_nonsense(self, nonsense: object) -> None:
        pool = ServerPool("a")
        (a,) = pool
        assert pool.discover(nonsense, a) == []
        assert hosts(pool) == ["a"]

    def test_moving_one_to_the_end(self) -> None:
        pool = ServerPool("a,b,c", shuffle=False)
        first, *_ = pool
        pool.move_last(first)
        assert hosts(pool) == ["b", "c", "a"]
        pool.move_last(Server("x", 1))
        assert hosts(pool) == ["b", "c", "a"]

    def test_discarding_while_going_through_it(self) -> None:
        pool = ServerPool("a,b,c", shuffle=False)
        for server in pool:
            pool.discard(server)
            pool.discard(server)
        assert len(pool) == 0
