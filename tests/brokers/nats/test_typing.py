"""What type checkers see: handlers keep their type, options and markers are checked."""

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

GOOD = """
from typing import Annotated, assert_type
from tidings import Batch, Context, Depends, Header, Logger, NoCast, Path
from tidings.brokers.nats import KvWatch, NatsBroker, NatsMessage
from tidings.messaging.publisher import Publisher
from tidings.messaging.subscriber import Subscriber
from tidings.nats import Client
from tidings.nats.jetstream import KeyValue, PubAck

broker = NatsBroker("nats://localhost:4222", name="x", validate=False, graceful_timeout=1.0)

def get_user() -> str:
    return "n"

@broker.subscriber("logs.{level}", queue="workers", no_reply=True)
@broker.publisher("out", reply_to="back")
async def handler(
    body: int,
    message: NatsMessage,
    logger: Logger,
    raw: NoCast[int],
    user: Annotated[str, Depends(get_user)],
    level: Annotated[str, Path()],
    correlation_id: str = Context("message.correlation_id"),
    tenant: str = Header(default="t"),
    other: str = Depends(get_user),
) -> str:
    logger.info(body + raw)
    return user + level

async def main() -> None:
    assert_type(broker.subscriber("x"), Subscriber)
    assert_type(broker.publisher("x"), Publisher)
    async with broker as entered:
        assert_type(entered, NatsBroker)
        assert_type(entered.client, Client)
        assert_type(await entered.publish(1, "x"), None)
        assert_type(await entered.publish(1, "x", stream="S", msg_id="a", timeout=1), PubAck)
        assert_type(entered.endpoint("sum", service="calc", version="1.0.0", workers=2), Subscriber)
        entered.subscriber("x", stream="S", durable="d", workers=2, batch=Batch(5), deliver_policy="new")
        entered.subscriber(kv_watch="bucket")
        entered.subscriber("a.{b}", kv_watch=KvWatch("bucket", updates_only=True), declare="never")
        assert_type(await entered.key_value("bucket", declare="update"), KeyValue)
        answer = await entered.request(1, "x")
        assert_type(answer, NatsMessage)
        assert_type(await answer.decode(int), int)
"""

BAD = """
from tidings.brokers.nats import NatsBroker

NatsBroker(graceful="x")
broker = NatsBroker()
broker.subscriber("x", queues="y")
broker.subscriber("x", queue=1)
broker.publisher()
broker.endpoint("sum")

@broker.subscriber("x")
async def handler(body: int) -> str:
    return ""

handler("text")
"""


def check(tool: list[str], code: str, folder: Path) -> subprocess.CompletedProcess[str]:
    (folder / "checked.py").write_text(code)
    command = [sys.executable, "-m", *tool, "checked.py"]
    return subprocess.run(command, cwd=folder, timeout=180, capture_output=True, text=True)


@pytest.mark.skipif(not find_spec("mypy"), reason="mypy is not installed")
def test_mypy_sees_what_is_right_and_what_is_wrong(tmp_path: Path) -> None:
    good = check(["mypy", "--strict"], GOOD, tmp_path)
    assert good.returncode == 0, good.stdout
    bad = check(["mypy", "--strict"], BAD, tmp_path)
    assert bad.stdout.count(": error:") == 7, bad.stdout
