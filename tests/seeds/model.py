"""What the talk's handlers use without showing it: a model that predicts, and a way to see what goes out."""

import asyncio
import sys

from pydantic import BaseModel

from tidings.brokers.nats import NatsBroker, NatsMessage

__all__ = ["LIMIT", "TIDINGS", "InputData", "Prediction", "model", "seen_on"]

LIMIT = 20.0  # seconds
TIDINGS = [sys.executable, "-c", "from tidings.cli import main; main()"]


class InputData(BaseModel):
    username: str
    user_id: int


class Prediction(BaseModel):
    result: float


class Model:
    def predict(self, data: InputData) -> Prediction:
        return Prediction(result=data.user_id / 2)


model = Model()


async def seen_on(subject: str, broker: NatsBroker) -> "asyncio.Queue[NatsMessage]":
    """What is published to a subject from now on."""
    queue: asyncio.Queue[NatsMessage] = asyncio.Queue()
    subscriber = broker.subscriber(subject)

    @subscriber
    async def keep(message: NatsMessage) -> None:
        await queue.put(message)

    await subscriber.start()
    return queue
