"""How messages are gathered for a handler that takes many at once."""

from dataclasses import dataclass

from .durations import check_seconds

__all__ = ["Batch"]


@dataclass(frozen=True, slots=True)
class Batch:
    """Many messages for one call of a handler, whose payload parameter is a list.

    Attributes:
        size: messages, at the most.
        timeout: seconds to wait for more once there is one.
    """

    size: int = 100
    timeout: float = 0.5

    def __post_init__(self) -> None:
        if type(self.size) is not int or self.size < 1:
            raise ValueError(f"size is a whole number, at least 1, not {self.size!r}")
        check_seconds(self.timeout, "timeout")
