from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from panal.pod.tools.flower.client_state import KEPT, Mark, States


def train(states: States, attempt: str, round_: int, resumed: int = 0) -> bytes:
    """One message: the client's state is the list of the rounds in which it has trained. Returns the state before it."""
    mark = Mark(attempt, round_, resumed)
    before = states.before(mark)
    state = before if before is not None else b""
    states.after(mark, state + b"%d " % round_)
    return state


def test_a_client_goes_on_with_its_last_state(tmp_path: Path) -> None:
    states = States(tmp_path)
    for round_ in (1, 2, 3):
        train(states, "a", round_)
    assert train(States(tmp_path), "a", 4) == b"1 2 3 "  # in a new process


def test_an_attempt_that_goes_on_after_a_round_gets_the_state_of_that_round(tmp_path: Path) -> None:
    states = States(tmp_path)
    for round_ in (1, 2, 3):
        train(states, "a", round_)
    assert train(states, "b", 3, resumed=2) == b"1 2 "
    assert train(states, "b", 4, resumed=2) == b"1 2 3 "
    assert train(states, "c", 4, resumed=3) == b"1 2 3 "


def test_a_repeated_message_goes_on_in_the_same_round(tmp_path: Path) -> None:
    states = States(tmp_path)
    train(states, "a", 1)
    train(states, "a", 2)
    assert train(states, "a", 2) == b"1 2 "
    assert train(states, "b", 3, resumed=2) == b"1 2 2 "


def test_an_attempt_that_begins_with_the_first_round_gets_no_state(tmp_path: Path) -> None:
    states = States(tmp_path)
    for round_ in (1, 2):
        train(states, "a", round_)
    assert states.before(Mark("b", 1, 0)) == b""
    assert train(states, "b", 1) == b""


def test_few_states_are_kept_and_only_for_a_client_that_has_one(tmp_path: Path) -> None:
    states = States(tmp_path)
    for round_ in range(1, 9):
        states.after(Mark("a", round_, 0), b"")
    assert list(tmp_path.iterdir()) == []
    for round_ in range(1, 9):
        train(states, "a", round_)
    files = sorted(each.name for each in tmp_path.glob("round-*"))
    assert files == [f"round-{n}" for n in range(9 - KEPT, 9)]
    assert stat.S_IMODE(os.stat(tmp_path / files[0]).st_mode) == 0o600
    states.after(Mark("a", 9, 0), b"")
    assert states.before(Mark("a", 9, 0)) == b""


def test_a_digest_is_of_this_site_alone(tmp_path: Path) -> None:
    one, other = States(tmp_path / "one"), States(tmp_path / "other")
    assert one.digest(b"x") == States(tmp_path / "one").digest(b"x")
    assert one.digest(b"x") != other.digest(b"x")
    assert (one.digest(b""), len(one.digest(b"x"))) == ("", 64)


@pytest.mark.parametrize(
    "record",
    [
        {},
        {"attempt": "", "round": 1, "resumed": 0},
        {"attempt": "a", "round": "1", "resumed": 0},
        {"attempt": "a", "round": -1, "resumed": 0},
    ],
)
def test_a_mark_is_checked(record: dict[str, object]) -> None:
    assert Mark.of(record) is None
    assert Mark.of({"attempt": "a", "round": 2, "resumed": 1}) == Mark("a", 2, 1)
