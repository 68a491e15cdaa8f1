"""Who is measured. One more is an entry in CONTENDERS and, for a new library, a driver."""

import subprocess
import tempfile
from collections.abc import Container, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from bench.rows import Row
from bench.workloads import Run

C_SOURCE = Path(__file__).parent / "c" / "nats_bench.c"
TIMEOUT = 60.0  # seconds


@dataclass(frozen=True)
class Contender:
    """A library, the interpreter's virtual environment it lives in, and how it is driven.

    `driver` is a module of bench.drivers; the C client has none and is a program of its own.
    """

    name: str
    driver: str
    distribution: str
    ours: bool = False
    env: dict[str, str] = field(default_factory=dict)


CONTENDERS = (
    Contender("tidings", "tidings_client", "tidings", ours=True),
    Contender("tidings-pure", "tidings_client", "tidings", ours=True, env={"TIDINGS_PURE": "1"}),
    Contender("tidings-callback", "tidings_callback", "tidings", ours=True),
    Contender("tidings-services", "tidings_services", "tidings", ours=True),
    Contender("tidings-memory", "tidings_memory", "tidings", ours=True),
    Contender("tidings-pubsub", "tidings_pubsub", "tidings", ours=True),
    Contender("tidings-svc", "tidings_svc", "tidings", ours=True),
    Contender("tidings-compat", "tidings_compat", "tidings", ours=True),
    Contender("natsio", "natsio_client", "natsio"),
    Contender("natsio-svc", "natsio_svc", "natsio"),
    Contender("nats-py-svc", "nats_py_svc", "nats-py"),
    Contender("nats-core", "nats_core_client", "nats-core"),
    Contender("nats-py", "nats_py_client", "nats-py"),
    Contender("nats-py-threads", "nats_py_threads", "nats-py"),
    Contender("faststream", "faststream_services", "faststream"),
    Contender("raw", "raw_jetstream", "tidings", ours=True),
    Contender("c", "", "libnats"),
)


@dataclass(frozen=True)
class Bench:
    """The interpreters of both environments and the C program, where it could be built."""

    ours: Path
    peers: Path
    c_program: Path | None

    @property
    def server(self) -> Path:
        """The nats-server binary, which stands beside our interpreter."""
        return self.ours.parent / "nats-server"

    def command(self, contender: Contender, row: Row, loop: str, run: Run) -> list[str]:
        """The command line that prints the contender's figure on the row."""
        where = [row.name, run.url, str(run.seconds), str(run.warmup)]
        if not contender.driver:
            return [str(self.c_program), *where]
        python = self.ours if contender.ours else self.peers
        return [str(python), "-m", "bench.measure", *where, str(run.size), contender.driver, loop]

    def versions(self) -> dict[str, str]:
        """The version of each distribution that is there; of the C client, that of its library."""
        found = {}
        for python, ours in ((self.ours, True), (self.peers, False)):
            names = {each.distribution for each in CONTENDERS if each.ours is ours}
            found |= _installed(python, names | {"uvloop", "pydantic"})
        if self.c_program:
            found["libnats"] = _output("pkg-config", "--modversion", "libnats") or "of the system"
        return found

    def describe(self, versions: Mapping[str, str]) -> dict[str, str]:
        """The interpreter, how it was built, and what runs on it."""
        code = (
            "import platform, sysconfig; "
            "print(platform.python_version(), sysconfig.get_config_var('CONFIG_ARGS'))"
        )
        python, _, flags = _output(self.ours, "-c", code).partition(" ")
        plain = "" if "--enable-optimizations" in flags else ", built without PGO"
        server = _output(self.server, "--version").replace(": v", " ")
        packages = (f"{name} {version}" for name, version in sorted(versions.items()))
        return {"Python": python + plain, "versions": ", ".join((server, *packages))}


@contextmanager
def c_program() -> Iterator[Path | None]:
    """The C client's program while the block lasts; None without a compiler or libnats-dev."""
    with tempfile.TemporaryDirectory(prefix="bench-c-") as folder:
        program = Path(folder) / "nats_bench"
        _output("cc", "-O2", "-o", program, C_SOURCE, "-lnats", "-lpthread")
        yield program if program.exists() else None


def _installed(python: Path, names: Container[str]) -> dict[str, str]:
    code = (
        "from importlib.metadata import distributions\n"
        "for each in distributions(): print(each.name.lower(), each.version)"
    )
    pairs = map(str.split, _output(python, "-c", code).splitlines())
    return {name: version for name, version in pairs if name in names}


def _output(*command: str | Path) -> str:
    """What the command prints; nothing where it is missing or fails."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT)
    except FileNotFoundError:
        return ""
    return done.stdout.strip()
