"""Federated learning frameworks as pure functions from a run's spec to containers and gateway rules (`base.Runtime`), one folder each.

Runtimes are found by entry points of the group `panal.runtimes`, so other distributions can add some. The name of an entry point is the
value of `spec.framework`; its object is a class without constructor arguments.
"""

from __future__ import annotations

from functools import lru_cache
from importlib.metadata import entry_points

from panal.runtimes.base import AggregatorContainers, Announced, Container, GatewayRules, Partition, Runtime

__all__ = ["AggregatorContainers", "Announced", "Container", "GatewayRules", "Partition", "Runtime", "installed", "runtime_for"]

GROUP = "panal.runtimes"


@lru_cache(maxsize=64)  # names come from resources
def runtime_for(framework: str) -> Runtime | None:
    """The runtime of `framework`; None if it is not installed."""
    for point in entry_points(group=GROUP, name=framework):
        runtime: Runtime = point.load()()
        return runtime
    return None


def installed() -> tuple[str, ...]:
    """The values of `spec.framework` that have a runtime, in alphabetical order."""
    return tuple(sorted({point.name for point in entry_points(group=GROUP)}))
