"""Which jobs another server can go on with, and how such a job begins after a round."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from panal.pod.tools.flare.job import adapted_config, prepare
from panal.pod.tools.flare.resumable import obstacle

WORKFLOWS, AGGREGATORS = "nvflare.app_common.workflows", "nvflare.app_common.aggregators"
FEDAVG = f"{WORKFLOWS}.fedavg.FedAvg"
GATHER = f"{WORKFLOWS}.scatter_and_gather.ScatterAndGather"
IN_TIME = f"{AGGREGATORS}.intime_accumulate_model_aggregator.InTimeAccumulateWeightedAggregator"
FULL_MODEL = "nvflare.app_common.shareablegenerators.full_model_shareable_generator.FullModelShareableGenerator"
SELECTOR = {"id": "selector", "path": "nvflare.app_common.widgets.intime_model_selector.IntimeModelSelector"}
PERSISTOR = {"id": "persistor", "path": "my.Persistor", "args": {"model": "net"}}
PARTS = [{"id": "aggregator", "path": IN_TIME}, {"id": "shareable_generator", "path": FULL_MODEL}]


def fedavg(*components: dict[str, Any], **arguments: Any) -> dict[str, Any]:
    return {"workflows": [{"path": FEDAVG, "args": arguments}], "components": [PERSISTOR, *components]}


def gather(*components: dict[str, Any], **arguments: Any) -> dict[str, Any]:
    own = {"persistor_id": "persistor", **arguments}
    return {"workflows": [{"path": GATHER, "args": own}], "components": [PERSISTOR, *(components or PARTS)]}


@pytest.mark.parametrize(
    "config",
    [
        fedavg(),
        fedavg(*PARTS),
        fedavg(SELECTOR, {"id": "net", "path": "my.Net"}, aggregation_weights={}, start_round=2),
        gather(),
        gather({**PARTS[0], "id": "mine"}, PARTS[1], SELECTOR, aggregator_id="mine"),
        {**fedavg(), "task_data_filters": [], "task_result_filters": []},
    ],
)
def test_a_job_can_go_on_if_its_parts_keep_nothing_but_the_model(config: dict[str, Any]) -> None:
    assert obstacle(config) == ""


@pytest.mark.parametrize(
    ("config", "why"),
    [
        ({"workflows": [{"path": "my.Own"}]}, "the state of the workflow my.Own is not known"),
        ({"workflows": [{}]}, "the state of the workflow without a class is not known"),
        ({"workflows": [{"path": f"{WORKFLOWS}.scaffold.Scaffold"}]}, "scaffold.Scaffold is not known"),
        ({**fedavg(), "workflows": [{"path": FEDAVG}, {"path": "other"}]}, "the job has 2 workflows"),
        ({**fedavg(), "task_result_filters": [{"tasks": ["train"]}]}, "the server has task_result_filters"),
        (fedavg(stop_cond="accuracy >= 80"), "has the argument stop_cond"),
        (fedavg(aggregator={"path": "my.Aggregator"}), "has the argument aggregator"),
        (fedavg(persistor_id=""), f"{FEDAVG} has no persistor"),
        (fedavg({"id": "mine", "path": "my.Filter"}), "the state of the component my.Filter is not known"),
        (gather(persistor_id="other"), f"{GATHER} has no persistor"),
        (gather({"id": "aggregator", "path": "my.Aggregator"}, PARTS[1]), "the state of the aggregator my.Aggregator is not known"),
        (gather(PARTS[0], {"id": "shareable_generator", "path": "my.FedOpt"}), "the state of the shareable_generator my.FedOpt"),
        (gather(PARTS[0]), "the state of the shareable_generator without a class"),
    ],
)
def test_what_may_keep_a_state_is_named(config: dict[str, Any], why: str) -> None:
    assert why in obstacle(config)


def test_a_job_that_can_go_on_begins_after_the_rounds_that_are_done() -> None:
    adapted = adapted_config(fedavg(start_round=2), 5, 2, "sum", 3)
    assert adapted["workflows"][0]["args"] == {"start_round": 5, "num_rounds": 2, "num_clients": 2}
    assert adapted["components"][-1]["args"] == {"first": 2, "done": 3, "digest": "sum"}
    assert adapted_config(fedavg(), 2, 2, "sum", 3)["workflows"][0]["args"]["num_rounds"] == 0  # the spec has fewer now


def prepared(folder: Path, server: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """Why the job cannot go on, and the server's configuration of its copy that begins after 3 of 5 rounds."""
    config = folder / "job/app/config"
    config.mkdir(parents=True)
    (folder / "job/meta.json").write_text(json.dumps({"deploy_map": {"app": ["@ALL"]}}))
    (config / "config_fed_client.json").write_text("{}")
    (config / "config_fed_server.json").write_text(json.dumps(server))
    why = prepare(folder / "job", folder / "copy", 5, 2, lambda file: json.loads(file.read_text()), digest="sum", done=3)
    return why, json.loads((folder / "copy/app/config/config_fed_server.json").read_text())


def test_the_copy_of_a_job_that_can_go_on_has_what_the_recorder_needs(tmp_path: Path) -> None:
    why, copy = prepared(tmp_path, fedavg())
    assert (why, copy["workflows"][0]["args"]["start_round"]) == ("", 3)
    assert copy["components"][-1]["args"] == {"first": 0, "done": 3, "digest": "sum"}


def test_another_job_starts_with_its_first_round(tmp_path: Path) -> None:
    why, copy = prepared(tmp_path, fedavg(patience=2))
    assert "has the argument patience" in why
    assert copy["workflows"][0]["args"] == {"patience": 2, "num_rounds": 5, "num_clients": 2}
    assert copy["components"][-1]["args"] == {}
