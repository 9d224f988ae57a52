"""Federated learning across Kubernetes clusters. The Python API: `panal.run` and `panal.FederatedLearning`, loaded when they are used."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from panal.sdk import FederatedLearning, Model, Problem, Progress, RunFailed, run

__all__ = ["FederatedLearning", "Model", "Problem", "Progress", "RunFailed", "run"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from panal import sdk

    return getattr(sdk, name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
