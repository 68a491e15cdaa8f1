"""How messages are gathered for a handler that takes many at once."""

from dataclasses import dataclass

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
        if self.size < 1:
            raise ValueError(f"size is at least 1, not {self.size!r}")
        if not self.timeout >= 0:
            raise ValueError(f"timeout is seconds, at least 0, not {self.timeout!r}")
