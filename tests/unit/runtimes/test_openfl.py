"""OpenFL's containers: the contract of docs/design/pods.md with the programs that run in them."""

from __future__ import annotations

from panal.api.names import ClusterName
from panal.api.types import Client, Replies, Server, Spec
from panal.pod.tools.openfl.codes import ENDINGS
from panal.runtimes import runtime_for
from panal.runtimes.base import Announced, Container, Partition
from panal.runtimes.openfl import OpenFL

runtime = OpenFL()

SPEC = Spec(
    framework="openfl",
    server=Server(image="hub/app:1", rounds=7, min_available_clients=3, quorum_timeout_seconds=30, round_timeout_seconds=60),
    client=Client(image="site/app:1", image_pull_policy="Never"),
)


def env(container: Container) -> dict[str, str]:
    return {entry["name"]: entry["value"] for entry in container["env"]}


def mounted(container: Container) -> dict[str, bool]:
    return {m["name"]: m.get("readOnly", False) for m in container["volumeMounts"]}


def test_the_openfl_runtime_is_found_by_its_entry_point() -> None:
    assert isinstance(runtime_for("openfl"), OpenFL)


def test_the_aggregator_is_one_container() -> None:
    containers = runtime.aggregator(SPEC)
    assert containers.sidecars == ()
    main = containers.main
    assert (main["name"], main["image"]) == ("aggregator", "hub/app:1")
    assert main["command"] == ["python3", "/panal/tools/run.py", "openfl", "aggregator"]
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
        "PANAL_REPLY_SHAPES": "Consistent",
        "PANAL_REPLY_NUMBERS": "Finite",
    }


def test_the_aggregator_gets_the_largest_reply_in_bytes() -> None:
    server = SPEC.server.model_copy(update={"replies": Replies(max_size="1Gi")})
    assert env(runtime.aggregator(SPEC.model_copy(update={"server": server})).main)["PANAL_LARGEST_REPLY"] == str(1 << 30)


def test_a_collaborator_has_a_data_path_only_with_data() -> None:
    with_data = runtime.collaborator(SPEC, ClusterName("site1"), Partition(4, 9), "/panal/data", Announced())
    without = runtime.collaborator(SPEC, ClusterName("site1"), Partition(4, 9), "", Announced())
    assert env(with_data)["PANAL_DATA_PATH"] == "/panal/data"
    assert env(without) == {
        "PANAL_CLUSTER": "site1",
        "PANAL_PARTITION_ID": "4",
        "PANAL_NUM_PARTITIONS": "9",
        "PANAL_POD_DIR": "/panal/pod",
        "PANAL_WORK_DIR": "/panal/work",
        "PANAL_GATEWAY_PORT": "8000",
    }
    assert mounted(without) == {"tools": True, "tmp": False, "work": False, "pod": True}
    assert without["command"] == ["python3", "/panal/tools/run.py", "openfl", "collaborator"]
    assert (without["image"], without["imagePullPolicy"]) == ("site/app:1", "Never")


def test_collaborators_send_grpc_to_openfls_service_alone() -> None:
    rules = runtime.gateway(SPEC)
    assert (rules.paths, rules.methods) == (("/openfl.aggregator.Aggregator/",), ("POST",))
    assert (rules.protocol, rules.largest_request) == ("HTTP/2", None)


def test_collaborators_start_with_the_aggregator() -> None:
    assert runtime.announced(None) == Announced()


def test_remedies_are_for_reasons_with_which_a_run_can_end() -> None:
    assert set(runtime.remedies) <= ENDINGS
    assert "OpenFLNotSupported" in runtime.remedies


def test_fields_of_other_runtimes_have_no_effect() -> None:
    server = SPEC.server.model_copy(update={"superlink": "x", "run_config": {"a": 1}})
    assert runtime.ignored_fields(SPEC.model_copy(update={"server": server})) == ["spec.server.superlink", "spec.server.runConfig"]
    assert runtime.ignored_fields(SPEC) == []
