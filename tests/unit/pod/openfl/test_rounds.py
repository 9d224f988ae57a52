"""When a round of OpenFL ends, and with which reason a run ends in it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from panal.pod.tools.files import RunError
from panal.pod.tools.openfl.rounds import SETTLE, Limits, View, is_over

LIMITS = Limits(min_clients=2, quorum_timeout=60, round_timeout=600)


def view(connected: str = "abc", done: str = "", *, enough_after: float | None = None, **other: object) -> View:
    if enough_after is None and len(done) >= LIMITS.min_clients:
        enough_after = 10.0
    return View(3, frozenset(connected), frozenset(done), enough_after=enough_after, **other)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("now", "over"),
    [
        (view(), False),
        (view(done="a"), False),
        (view(done="ab", seconds=11), False),  # c may still reply
        (view(done="abc"), True),
        (view(done="ab", failed={"c": "ValueError"}), True),
        (view("ab", "ab"), True),  # c is not connected
        (view("a", "ab"), True),  # b has replied, and is gone
        (view(done="ab", seconds=10 + SETTLE), True),
        (view(done="ab", enough_after=100, seconds=199), False),  # slow rounds wait longer for the others
        (view(done="ab", enough_after=100, seconds=200), True),
        (view(done="ab", enough_after=590, seconds=600), True),
        (view("a", "a", short_for=59), False),  # b may come back
        (view("", "", short_for=59), False),
        (view("ab", "a", seconds=599), False),
        (view("a", "", failed={"a": "ValueError"}), False),  # fewer than the minimum are here: others may come
    ],
)
def test_a_round_is_over_when_nothing_more_is_to_be_expected(now: View, over: bool) -> None:
    assert is_over(now, LIMITS) is over


@pytest.mark.parametrize(("seconds", "over"), [(14, False), (15, True)])
def test_a_round_waits_for_the_others_as_long_as_the_resource_says(seconds: float, over: bool) -> None:
    assert is_over(view(done="ab", seconds=seconds), replace(LIMITS, straggler_grace=5.0)) is over


@pytest.mark.parametrize(
    ("now", "reason", "message"),
    [
        (view("a", "a", short_for=60), "QuorumLost", "Fewer than 2 collaborators were connected for 60 s (1 now)"),
        (view("ab", "a", seconds=600), "QuorumLost", "Round 3: 1 of 2 collaborators replied, 2 needed (b: NoReply)"),
        (
            view("ab", "a", failed={"b": "ValueError"}),
            "QuorumLost",
            "Round 3: 1 of 2 collaborators replied, 2 needed (b: ValueError)",
        ),
        (
            view("ab", failed={"b": "ValueError", "a": "NotFinite"}),
            "AllCollaboratorsFailed",
            "Round 3: 0 of 2 collaborators replied, 2 needed (a: NotFinite, b: ValueError)",
        ),
        (
            view("abcdef", failed=dict.fromkeys("abcdef", "OSError")),
            "AllCollaboratorsFailed",
            "Round 3: 0 of 6 collaborators replied, 2 needed (a: OSError, b: OSError, c: OSError, and 3 more)",
        ),
    ],
)
def test_a_round_that_cannot_be_completed_ends_the_run(now: View, reason: str, message: str) -> None:
    with pytest.raises(RunError) as end:
        is_over(now, LIMITS)
    assert (str(end.value.reason), end.value.message) == (reason, message)
