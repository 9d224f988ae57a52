"""Which tasks collaborators have: all of them those of one task group, in every round.

It takes the place of OpenFL's assigner, which fixes the collaborators and the number of rounds before the first one starts.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any

from ..codes import Ending
from ..files import RunError


def tasks_of(assigner: Mapping[str, Any], known: Collection[str]) -> list[str]:
    """The tasks of the only group with a share, from the plan's section `assigner`. `known` are the tasks that the plan declares. Raises
    RunError."""
    groups = (assigner.get("settings") or {}).get("task_groups") or []
    shared = [group for group in groups if group.get("percentage", 1.0) > 0]
    if len(shared) != 1:
        message = f"plan/plan.yaml has {len(shared)} task groups with a share in assigner.settings.task_groups, and panal needs exactly one"
        raise RunError(Ending.APP_INVALID, message)
    tasks = list(shared[0].get("tasks") or [])
    unknown = [task for task in tasks if task not in known]
    if unknown or not tasks:
        what = f"does not declare the task {unknown[0]}" if unknown else "has a task group without tasks"
        raise RunError(Ending.APP_INVALID, f"plan/plan.yaml {what}")
    return tasks


class Assignment:
    """The interface of OpenFL's assigner. `declared` are the plan's tasks with their aggregation functions; `clusters` returns the current
    collaborators."""

    def __init__(self, tasks: list[str], declared: Mapping[str, Any], clusters: Callable[[], Collection[str]]) -> None:
        self.all_tasks_in_groups = tasks
        self.tasks = declared
        self._clusters = clusters

    def is_task_group_evaluation(self) -> bool:
        return False

    def get_tasks_for_collaborator(self, collaborator_name: str, round_number: int) -> list[str]:
        return self.all_tasks_in_groups

    def get_collaborators_for_task(self, task_name: str, round_number: int) -> list[str]:
        return sorted(self._clusters())

    def get_all_tasks_for_round(self, round_number: int) -> list[str]:
        return self.all_tasks_in_groups

    def get_aggregation_type_for_task(self, task_name: str) -> Any:
        return self.tasks[task_name]["aggregation_type"]


class EndingPolicy:
    """The interface of OpenFL's straggler policy. A round ends only by `end_round`, which the main thread calls: then an exception of the
    aggregation ends the run, and does not fail the request of whichever collaborator replied last."""

    straggler_cutoff_time = 0  # OpenFL logs it

    def __init__(self) -> None:
        self._end: Callable[[], None] | None = None
        self._ending = False

    def start_policy(self, callback: Callable[[], None]) -> None:
        self._end = callback

    def reset_policy_for_round(self) -> None:
        self._ending = False

    def straggler_cutoff_check(self, num_collaborators_done: int, num_all_collaborators: int) -> bool:
        return self._ending

    def end_round(self) -> None:
        """Makes OpenFL aggregate what it has. Call it only after a collaborator has got its tasks."""
        assert self._end is not None
        self._ending = True
        self._end()
