"""FL frameworks as pure functions from a run's spec to containers and gateway rules.

`runtime_for` finds a framework's runtime among the entry points of the group `panal.runtimes`, so others can ship theirs: an entry
point is named as `spec.framework` and leads to a class that is made without arguments.
"""

from __future__ import annotations

from functools import cache
from importlib.metadata import entry_points

from panal.api.types import Framework
from panal.runtimes.base import AggregatorContainers, Announced, Container, Partition, Runtime

__all__ = ["AggregatorContainers", "Announced", "Container", "Partition", "Runtime", "runtime_for"]


@cache
def runtime_for(framework: Framework) -> Runtime | None:
    """The runtime of `framework`; None if none is installed."""
    for point in entry_points(group="panal.runtimes", name=framework.value):
        runtime: Runtime = point.load()()
        return runtime
    return None
