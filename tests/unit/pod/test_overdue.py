"""When a server that reports too little ends the run."""

from __future__ import annotations

import pytest

from panal.pod.tools.overdue import Watch
from panal.pod.tools.records import Connected, Record, Round, Started

Step = tuple[float, list[Record]]


def watched(*steps: Step) -> str:
    """The reason with which the run ends at the time of the last step."""
    watch = Watch(began=0, min_clients=2, quorum_timeout=60, round_timeout=100)
    trouble = None
    for now, records in steps:
        watch.update(records, now)
        trouble = watch.trouble(now)
    return f"{trouble.reason}: {trouble.message}" if trouble else ""


TRAIN, END = Round(round=1, phase="train", replies=2), Round(round=1, phase="end")


@pytest.mark.parametrize(
    ("steps", "end"),
    [
        ([(60, [])], ""),
        ([(61, [])], "QuorumNotReached: The server reported no start within 60 s; it did not report how many collaborators were connected"),
        (
            [(1, [Connected(count=1)]), (61, [])],
            "QuorumNotReached: The server reported no start within 60 s; 1 collaborators were connected",
        ),
        ([(59, [Started(rounds=2)]), (119, [])], ""),
        ([(0, [Connected(count=1), Started(rounds=2)]), (60, [])], ""),
        (
            [(0, [Connected(count=1), Started(rounds=2)]), (61, [])],
            "QuorumLost: Fewer than 2 collaborators were connected for 60 s (1 now)",
        ),
        ([(0, [Connected(count=2), Started(rounds=2)]), (50, [Connected(count=1)]), (109, []), (109, [Connected(count=2)]), (160, [])], ""),
        ([(0, [Started(rounds=2)]), (161, [])], "ServerAppFailed: The server reported no round for 161 s"),
        ([(0, [Started(rounds=2)]), (150, [TRAIN]), (160, [END]), (320, [])], ""),
        (
            [(0, [Started(rounds=2)]), *((each, [Connected(count=2 + each % 2)]) for each in range(1, 162))],
            "ServerAppFailed: The server reported no round for 161 s",
        ),
    ],
)
def test_every_wait_has_an_end(steps: list[Step], end: str) -> None:
    found = watched(*steps)
    assert found.startswith(end)
    assert bool(found) == bool(end)


def test_the_last_round_that_is_complete_is_known() -> None:
    watch = Watch(began=0, min_clients=1, quorum_timeout=1, round_timeout=1)
    watch.update([Started(rounds=2), TRAIN, END, Round(round=2, phase="train", replies=1)], 0)
    assert watch.last_round == END
