"""What panal reads from a workspace, and what it replaces in the plan."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from panal.pod.tools.files import RunError
from panal.pod.tools.openfl.assignment import tasks_of
from panal.pod.tools.openfl.known import supported
from panal.pod.tools.openfl.workspace import adapt, data_path, find, refuse_unsupported

LEARNING = {"name": "learning", "percentage": 1.0, "tasks": ["validate", "train"]}


def plan() -> dict[str, Any]:
    return {
        "aggregator": {"settings": {"rounds_to_train": 10, "write_logs": True, "last_state_path": "save/last.pbuf"}},
        "data_loader": {"settings": {"batch_size": 256, "collaborator_count": 2}},
        "network": {"settings": {"agg_addr": "agg.example", "agg_port": 58112, "use_tls": True, "transport_protocol": "rest"}},
    }


def test_the_run_decides_the_address_the_security_and_the_rounds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PANAL_NUM_PARTITIONS", "5")
    config = plan()
    adapt(config)
    network, aggregator = config["network"]["settings"], config["aggregator"]["settings"]
    assert (network["agg_addr"], network["use_tls"], network["transport_protocol"]) == ("127.0.0.1", False, "grpc")
    ours = {"rounds_to_train": 1, "write_logs": False, "persist_checkpoint": False, "use_delta_updates": False}
    assert aggregator == {**ours, "last_state_path": "save/last.pbuf"}
    assert config["data_loader"]["settings"] == {"batch_size": 256, "collaborator_count": 5}
    assert config["collaborator"]["settings"] == {"write_logs": False, "use_delta_updates": False}


@pytest.mark.parametrize(("pipeline", "deltas"), [("NoCompressionPipeline", False), ("KCPipeline", True)])
def test_deltas_are_sent_only_where_they_are_compressed(pipeline: str, deltas: bool) -> None:
    config = plan() | {"compression_pipeline": {"template": f"openfl.pipelines.{pipeline}"}}
    config["collaborator"] = {"settings": {"use_delta_updates": True}}
    adapt(config)
    assert config["collaborator"]["settings"]["use_delta_updates"] is deltas


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"aggregator": {"settings": {"secure_aggregation": True}}}, "secure_aggregation, which panal does not support"),
        ({"connector": {"settings": {}}}, "run a Flower app with spec.framework flower instead"),
    ],
)
def test_a_plan_with_what_panal_does_not_support_is_refused(more: dict[str, Any], message: str) -> None:
    with pytest.raises(RunError, match=message):
        refuse_unsupported(plan() | more)


def test_the_data_loader_gets_the_mounted_data_or_what_the_workspace_says_or_the_partition(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PANAL_PARTITION_ID", "4")
    assert data_path({"site1": "7"}, "site1") == "7"
    assert data_path({"site1": "7"}, "site2") == "4"
    monkeypatch.setenv("PANAL_DATA_PATH", "/panal/data")
    assert data_path({"site1": "7"}, "site1") == "/panal/data"


def test_every_collaborator_has_the_tasks_of_the_group_with_a_share() -> None:
    evaluation = {"name": "evaluation", "percentage": 0, "tasks": ["validate"]}
    assert tasks_of({"settings": {"task_groups": [LEARNING, evaluation]}}, ["train", "validate"]) == ["validate", "train"]


@pytest.mark.parametrize(
    ("groups", "message"),
    [
        ([], "has 0 task groups with a share"),
        ([LEARNING, LEARNING], "has 2 task groups with a share"),
        ([{"name": "empty", "tasks": []}], "has a task group without tasks"),
        ([{"name": "other", "tasks": ["train", "other"]}], "does not declare the task other"),
    ],
)
def test_other_groups_are_refused(groups: list[dict[str, Any]], message: str) -> None:
    with pytest.raises(RunError, match=message):
        tasks_of({"settings": {"task_groups": groups}}, ["train", "validate"])


def test_the_workspace_is_the_folder_with_a_plan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PANAL_APP_DIR", str(tmp_path))
    assert find() is None
    (tmp_path / "plan").mkdir()
    (tmp_path / "plan/plan.yaml").write_text("")
    assert find() == tmp_path
    monkeypatch.delenv("PANAL_APP_DIR")
    monkeypatch.chdir(tmp_path)
    assert find() == tmp_path


@pytest.mark.parametrize(("version", "expected"), [("1.9", True), ("1.9.1", True), ("1.10", False), ("1.8", False), ("1.90", False)])
def test_only_openfl_1_9_is_supported(version: str, expected: bool) -> None:
    assert supported(version) is expected
