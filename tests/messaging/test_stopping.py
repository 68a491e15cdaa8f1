"""The order in which subscribers stop."""

import pytest

from tidings.messaging.stopping import upstream_first


class Stage:
    def __init__(self, name: str, feeds: str) -> None:
        self.name, self._feeds = name, feeds

    def feeds(self, other: "Stage", /) -> bool:
        return other.name in self._feeds


@pytest.mark.parametrize(
    ("arrows", "order"),
    [
        ("", ""),
        ("a: b: c:", "abc"),
        ("a:b b:c c:", "abc"),
        ("c: b:c a:b", "abc"),
        ("d: b:d c:d a:bc", "abcd"),
        ("a:a b:", "ab"),  # a handler that feeds itself
        ("a:b b:a c:", "cab"),  # a circle: by declaration, after what stands outside of it
        ("b:a a:b", "ba"),
    ],
)
def test_who_feeds_another_stops_before_it(arrows: str, order: str) -> None:
    stages = [Stage(*arrow.split(":")) for arrow in arrows.split()]
    assert "".join(stage.name for stage in upstream_first(stages)) == order
