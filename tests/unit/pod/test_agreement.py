"""Values that exist twice, because the pod tools do not import the rest of panal, are the same."""

from __future__ import annotations

import pytest

from panal.api import names, text
from panal.lifecycle.reasons import Reason
from panal.pod.tools import files, pod_secret
from panal.pod.tools.codes import Doubt, Ending, Refused, Unanswered
from panal.pod.tools.flower import introduction
from panal.pod.tools.flower.codes import FlowerDoubt, FlowerEnding
from panal.pod.tools.flower.errors import CODES, USER_CODES
from panal.runtimes.flower import Flower
from panal.runtimes.flower.gateway import LARGEST_REQUEST


def test_every_ending_and_doubt_is_a_reason() -> None:
    assert {*Ending, *Doubt} <= set(Reason)
    assert {*FlowerEnding, *FlowerDoubt} <= Flower().remedies.keys()
    assert set(Flower().notices) == set(FlowerDoubt)


def test_errors_of_unreachable_nodes_differ_from_errors_of_their_code() -> None:
    of_flower = {name for code, name in CODES.items() if code not in USER_CODES} - {"Unknown"}
    assert of_flower | {Unanswered.NO_REPLY, Unanswered.LATE, Unanswered.NOT_CONNECTED} == set(Unanswered)
    assert not set(Unanswered) & set(Refused)


def test_the_pods_secret_is_in_the_same_header() -> None:
    assert pod_secret.HEADER == names.POD_HEADER


def test_the_gateway_and_the_introduction_have_the_same_limits() -> None:
    assert max(introduction.LARGEST.values()) == LARGEST_REQUEST


TEXTS = ["plain", "", "a\nb", "\x1b[2A", "\u202eabc", "tab\there", "back\\slash", "é", "x" * 30, "\n" * 30, "a" * 9 + "\x00b"]


@pytest.mark.parametrize("given", TEXTS)
def test_both_functions_escape_text_in_the_same_way(given: str) -> None:
    for most in (10, 20, 100):
        ours, theirs = text.shown(given, most), files.shown(given, most)
        assert ours.isprintable()
        assert theirs.isprintable()
        assert max(len(ours), len(theirs)) <= most
        if not ours.endswith("…"):
            assert ours == theirs
