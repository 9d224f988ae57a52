"""The runtime of a run."""

from __future__ import annotations

from panal.lifecycle.world import Run, World
from panal.runtimes import Runtime, framework_of, runtime_for


def runtime_of(world: World) -> Runtime:
    return runtime_of_run(world.run)


def runtime_of_run(run: Run) -> Runtime:
    runtime = runtime_for(framework_of(run.spec))
    assert runtime, "support.unsupported ends such a run"
    return runtime
