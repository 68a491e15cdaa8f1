"""Subjects with named parts: "logs.{level}" listens to "logs.*" and knows the token of the level."""

import re
from dataclasses import dataclass

from .errors import SetupError

__all__ = ["SubjectPattern", "has_named_parts"]

_NAMED = re.compile(r"\{([^\W\d]\w*)\}")


def has_named_parts(address: str) -> bool:
    """Whether a token of it is one like {level}."""
    return "{" in address and any(map(_NAMED.fullmatch, address.split(".")))


@dataclass(frozen=True, slots=True)
class SubjectPattern:
    """A subject as it is written for a subscriber.

    Attributes:
        subject: as the server is to see it.
        names: the named parts, each with the place of its token.
    """

    subject: str
    names: tuple[tuple[str, int], ...]

    @classmethod
    def parse(cls, text: str) -> "SubjectPattern":
        """Read "logs.{level}". SetupError where a name is not a token of its own, or not unique."""
        tokens, names = text.split("."), dict[str, int]()
        for place, token in enumerate(tokens):
            found = _NAMED.fullmatch(token)
            if found is None:
                if "{" in token or "}" in token:
                    raise SetupError(
                        f"in subject {text!r} {token!r} is not a token like {{level}}: a named "
                        "part stands alone between two dots"
                    )
                continue
            if found[1] in names:
                raise SetupError(f"subject {text!r} names {found[1]!r} twice")
            names[found[1]] = place
            tokens[place] = "*"
        return cls(".".join(tokens), tuple(names.items()))

    def match(self, subject: str) -> dict[str, str]:
        """The named parts of a subject that was delivered for this pattern."""
        if not self.names:
            return {}
        tokens = subject.split(".")
        return {name: tokens[place] for name, place in self.names}
