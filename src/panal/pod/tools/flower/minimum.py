"""The run's minimum of collaborators in the place of a strategy's own."""

from __future__ import annotations

from typing import Any

# Of Flower's strategies, and of those of its older interface.
MINIMUMS = (
    "min_available_nodes", "min_train_nodes", "min_evaluate_nodes",
    "min_available_clients", "min_fit_clients", "min_evaluate_clients",
)  # fmt: skip


def set_minimums(strategy: Any, minimum: int) -> None:
    """A phase that the strategy switched off (0) stays off."""
    for name in MINIMUMS:
        if isinstance(getattr(strategy, name, None), int) and getattr(strategy, name) > 0:
            setattr(strategy, name, minimum)
    inner = getattr(strategy, "strategy", None)
    if inner is not None:
        set_minimums(inner, minimum)
