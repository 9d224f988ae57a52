"""Text of others as it is shown: what becomes of each kind of character, and what holds for any text."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from panal.api.text import block, by_name, name, shown

# Any text at all: lone surrogates as JSON may hold them, and often the characters that do harm.
HARMFUL = "\0\a\b\t\n\r\x1b\x7f\x85\x9b\xa0\u061c\u200b\u200d\u2028\u202e\u2066\ufeff\ufe0f\u3164\ud800\udfff\U000e0041\\…~é字"
TEXTS = st.text(st.one_of(st.characters(exclude_categories=()), st.sampled_from(HARMFUL)))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("accuracy 0.94", "accuracy 0.94"),
        ("genauigkeit, précision, 精度, دقة", "genauigkeit, précision, 精度, دقة"),
        (r"C:\new\table", r"C:\new\table"),
        ("one\ntwo\r\nthree", r"one\ntwo\r\nthree"),
        ("a\tb", r"a\tb"),
        ("\0", r"\x00"),
        ("\x1b[2J\x1b]0;title\a", r"\x1b[2J\x1b]0;title\x07"),
        ("\x7f\x9b31m\x85", r"\x7f\x9b31m\x85"),
        ("gpj.\u202etxt\u202c", r"gpj.\u202etxt\u202c"),
        ("\u2066a\u2069 \u200f", r"\u2066a\u2069 \u200f"),
        ("zero\u200bwidth\ufeff", r"zero\u200bwidth\ufeff"),
        ("a\u2028b\u2029c", r"a\u2028b\u2029c"),
        ("\ud800 \udfff", r"\ud800 \udfff"),
        ("\U000e0041", r"\U000e0041"),
        ("blank\u3164 \u2800 \ufe0f \U000e0100", r"blank\u3164 \u2800 \ufe0f \U000e0100"),
        ("\ue000 \u0378", r"\ue000 \u0378"),
    ],
)
def test_what_does_not_print_is_written_as_its_escape(text: str, expected: str) -> None:
    assert shown(text) == expected


@pytest.mark.parametrize(
    ("text", "most", "expected"),
    [
        ("12345", 5, "12345"),
        ("123456", 5, "1234…"),
        ("123\n", 5, r"123\n"),
        ("1234\n", 5, "1234…"),
        ("123\x1b5", 6, "123…"),  # an escape is never cut in two
        ("\n" * 10**7, 10, r"\n\n\n\n" + "…"),
    ],
)
def test_what_is_too_long_is_cut(text: str, most: int, expected: str) -> None:
    assert shown(text, most) == expected


@given(TEXTS, st.integers(min_value=1, max_value=60))
def test_any_text_is_shown_on_one_line_of_bounded_length(text: str, most: int) -> None:
    found = shown(text, most)
    assert len(found) <= most
    assert not [c for c in found if unicodedata.category(c) in ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp")]
    assert found.encode().decode() == found
    assert shown(found, most) == found
    assert name(name(text, 64), 64) == name(text, 64)


@given(TEXTS)
def test_several_lines_stay_lines_and_nothing_else_moves_the_cursor(text: str) -> None:
    found = block(text)
    assert not [c for c in found if c not in "\n\t" and not c.isprintable()]
    assert block(found) == found


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("one\n  two\tthree\n", "one\n  two\tthree\n"),
        ("10%\r20%\r\r\n", "10%\n20%\n"),
        ("a\r\nb", "a\nb"),
        ("\x1b[31mred\x1b[0m\nnext", "\\x1b[31mred\\x1b[0m\nnext"),
    ],
)
def test_lines_of_a_block(text: str, expected: str) -> None:
    assert block(text) == expected


def test_each_line_of_a_block_is_cut_for_itself() -> None:
    assert block("12345678\nabc", 5) == "1234…\nabc"


@given(TEXTS, TEXTS)
def test_two_names_never_look_the_same(one: str, other: str) -> None:
    if one != other:
        assert by_name({one: 1, other: 2}, 20).keys() in ({name(one, 20), name(other, 20)}, set())


@pytest.mark.parametrize(
    "names",
    [
        ("x" * 70 + "train", "x" * 70 + "evaluate"),  # cut
        ("loss\n", r"loss\n"),  # escaped
        ("loss\u200b", "loss"),
    ],
)
def test_two_names_that_would_look_the_same_keep_their_own_values(names: tuple[str, str]) -> None:
    found = by_name(dict(zip(names, (1.0, 2.0), strict=True)), 64)
    assert sorted(found.values()) == [1.0, 2.0]
    assert all(len(each) <= 64 for each in found)
    assert found == by_name({names[0]: 1.0}, 64) | by_name({names[1]: 2.0}, 64), "each is named so whatever stands beside it"


def test_a_name_that_poses_as_another_takes_both_away() -> None:
    posing = name("loss\n", 64)
    assert by_name({"loss\n": 1.0, posing: 2.0, "accuracy": 3.0}, 64) == {"accuracy": 3.0}
