"""Which jobs another server can go on with, so that the model is the same as without the loss. Pure: decided by the job's configuration.

The workflows below keep nothing from round to round but the global model, if their parts are known too. Every other class may keep a state
that panal cannot restore, and is named.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..files import shown

FEDAVG = ("nvflare.app_common.workflows.fedavg.FedAvg", "nvflare.app_opt.pt.fedavg.PTFedAvg")
SCATTER_AND_GATHER = "nvflare.app_common.workflows.scatter_and_gather.ScatterAndGather"
NOT_IN_FEDAVG = ("model", "aggregator", "stop_cond", "patience")  # with these arguments it keeps more, or loads its model otherwise
# By argument of ScatterAndGather: the component's default name, and the classes without a state.
PARTS = {
    "aggregator_id": (
        "aggregator",
        (
            "nvflare.app_common.aggregators.intime_accumulate_model_aggregator.InTimeAccumulateWeightedAggregator",
            "nvflare.app_common.aggregators.accumulate_model_aggregator.AccumulateWeightedAggregator",
        ),
    ),
    "shareable_generator_id": (
        "shareable_generator",
        ("nvflare.app_common.shareablegenerators.full_model_shareable_generator.FullModelShareableGenerator",),
    ),
}
# Modules whose components do not change the model: they select, show and write.
BESIDE = (
    "nvflare.app_common.widgets.", "nvflare.app_opt.tracking.", "nvflare.app_common.np.np_model_locator.",
    "nvflare.app_opt.pt.file_model_locator.",
)  # fmt: skip

Json = Mapping[str, Any]


def obstacle(config: Json) -> str:
    """Why a job with this configuration of the server cannot go on exactly after a loss of the server; empty if it can."""
    workflows, components = config["workflows"], {str(each.get("id")): each for each in config.get("components") or []}
    if len(workflows) > 1:
        return f"the job has {len(workflows)} workflows"
    for kind in ("task_data_filters", "task_result_filters"):
        if config.get(kind):
            return f"the server has {kind}"
    workflow = workflows[0]
    arguments = workflow.get("args") or {}
    used = _persistor(workflow, components)
    if _path(workflow) == SCATTER_AND_GATHER:
        why = _part_with_state(arguments, components)
        used += [str(arguments.get(name, default)) for name, (default, _) in PARTS.items()]
    elif _path(workflow) in FEDAVG:
        why = next((f"{_path(workflow)} has the argument {name}" for name in NOT_IN_FEDAVG if arguments.get(name) is not None), "")
    else:
        return _unknown("workflow", workflow)
    if not used or used[0] not in components:
        return why or f"{_path(workflow)} has no persistor"
    return why or next((_unknown("component", each) for name, each in components.items() if name not in used and not _beside(each)), "")


def first_round(config: Json) -> int:
    """FLARE's number of the first round of a job that can go on."""
    return int((config["workflows"][0].get("args") or {}).get("start_round") or 0)


def _persistor(workflow: Json, components: Mapping[str, Json]) -> list[str]:
    """The names of the persistor, whose model is replaced, and of the components that it uses."""
    default = "" if _path(workflow) == SCATTER_AND_GATHER else "persistor"
    name = str((workflow.get("args") or {}).get("persistor_id", default))
    found = components.get(name, {}).get("args") or {}
    return [name, *(each for each in found.values() if isinstance(each, str))]


def _part_with_state(arguments: Json, components: Mapping[str, Json]) -> str:
    for argument, (default, known) in PARTS.items():
        part = components.get(str(arguments.get(argument, default)), {})
        if _path(part) not in known:
            return _unknown(argument.removesuffix("_id"), part)
    return ""


def _unknown(kind: str, part: Json) -> str:
    return f"the state of the {kind} {shown(_path(part) or 'without a class', 200)} is not known"


def _beside(component: Json) -> bool:
    return _path(component).startswith(BESIDE) or any(_path(component) in known for _, known in PARTS.values())


def _path(part: Json) -> str:
    return str(part.get("path") or part.get("class_path") or part.get("name") or "")
