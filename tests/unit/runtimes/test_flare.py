"""FLARE's containers: the contract of docs/design/pods.md with the programs that run in them."""

from __future__ import annotations

from panal.api.names import ClusterName
from panal.api.types import Client, Server, Spec
from panal.pod.tools.flare.codes import ENDINGS
from panal.runtimes import runtime_for
from panal.runtimes.base import Announced, Container, Partition
from panal.runtimes.flare import Flare

runtime = Flare()

SPEC = Spec(
    framework="flare",
    server=Server(image="hub/job:1", rounds=7, min_available_clients=3, quorum_timeout_seconds=30, round_timeout_seconds=60),
    client=Client(image="site/job:1", image_pull_policy="Never"),
)


def env(container: Container) -> dict[str, str]:
    return {entry["name"]: entry["value"] for entry in container["env"]}


def mounted(container: Container) -> dict[str, bool]:
    return {m["name"]: m.get("readOnly", False) for m in container["volumeMounts"]}


def test_the_flare_runtime_is_found_by_its_entry_point() -> None:
    assert isinstance(runtime_for("flare"), Flare)


def test_the_aggregator_is_one_container() -> None:
    containers = runtime.aggregator(SPEC)
    assert containers.sidecars == ()
    main = containers.main
    assert (main["name"], main["image"]) == ("server", "hub/job:1")
    assert main["command"] == ["python3", "/panal/tools/run.py", "flare", "server"]
    assert mounted(main) == {"tools": True, "run": False, "tmp": False, "work": False, "pod": True}
    assert env(main) == {
        "PANAL_RUN_DIR": "/panal/run",
        "PANAL_POD_DIR": "/panal/pod",
        "PANAL_WORK_DIR": "/panal/work",
        "PANAL_ROUNDS": "7",
        "PANAL_MIN_CLIENTS": "3",
        "PANAL_QUORUM_TIMEOUT": "30",
        "PANAL_ROUND_TIMEOUT": "60",
        "PANAL_RESULT": "",
    }


def test_a_collaborator_knows_its_cluster_its_part_and_its_data() -> None:
    container = runtime.collaborator(SPEC, ClusterName("site1"), Partition(4, 9), "/panal/data", Announced())
    assert env(container) == {
        "PANAL_CLUSTER": "site1",
        "PANAL_PARTITION_ID": "4",
        "PANAL_NUM_PARTITIONS": "9",
        "PANAL_DATA_PATH": "/panal/data",
        "PANAL_POD_DIR": "/panal/pod",
        "PANAL_WORK_DIR": "/panal/work",
        "PANAL_GATEWAY_PORT": "8000",
    }
    assert mounted(container) == {"tools": True, "tmp": False, "work": False, "pod": True}
    assert container["command"] == ["python3", "/panal/tools/run.py", "flare", "client"]
    assert (container["image"], container["imagePullPolicy"]) == ("site/job:1", "Never")


def test_collaborators_send_grpc_to_flares_service_alone() -> None:
    rules = runtime.gateway(SPEC)
    assert (rules.paths, rules.methods, rules.port) == (("/streamer.Streamer/",), ("POST",), 8002)
    assert (rules.protocol, rules.largest_request) == ("HTTP/2", None)


def test_collaborators_start_with_the_aggregator() -> None:
    assert runtime.announced(None) == Announced()


def test_remedies_are_for_reasons_with_which_a_run_can_end() -> None:
    assert set(runtime.remedies) <= ENDINGS
    assert "FlareNotSupported" in runtime.remedies


def test_fields_for_other_frameworks_have_no_effect() -> None:
    server = SPEC.server.model_copy(update={"superlink": "x", "run_config": {"a": 1}, "command": ["python3"], "straggler_grace_seconds": 5})
    ignored = ["spec.server.runConfig", "spec.server.stragglerGraceSeconds", "spec.server.superlink", "spec.server.command"]
    assert runtime.ignored_fields(SPEC.model_copy(update={"server": server})) == ignored
    assert runtime.ignored_fields(SPEC) == []
