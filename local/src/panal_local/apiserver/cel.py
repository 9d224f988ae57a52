"""Rules of CRDs (x-kubernetes-validations).

A rule sees the value at its level as `self`, and on updates the previous one as `oldSelf`.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from panal_local.cel import CelError, compiled, evaluated

__all__ = ["ABSENT", "CelError", "holds", "program"]

ABSENT: Any = object()


@cache
def program(rule: str, optional_old: bool = False) -> Any:
    """Raises CelError if the rule does not compile."""
    text = f"cel.bind(oldSelf, __old == null ? optional.none() : optional.of(__old), {rule}\n)" if optional_old else rule
    return compiled(text, "self", "oldSelf", "__old")


def holds(rule: str, value: Any, old: Any = ABSENT, optional_old: bool = False) -> bool:
    """Raises CelError if the rule cannot be evaluated on these values."""
    previous = None if old is ABSENT else old
    return evaluated(program(rule, optional_old), self=value, oldSelf=previous, __old=previous) is True
