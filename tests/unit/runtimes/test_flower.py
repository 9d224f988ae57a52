"""Flower's containers: the contract of docs/design/pods.md with the programs that run in them."""

from __future__ import annotations

from panal.api.names import ClusterName
from panal.api.types import Aggregation, AggregationMethod, Client, Server, Spec
from panal.runtimes import runtime_for
from panal.runtimes.base import Announced, Container, Partition
from panal.runtimes.flower import Flower

runtime = Flower()

SPEC = Spec(
    framework="flower",
    server=Server(image="hub/app:1", rounds=7, min_available_clients=3, quorum_timeout_seconds=30, round_timeout_seconds=60),
    client=Client(image="site/app:1", image_pull_policy="Never"),
)


def env(container: Container) -> dict[str, str]:
    return {entry["name"]: entry["value"] for entry in container["env"] if "value" in entry}


def mounted(container: Container) -> dict[str, str]:
    return {m["name"]: m["mountPath"] for m in container["volumeMounts"]}


def test_the_flower_runtime_is_found_by_its_entry_point() -> None:
    assert isinstance(runtime_for("flower"), Flower)


def test_an_unknown_framework_has_no_runtime() -> None:
    assert runtime_for("flour") is None


def test_the_aggregator_is_a_native_sidecar_and_a_main_container_that_share_the_run_folder() -> None:
    containers = runtime.aggregator(SPEC)
    (superlink,) = containers.sidecars
    assert (superlink["name"], superlink["restartPolicy"]) == ("superlink", "Always")
    assert containers.main["name"] == "launcher"
    assert "restartPolicy" not in containers.main
    for container in (superlink, containers.main):
        assert container["image"] == "hub/app:1"
        expected = {"tools": "/panal/tools", "run": "/panal/run", "tmp": "/tmp", "work": "/panal/work", "pod": "/panal/pod"}
        assert mounted(container) == expected
        assert env(container) == {
            "PANAL_RUN_DIR": "/panal/run",
            "PANAL_POD_DIR": "/panal/pod",
            "PANAL_WORK_DIR": "/panal/work",
            "PANAL_ROUNDS": "7",
            "PANAL_MIN_CLIENTS": "3",
            "PANAL_QUORUM_TIMEOUT": "30",
            "PANAL_ROUND_TIMEOUT": "60",
            "PANAL_ACCELERATION": "Auto",
            "PANAL_RESULT": "",
            "PANAL_REPLY_SHAPES": "Consistent",
            "PANAL_REPLY_NUMBERS": "Finite",
        }


def test_the_grace_for_stragglers_is_told_if_it_is_set() -> None:
    server = SPEC.server.model_copy(update={"straggler_grace_seconds": 0})
    (superlink,) = runtime.aggregator(SPEC.model_copy(update={"server": server})).sidecars
    assert env(superlink)["PANAL_STRAGGLER_GRACE"] == "0"


def test_a_method_of_aggregation_and_a_largest_norm_are_told_if_they_are_set() -> None:
    replies = SPEC.server.replies.model_copy(update={"largest_update_norm": 2.5})
    aggregation = Aggregation(method=AggregationMethod.TRIMMED_MEAN, byzantine_clients=1)
    server = SPEC.server.model_copy(update={"replies": replies, "aggregation": aggregation})
    (superlink,) = runtime.aggregator(SPEC.model_copy(update={"server": server})).sidecars
    told = {name: env(superlink)[name] for name in ("PANAL_AGGREGATION", "PANAL_BYZANTINE_CLIENTS", "PANAL_LARGEST_UPDATE_NORM")}
    assert told == {"PANAL_AGGREGATION": "TrimmedMean", "PANAL_BYZANTINE_CLIENTS": "1", "PANAL_LARGEST_UPDATE_NORM": "2.5"}


HASH = "5f" * 32
ANNOUNCED = Announced(HASH, "1.42.0")


def test_a_collaborator_has_a_data_path_only_with_data() -> None:
    with_data = runtime.collaborator(SPEC, ClusterName("site1"), Partition(4, 9), "/panal/data", ANNOUNCED)
    without = runtime.collaborator(SPEC, ClusterName("site1"), Partition(4, 9), "", ANNOUNCED)
    assert env(with_data)["PANAL_DATA_PATH"] == "/panal/data"
    assert "PANAL_DATA_PATH" not in env(without)
    assert env(without) == {
        "PANAL_CLUSTER": "site1",
        "PANAL_PARTITION_ID": "4",
        "PANAL_NUM_PARTITIONS": "9",
        "PANAL_POD_DIR": "/panal/pod",
        "PANAL_WORK_DIR": "/panal/work",
        "PANAL_GATEWAY_PORT": "8000",
        "PANAL_APP_HASH": HASH,
        "PANAL_FLOWER_VERSION": "1.42.0",
        "PANAL_ACCELERATION": "Auto",
    }
    assert mounted(with_data) == {"tools": "/panal/tools", "tmp": "/tmp", "work": "/panal/work", "pod": "/panal/pod"}
    assert (with_data["image"], with_data["imagePullPolicy"]) == ("site/app:1", "Never")


def test_a_supernode_gets_share_errors_of_the_site_and_the_id_of_its_pod() -> None:
    container = runtime.collaborator(SPEC, ClusterName("site1"), Partition(4, 9), "", ANNOUNCED)
    entries = {e["name"]: e["valueFrom"] for e in container["env"] if "valueFrom" in e}
    assert entries == {
        "PANAL_SHARE_ERRORS": {"configMapKeyRef": {"name": "fl-collaborator-site", "key": "share-errors", "optional": True}},
        "PANAL_INSTANCE": {"fieldRef": {"fieldPath": "metadata.uid"}},
    }


def test_a_collaborator_mounts_tools_and_secret_read_only() -> None:
    container = runtime.collaborator(SPEC, ClusterName("site1"), Partition(4, 9), "", ANNOUNCED)
    assert {m["name"] for m in container["volumeMounts"] if m.get("readOnly")} == {"tools", "pod"}
