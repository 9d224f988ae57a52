"""Federated learning frameworks as pure functions from a run's spec to containers and gateway rules (`base.Runtime`), one folder each.

Runtimes are found by entry points of the group `panal.runtimes`, so other distributions can add some. The name of an entry point is the
value of `spec.framework`; its object is a class without constructor arguments.
"""

from __future__ import annotations

from functools import lru_cache
from importlib.metadata import entry_points

from panal.api.spec import DEFAULT_FRAMEWORK
from panal.api.types import Spec
from panal.runtimes.base import AggregatorContainers, Announced, Container, GatewayRules, Partition, Runtime

__all__ = [
    "AggregatorContainers", "Announced", "Container", "GatewayRules", "Partition", "Runtime", "framework_of", "installed", "runtime_for"
]  # fmt: skip

GROUP = "panal.runtimes"


def framework_of(spec: Spec) -> str:
    """The framework whose runtime has the run. The former controller ran OpenFL for `other`, its default; with commands it is a program of
    the user's own."""
    return "openfl" if spec.framework == DEFAULT_FRAMEWORK and not (spec.server.command or spec.client.command) else spec.framework


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
