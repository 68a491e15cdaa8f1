"""What `tidings run` writes to its log: levels, JSON, files of `logging.config`, and no secrets."""

import json
import logging

import pytest

from tidings.cli import Exit

LOGGING_APP = """
import logging
from tidings import App
app = App()

@app.after_startup
def speak() -> None:
    logging.getLogger("shop").info("said by the shop")
    app.exit()
"""

HANDLING_APP = """
import asyncio, logging
from tidings import App, Logger
from tidings.brokers.memory import MemoryBroker

broker = MemoryBroker()
app = App(broker)

@broker.subscriber("orders")
async def handle(number: int, logger: Logger) -> None:
    logger.info("told %d", number, extra={"number": number})
    await asyncio.to_thread(logging.getLogger("a.library").warning, "from a thread")
    if number == 2:
        raise ValueError("connect to nats://me:s3cret@host")

@app.after_startup
async def publish() -> None:
    for number in (1, 2):
        await broker.publish(number, "orders", correlation_id=f"c-{number}")
    await broker.publish("no number", "orders", correlation_id="c-3")
    app.exit()
"""


def test_every_line_is_json_and_each_of_a_handler_has_the_id_of_its_message(start, module) -> None:
    module("main", HANDLING_APP)
    command = start("run", "main:app", "--log-format", "json")
    assert command.end() == Exit.OK
    lines = [json.loads(line) for line in command.err.splitlines()]
    by_id = {
        id: [line["message"] for line in lines if line.get("correlation_id") == id]
        for id in ("c-1", "c-2", "c-3")
    }
    assert by_id["c-1"][:2] == ["told 1", "from a thread"]
    assert by_id["c-1"][2].startswith("handled in")
    assert by_id["c-2"][:2] == ["told 2", "from a thread"]
    assert "ValueError: connect to nats://host" in by_id["c-2"][2]
    assert len(by_id["c-3"]) == 1
    told = next(line for line in lines if line["message"] == "told 2")
    assert (told["number"], told["channel"], told["level"], told["logger"]) == (
        2,
        "orders",
        "INFO",
        "tidings",
    )
    assert "channel" not in next(line for line in lines if line["message"] == "app starting…")
    failure = next(line for line in lines if "ValueError" in line["message"])
    assert failure["exception"].endswith("ValueError: connect to nats://host")
    assert isinstance(next(line for line in lines if "handled in" in line["message"])["duration_ms"], float)
    assert "s3cret" not in command.err


def test_the_same_as_text(start, module) -> None:
    module("main", HANDLING_APP)
    command = start("run", "main:app")
    assert command.end() == Exit.OK
    assert "INFO     - orders               | c-1        - told 1\n" in command.err
    assert "WARNING  - orders               | c-1        - from a thread\n" in command.err
    assert "s3cret" not in command.err


@pytest.mark.parametrize("how", [("-q",), ("--quiet",), ("--log-level", "warning")])
def test_quiet_is_nothing_but_what_is_wrong(how: tuple[str, ...], start, module) -> None:
    module("main", HANDLING_APP)
    command = start("run", "main:app", *how)
    assert command.end() == Exit.OK
    assert "handled in" not in command.err
    assert "app started" not in command.err
    assert "ValueError" in command.err
    assert "from a thread" in command.err


def test_the_environment_says_the_same(start, module) -> None:
    module("main", LOGGING_APP)
    command = start("run", "main:app", TIDINGS_LOG_LEVEL="debug", TIDINGS_LOG_FORMAT="json")
    assert command.end() == Exit.OK
    assert "said by the shop" in [json.loads(line)["message"] for line in command.err.splitlines()]


CONFIGS = {
    "log.json": json.dumps(
        {
            "filters": {"handling": {"()": "tidings.HandlingFilter"}},
            "formatters": {"json": {"()": "tidings.JsonFormatter", "service": "shop"}},
            "handlers": {
                "file": {
                    "class": "logging.FileHandler",
                    "filename": "out.log",
                    "filters": ["handling"],
                    "formatter": "json",
                }
            },
            "root": {"level": "INFO", "handlers": ["file"]},
        }
    ),
    "log.toml": """
        [formatters.json]
        "()" = "tidings.JsonFormatter"
        service = "shop"
        [handlers.file]
        class = "logging.FileHandler"
        filename = "out.log"
        formatter = "json"
        [root]
        level = "INFO"
        handlers = ["file"]
        """,
    "log.ini": """
[loggers]
keys=root
[handlers]
keys=file
[formatters]
keys=json
[logger_root]
level=INFO
handlers=file
[handler_file]
class=FileHandler
args=("out.log",)
formatter=json
[formatter_json]
class=tidings.JsonFormatter
""",
}


@pytest.mark.parametrize("name", CONFIGS)
def test_a_file_for_logging_config(name: str, start, module, folder) -> None:
    module("main", LOGGING_APP)
    (folder / name).write_text(CONFIGS[name])
    command = start("run", "main:app", "--log-config", name)
    assert command.end() == Exit.OK, command.err
    lines = [json.loads(line) for line in (folder / "out.log").read_text().splitlines()]
    said = [line["message"] for line in lines]
    assert said[0] == "app starting…"
    assert "said by the shop" in said
    assert command.err == ""
    if name != "log.ini":
        assert {line["service"] for line in lines} == {"shop"}


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("log.yaml", "root: {}", "it ends in none of .json, .toml, .ini"),
        ("log.json", "{", "Expecting property name"),
        ("log.json", "[]", "it is not a mapping"),
        ("log.json", '{"root": {"level": "LOUD"}}', "Unable to configure root logger: Unknown level"),
        ("log.json", '{"handlers": {"h": {"class": "nowhere.Handler"}}}', "nowhere"),
        ("log.toml", "root = ", "Invalid value"),
        ("log.ini", "[loggers]\nkeys=root\n", ""),
        ("log.ini", "no section", ""),
        ("log.ini", None, "No such file or directory"),
        ("log.json", None, "No such file or directory"),
    ],
)
def test_a_file_that_does_not_do(name: str, text: str | None, said: str, start, module, folder) -> None:
    module("main", LOGGING_APP)
    if text is not None:
        (folder / name).write_text(text)
    command = start("run", "main:app", "--log-config", name)
    assert command.end() == Exit.USAGE
    assert f"tidings: --log-config {folder / name}: " in command.err
    assert said in command.err
    assert "Traceback" not in command.err


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (("-q", "--log-level", "info"), "--quiet and --log-level"),
        (("--log-config", "log.json", "-q"), "--log-config says it all"),
        (("--log-config", "log.json", "--log-format", "json"), "--log-config says it all"),
    ],
)
def test_options_that_contradict_each_other(args, said, start, module) -> None:
    module("main", LOGGING_APP)
    command = start("run", "main:app", *args)
    assert command.end() == Exit.USAGE
    assert f"tidings: {said}" in command.err


def test_the_workers_write_json_with_their_numbers(start, module) -> None:
    module(
        "main", LOGGING_APP.replace("app.exit()", "", 1) + "\n@app.after_startup\ndef leave(): app.exit()\n"
    )
    command = start("run", "main:app", "--workers", "2", "--log-format", "json")
    assert command.end() == Exit.OK
    lines = [json.loads(line) for line in command.err.splitlines()]
    assert {line["worker"] for line in lines if line["logger"] == "shop"} <= {1, 2}
    assert any("worker 1 of 2 is ready" in line["message"] for line in lines)
    assert logging.getLogger("shop").level == logging.NOTSET
