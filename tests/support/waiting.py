"""Waiting for what other processes bring about: a question asked again and again, and words for when it does not come about."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")
# Only what fails takes so long; a busy machine takes its time.
DEADLINE = float(os.environ.get("PANAL_TEST_DEADLINE", "300"))


def eventually(question: Callable[[], T | None], what: str | Callable[[], str], seconds: float = DEADLINE) -> T:
    """The first answer that is true; asks ten times a second. A `what` that is called shows the state in which the wait ended."""
    end = time.monotonic() + seconds
    while True:
        if answer := question():
            return answer
        assert time.monotonic() < end, f"not within {seconds:.0f} s: {what if isinstance(what, str) else what()}"
        time.sleep(0.1)
