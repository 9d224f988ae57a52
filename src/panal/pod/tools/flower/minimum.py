"""Sets the minimum numbers of clients in a strategy to the run's quorum."""

from __future__ import annotations

from typing import Any

# Attributes of Flower's strategies; the second line is those of its older interface.
MINIMUMS = (
    "min_available_nodes", "min_train_nodes", "min_evaluate_nodes",
    "min_available_clients", "min_fit_clients", "min_evaluate_clients",
)  # fmt: skip


def set_minimums(strategy: Any, minimum: int) -> None:
    """Sets the minimums of a strategy and its nested strategies. A phase that is disabled (0) stays disabled."""
    for name in MINIMUMS:
        if isinstance(getattr(strategy, name, None), int) and getattr(strategy, name) > 0:
            setattr(strategy, name, minimum)
    inner = getattr(strategy, "strategy", None)
    if inner is not None:
        set_minimums(inner, minimum)
