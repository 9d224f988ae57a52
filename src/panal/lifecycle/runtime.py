"""The runtime of a run."""

from __future__ import annotations

from panal.lifecycle.world import World
from panal.runtimes import Runtime, runtime_for


def runtime_of(world: World) -> Runtime:
    runtime = runtime_for(world.run.spec.framework)
    assert runtime, "support.unsupported ends such a run"
    return runtime
