"""How often something that failed is tried, and how long is waited in between."""

from dataclasses import dataclass
from random import uniform

from .durations import check_seconds

__all__ = ["IN_PLACE", "Retry"]

_MOST_DOUBLINGS = 64  # beyond any delay that makes sense, and within what a float holds


@dataclass(frozen=True, slots=True, kw_only=True)
class Retry:
    """Tries with a wait that doubles: 1 s, 2 s, 4 s, … for the defaults.

    Attributes:
        attempts: tries in all, the first one included; 1 is none after it.
        backoff: seconds before the second one.
        max_delay: seconds between two tries, at the most.
        jitter: share of the wait by which it is longer or shorter at random, so that those that failed
            together do not come back together.
        on: errors that are worth another try. A message that is not valid never is.
    """

    attempts: int = 5
    backoff: float = 1.0
    max_delay: float = 60.0
    jitter: float = 0.1
    on: type[BaseException] | tuple[type[BaseException], ...] = Exception

    def __post_init__(self) -> None:
        if type(self.attempts) is not int or self.attempts < 1:
            raise ValueError(f"attempts is a whole number, at least 1, not {self.attempts!r}")
        check_seconds(self.backoff, "backoff")
        check_seconds(self.max_delay, "max_delay")
        if not (isinstance(self.jitter, int | float) and 0 <= self.jitter <= 1):
            raise ValueError(f"jitter is a share, 0 to 1, not {self.jitter!r}")
        kinds: object = self.on
        for kind in kinds if isinstance(kinds, tuple) else (kinds,):
            if not (isinstance(kind, type) and issubclass(kind, BaseException)):
                raise ValueError(f"on is a type of exception, or a tuple of them, not {self.on!r}")

    def delay(self, attempt: int) -> float:
        """Seconds to wait after so many tries have failed."""
        doublings = min(max(attempt, 1) - 1, _MOST_DOUBLINGS)
        wait = min(self.backoff * 2.0**doublings, self.max_delay)
        return min(wait * (1 + uniform(-self.jitter, self.jitter)), self.max_delay)


IN_PLACE = Retry(attempts=3, backoff=0.1)
"""Where nothing else is said and nobody delivers again: short, since the messages behind it wait."""
