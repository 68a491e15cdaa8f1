"""Subjects: tables, and a model of a dozen lines that every text is held against."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tidings.nats.errors import BadSubjectError
from tidings.nats.wire.subjects import check_pattern, check_queue, subject_matches

deterministic = settings(derandomize=True, deadline=None, max_examples=100)

# What breaks lines, what means something, what only looks like white space, and lone surrogates:
# U+DC80 stands for a byte that is no UTF-8, U+D800 for nothing that has bytes.
RISKY = ".*> \t\r\n\x00\x0b\x0c\x1f\x7f\x85\xa0\u2028aZé\N{SNOWMAN}\N{GRINNING FACE}\udc80\ud800"
texts = st.text(st.sampled_from(RISKY), max_size=8) | st.text(max_size=12)
tokens = st.sampled_from(["a", "b", "*", ">", "a*", ">>", "é"])
subjects = st.lists(tokens, min_size=1, max_size=5).map(".".join)

LITERAL = [
    "a",
    "a.b.c",
    "$JS.API.INFO",
    "_INBOX.x.1",
    "a*",
    "a>",
    "*a.b",
    "a.*b",
    "a.>>",
    "é.ü",
    "a\xa0b",
    "-",
    "\udcff",
]
PATTERNS = ["*", ">", "*.*", "a.*.b", "a.>", "*.>"]
BROKEN = [
    "",
    ".",
    "a.",
    ".a",
    "a..b",
    "a b",
    " a",
    "a ",
    "a\tb",
    "a\r\nb",
    "a\x00",
    "a\x0bb",
    "\x7f",
    "a\ud800",
]


def tokens_are_sound(subject: str) -> bool:
    return all(token and all(fits(char) for char in token) for token in subject.split("."))


def fits(char: str) -> bool:
    return char > " " and char != "\x7f" and not ("\ud800" <= char < "\udc80" or "\udd00" <= char <= "\udfff")


def model_matches(pattern: list[str], subject: list[str]) -> bool:
    if pattern == [">"]:
        return len(subject) > 0
    if not pattern or not subject:
        return pattern == subject
    return pattern[0] in ("*", subject[0]) and model_matches(pattern[1:], subject[1:])


def accepts(check, *args) -> bool:
    try:
        assert check(*args) is None
    except BadSubjectError:
        return False
    return True


@pytest.mark.parametrize("subject", LITERAL)
def test_a_literal_subject_can_be_published_and_subscribed_to(twin, subject):
    twin.check_subject(subject)
    check_pattern(subject)


@pytest.mark.parametrize("subject", PATTERNS)
def test_a_pattern_can_be_subscribed_but_not_published_to(twin, subject):
    check_pattern(subject)
    with pytest.raises(BadSubjectError, match="has a wildcard"):
        twin.check_subject(subject)


@pytest.mark.parametrize("subject", BROKEN)
def test_a_broken_subject_is_refused(twin, subject):
    with pytest.raises(BadSubjectError):
        twin.check_subject(subject)
    with pytest.raises(BadSubjectError):
        check_pattern(subject)


@pytest.mark.parametrize("subject", [">.a", "a.>.b", ">.>"])
def test_the_wildcard_for_the_rest_stands_last_or_not_at_all(twin, subject):
    """nats-server answers both with -ERR (Invalid Publish Subject, Invalid Subject)."""
    with pytest.raises(BadSubjectError, match="can only be the last token"):
        check_pattern(subject)
    with pytest.raises(BadSubjectError, match="has a wildcard"):
        twin.check_subject(subject)


@pytest.mark.parametrize(
    ("subject", "reason"),
    [
        ("", "the reply subject is empty"),
        ("a..b", "reply subject 'a..b' has an empty token"),
        ("a b", "reply subject 'a b' has white space"),
        ("a.*", r"reply subject 'a.\*' has a wildcard"),
        ("a\ud800", r"reply subject 'a\\ud800' has .* lone surrogate"),
    ],
)
def test_the_error_names_what_was_wrong(twin, subject, reason):
    with pytest.raises(BadSubjectError, match=reason):
        twin.check_subject(subject, "reply subject")


@pytest.mark.parametrize("subject", [None, b"a", 1, ["a"]])
def test_a_subject_is_text(twin, subject):
    with pytest.raises(TypeError, match=f"the subject must be a str, not {type(subject).__name__}"):
        twin.check_subject(subject)
    with pytest.raises(TypeError, match="the subject must be a str"):
        check_pattern(subject)
    with pytest.raises(TypeError, match="the queue group must be a str"):
        check_queue(subject)


@pytest.mark.parametrize("queue", ["q", "a.b", "*", "..", "é", "\udc80"])
def test_a_queue_group_is_one_word(queue):
    check_queue(queue)


@pytest.mark.parametrize("queue", ["", "a b", "a\t", "\r\n", "\x00", "\x7f", "\ud800"])
def test_a_queue_group_that_would_break_the_line_is_refused(queue):
    with pytest.raises(BadSubjectError):
        check_queue(queue)


@given(text=texts | subjects)
@deterministic
def test_check_subject_agrees_with_the_model(twin, text):
    literal = tokens_are_sound(text) and not {"*", ">"} & set(text.split("."))
    assert accepts(twin.check_subject, text) == literal


@given(text=texts | subjects)
@deterministic
def test_check_pattern_agrees_with_the_model(text):
    sound = tokens_are_sound(text) and ">" not in text.split(".")[:-1]
    assert accepts(check_pattern, text) == sound


@given(text=texts)
@deterministic
def test_check_queue_agrees_with_the_model(text):
    assert accepts(check_queue, text) == (text != "" and all(fits(char) for char in text))


@given(text=texts | subjects)
@deterministic
def test_what_is_accepted_can_stand_in_a_line(twin, text):
    if accepts(twin.check_subject, text):
        data = text.encode("utf-8", "surrogateescape")
        assert data.split() == [data]


@pytest.mark.parametrize(
    ("pattern", "subject", "matches"),
    [
        ("a", "a", True),
        ("a", "b", False),
        ("a", "a.b", False),
        ("a.b", "a", False),
        ("*", "a", True),
        ("*", "a.b", False),
        ("*.b", "a.b", True),
        ("a.*.c", "a.b.c", True),
        ("a.*.c", "a.b.d", False),
        (">", "a", True),
        (">", "a.b.c", True),
        ("a.>", "a", False),
        ("a.>", "a.b", True),
        ("a.>", "b.b", False),
        ("*.>", "a.b.c", True),
        ("a*", "ab", False),
        ("A", "a", False),
    ],
)
def test_subject_matches(pattern, subject, matches):
    assert subject_matches(pattern, subject) is matches


@given(pattern=subjects, subject=subjects)
@deterministic
def test_subject_matches_agrees_with_the_model(pattern, subject):
    if accepts(check_pattern, pattern) and accepts(check_pattern, subject):
        assert subject_matches(pattern, subject) == model_matches(pattern.split("."), subject.split("."))
