"""Values that are kept twice, since the programs in users' images import nothing of panal's: both are the same."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from panal.api import names, text
from panal.lifecycle.diagnosis import REFUSED, UNANSWERED
from panal.pod import fold, tools
from panal.pod.tools import files, flower_bindings, flower_introduction, flower_secret
from panal.pod.tools.flower_errors import CODES, USER_CODES
from panal.pod.tools.flower_replies import Answer
from panal.runtimes import flower

TOOLS = Path(tools.__file__).parent
GUARDS = [ast.parse(file.read_text()) for file in sorted(TOOLS.glob("flower_*.py"))]
CODE = re.compile(r"([A-Z][a-z]+){2,}")


def _calls(name: str) -> Iterator[ast.Call]:
    """Calls of the function or method `name` in the programs of Flower's Pods."""
    for node in (node for module in GUARDS for node in ast.walk(module)):
        if isinstance(node, ast.Call) and name == getattr(node.func, "id", getattr(node.func, "attr", None)):
            yield node


def _texts(nodes: list[ast.expr]) -> set[str]:
    return {n.value for n in nodes if isinstance(n, ast.Constant) and isinstance(n.value, str) and CODE.fullmatch(n.value)}


def _judged() -> set[str]:
    """The codes that the judge's verdicts begin with."""
    module = ast.parse((TOOLS / "flower_judge.py").read_text())
    return {code for node in ast.walk(module) if isinstance(node, ast.Tuple) for code in _texts(node.elts)}


def test_a_reply_that_does_not_count_is_known_by_every_code_that_the_guards_write() -> None:
    raised = {code for call in _calls("BadReplyError") for code in _texts(call.args[:1])}
    assert raised
    assert _judged() | raised == REFUSED


def test_a_cluster_that_did_not_answer_is_known_by_every_code_that_says_so() -> None:
    of_flower = {name for code, name in CODES.items() if code not in USER_CODES} - {"Unknown"}
    assert of_flower | {Answer().reason} == UNANSWERED
    assert not UNANSWERED & REFUSED


def test_a_cluster_has_the_same_names_for_the_hook_and_the_reporter() -> None:
    assert fold._CLUSTER.pattern == flower_bindings._CLUSTER.pattern


def test_the_pods_secret_is_in_the_same_header() -> None:
    assert flower_secret.HEADER == names.POD_HEADER


def test_the_gateway_lets_pass_what_the_introduction_takes() -> None:
    assert max(flower_introduction.LARGEST.values()) == flower._LARGEST_REQUEST


TEXTS = ["plain", "", "a\nb", "\x1b[2A", "\u202eabc", "tab\there", "back\\slash", "é", "x" * 30, "\n" * 30, "a" * 9 + "\x00b"]


@pytest.mark.parametrize("given", TEXTS)
def test_text_is_shown_in_the_same_way(given: str) -> None:
    for most in (10, 20, 100):
        ours, theirs = text.shown(given, most), files.shown(given, most)
        assert ours.isprintable()
        assert theirs.isprintable()
        assert max(len(ours), len(theirs)) <= most
        if not ours.endswith("…"):
            assert ours == theirs
