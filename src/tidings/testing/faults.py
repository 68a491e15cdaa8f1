"""Faults that networks and brokers bring to the streams of handlers, at random and to be had again."""

import random
from dataclasses import dataclass, field

__all__ = ["Faults"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Faults:
    """What may happen to a message on its way to a handler, each a probability from 0 to 1::

        TestNatsBroker(broker, faults=Faults(duplicate=0.2, reorder=0.2, seed=7))

    The same seed brings the same faults to the same messages; a test that fails with faults tells its seed.

    Attributes:
        duplicate: it is delivered twice.
        redeliver: it is delivered again though it was handled, as when an acknowledgement is lost.
        reorder: it overtakes some that wait.
        delay: it comes late.
        drop: it does not come.
        most_delay: seconds that one comes late, at the most.
        seed: of the random numbers; by default another one for each run.
    """

    duplicate: float = 0.0
    redeliver: float = 0.0
    reorder: float = 0.0
    delay: float = 0.0
    drop: float = 0.0
    most_delay: float = 0.01
    seed: int = field(default_factory=lambda: random.SystemRandom().randrange(2**32))

    def __post_init__(self) -> None:
        for name in ("duplicate", "redeliver", "reorder", "delay", "drop"):
            value = getattr(self, name)
            if not (isinstance(value, int | float) and 0 <= value <= 1):
                raise ValueError(f"{name} is a probability, 0 to 1, not {value!r}")
        if not (isinstance(self.most_delay, int | float) and 0 <= self.most_delay < float("inf")):
            raise ValueError(f"most_delay is seconds, at least 0, not {self.most_delay!r}")
