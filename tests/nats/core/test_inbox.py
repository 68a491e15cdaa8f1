from __future__ import annotations

import pytest

from tidings.nats import BadSubjectError
from tidings.nats.core.inbox import check_prefix, new_inbox


def test_it_is_below_its_prefix_and_like_no_other() -> None:
    inboxes = {new_inbox("my.own") for _ in range(1000)}
    assert len(inboxes) == 1000
    for inbox in inboxes:
        prefix, _, token = inbox.rpartition(".")
        assert prefix == "my.own"
        assert int(token, 16).bit_length() <= 88
        assert len(token) == 22


@pytest.mark.parametrize("prefix", ["_INBOX", "a", "a.b.c", "\u00e9"])
def test_a_prefix_is_a_literal_subject(prefix: str) -> None:
    check_prefix(prefix)


@pytest.mark.parametrize("prefix", ["", "*", "a.>", "a b", "a.", ".a", "a..b", None, 5])
def test_what_is_no_prefix(prefix: str) -> None:
    with pytest.raises(BadSubjectError, match="inbox_prefix"):
        check_prefix(prefix)
