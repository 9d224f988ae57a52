"""The reference page says what the docstrings and signatures say."""

from __future__ import annotations

import inspect
from pathlib import Path

from panal import FederatedLearning, run
from panal.sdk.reference import renewed

PAGE = Path(__file__).parents[3] / "docs/reference/python.md"


def test_the_page_is_that_of_the_code() -> None:
    page = PAGE.read_text()
    assert page == renewed(page), f"run: python -m panal.sdk.reference {PAGE.name}"


def test_what_a_run_may_be_given_is_the_same_in_one_call() -> None:
    """`panal.run` has the parameters of `from_app`, and how long it waits."""
    both = [list(inspect.signature(each).parameters.values()) for each in (FederatedLearning.from_app, run)]
    assert both[1][:-1] == both[0]
    assert both[1][-1].name == "timeout"
