"""The containers of the runtime `other`, and its gateway rules: the contract of docs/how-to/run-any-container.md."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from panal.api.names import ClusterName
from panal.api.parse import parse_spec
from panal.api.types import Client, Server, Spec
from panal.cli.package import contents
from panal.client import apps
from panal.lifecycle.support import ignored_fields
from panal.runtimes import framework_of, runtime_for
from panal.runtimes.app import AppError
from panal.runtimes.base import Announced, Container, Partition
from panal.runtimes.other import Other
from worlds import run

GUIDE = Path(__file__).parents[3] / "docs/how-to/run-any-container.md"
SPEC = Spec(
    framework="other",
    server=Server(image="hub/app:1", command=["serve", "--rounds=$(PANAL_ROUNDS)"], rounds=7, min_available_clients=3),
    client=Client(image="site/app:1", command=["join"], image_pull_policy="Never"),
)
runtime = Other()


def env(container: Container) -> dict[str, str]:
    return {entry["name"]: entry["value"] for entry in container["env"]}


def test_it_is_found_by_its_entry_point() -> None:
    assert isinstance(runtime_for("other"), Other)


def test_the_aggregator_is_one_container_that_starts_the_command() -> None:
    containers = runtime.aggregator(SPEC)
    assert containers.sidecars == ()
    main = containers.main
    assert (main["name"], main["image"]) == ("server", "hub/app:1")
    assert main["command"] == ["python3", "/panal/tools/run.py", "other", "aggregator", "serve", "--rounds=$(PANAL_ROUNDS)"]
    assert env(main) == {
        "PANAL_ROUNDS": "7",
        "PANAL_MIN_CLIENTS": "3",
        "PANAL_QUORUM_TIMEOUT": "600",
        "PANAL_ROUND_TIMEOUT": "3600",
        "PANAL_RESULT": "",
        "PANAL_MODEL": "/panal/work/model.npz",
        "PANAL_PROGRESS": "/panal/run/progress.jsonl",
        "PANAL_PARTICIPANTS": "/panal/run/participants.json",
        "PANAL_CHECKPOINTS": "/panal/run/checkpoints-of-the-server",
        "PANAL_RUN_DIR": "/panal/run",
        "PANAL_POD_DIR": "/panal/pod",
        "PANAL_SECRET_FILE": "/panal/pod/secret",
        "PANAL_WORK_DIR": "/panal/work",
    }
    assert [m["name"] for m in main["volumeMounts"]] == ["tools", "run", "tmp", "work", "pod"]


def test_the_run_config_is_passed_as_it_is() -> None:
    spec = SPEC.model_copy(update={"server": SPEC.server.model_copy(update={"run_config": {"a": "$(X)", "lr": 0.5}})})
    assert env(runtime.aggregator(spec).main)["PANAL_RUN_CONFIG"] == '{"a":"$$(X)","lr":0.5}'


def test_a_collaborator_starts_its_command() -> None:
    site = runtime.collaborator(SPEC, ClusterName("site1"), Partition(4, 9), "/panal/data", Announced())
    assert site["command"] == ["python3", "/panal/tools/run.py", "other", "collaborator", "join"]
    assert (site["name"], site["image"], site["imagePullPolicy"]) == ("client", "site/app:1", "Never")
    assert env(site) == {
        "PANAL_CLUSTER": "site1",
        "PANAL_PARTITION_ID": "4",
        "PANAL_NUM_PARTITIONS": "9",
        "PANAL_DATA_PATH": "/panal/data",
        "PANAL_GATEWAY_PORT": "8000",
        "PANAL_POD_DIR": "/panal/pod",
        "PANAL_SECRET_FILE": "/panal/pod/secret",
        "PANAL_WORK_DIR": "/panal/work",
    }
    assert [m["name"] for m in site["volumeMounts"]] == ["tools", "tmp", "work", "pod"]


def test_the_gateway_speaks_what_the_server_speaks() -> None:
    http, grpc = (runtime.gateway(SPEC.model_copy(update={"server": Server(protocol=p)})) for p in ("HTTP", "GRPC"))
    assert (http.protocol, http.methods) == ("HTTP/1.1", ("DELETE", "GET", "HEAD", "PATCH", "POST", "PUT"))
    assert (grpc.protocol, grpc.methods) == ("HTTP/2", ("POST",))
    assert http.paths == grpc.paths == ("/",)


@pytest.mark.parametrize(
    ("server", "client", "problem"),
    [
        (["a"], ["b"], ""),
        ([], ["b"], "spec.server.command: required with framework other if the other side has one; name the program in the image"),
        (["a"], [], "spec.client.command: required with framework other if the other side has one; name the program in the image"),
    ],
)
def test_both_sides_need_a_command(server: list[str], client: list[str], problem: str) -> None:
    assert runtime.problem(Spec(server=Server(command=server), client=Client(command=client))) == problem


def test_without_commands_it_is_openfl_as_in_the_former_controller() -> None:
    assert framework_of(Spec(server=Server(image="a"), client=Client(image="a"))) == "openfl"
    assert framework_of(SPEC) == "other"
    assert framework_of(Spec(framework="flower")) == "flower"


def test_it_names_what_has_no_effect() -> None:
    server = {"command": ["x"], "replies": {"shapes": "Any"}, "superlink": "x"}
    assert ignored_fields(run(framework="other", server=server, acceleration="Off").spec) == [
        "spec.server.replies",
        "spec.acceleration",
        "spec.server.superlink",
    ]


def test_the_command_has_no_effect_with_flower() -> None:
    server = {"command": ["x"], "protocol": "GRPC"}
    assert ignored_fields(run(server=server, client={"command": ["x"]}).spec) == [
        "spec.server.command",
        "spec.client.command",
        "spec.server.protocol",
    ]


def test_the_guide_names_every_variable() -> None:
    rows = re.findall(r"^\| (`PANAL_[^|]+)\|", GUIDE.read_text(), flags=re.MULTILINE)
    documented = {name for row in rows for name in re.findall(r"PANAL_[A-Z_]+", row)}
    site = runtime.collaborator(SPEC, ClusterName("site1"), Partition(4, 9), "", Announced())
    set_by_the_program = {"PANAL_ADDRESS", "PANAL_RESUME", "PANAL_RESUME_ROUND"}
    given = {*env(runtime.aggregator(SPEC).main), *env(site), *set_by_the_program, "PANAL_RUN_CONFIG", "PANAL_STRAGGLER_GRACE"}
    internal = {"PANAL_RUN_DIR", "PANAL_POD_DIR", "PANAL_WORK_DIR", "PANAL_GATEWAY_PORT", "PANAL_RESULT"}
    assert documented == given - internal


def declared(**app: object) -> dict[str, object]:
    return {"tool": {"panal": {"app": {"server": ["serve"], "client": ["join"], **app}}}}


def test_an_app_is_read_from_pyproject() -> None:
    app = runtime.app(declared(protocol="GRPC", config={"rounds": 7, "lr": 0.1}))
    assert app
    assert (app.server, app.client) == ({"command": ["serve"], "protocol": "GRPC"}, {"command": ["join"]})
    assert (app.config, app.config_table, app.rounds_keys) == ({"rounds": 7, "lr": 0.1}, "tool.panal.app.config", ("rounds",))
    assert runtime.app({"tool": {"flwr": {}}}) is None


@pytest.mark.parametrize(
    ("app", "message"),
    [
        ({"client": []}, r"\[tool.panal.app\] client is not a command"),
        ({"server": "python3 server.py"}, r"\[tool.panal.app\] server is not a command"),
        ({"protocol": "TCP"}, r"\[tool.panal.app\] protocol is 'TCP'"),
        ({"rounds": 3}, r"\[tool.panal.app\] has the unknown key rounds"),
        ({"config": 3}, r"tool.panal.app.config is not a table"),
    ],
)
def test_an_app_that_is_declared_wrongly_is_named(app: dict[str, object], message: str) -> None:
    with pytest.raises(AppError, match=message) as wrong:
        runtime.app(declared(**app))
    assert wrong.value.remedy


def test_the_example_is_an_app_and_is_packaged_with_its_commands(tmp_path: Path) -> None:
    example = Path(__file__).parents[3] / "examples/plain"
    app = apps.read(example, rounds=4)
    assert (app.framework, app.name, app.rounds) == ("other", "plain", 4)
    spec = yaml.safe_load(contents(example, target=tmp_path)["run.yaml"])["spec"]
    assert spec["framework"] == "other"
    assert (spec["server"]["command"], spec["client"]["command"]) == (["python3", "server.py"], ["python3", "client.py"])
    assert runtime.problem(parse_spec({"spec": spec})) == ""
