"""The platform's commands, and the run that they create from an app."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from command_line import *  # noqa: F403
from panal.api.names import NO_DATA
from panal.api.parse import parse
from panal.cli.platform import COMMANDS
from panal.client.apps import App
from panal.client.choose import choose
from panal.client.manifest import manifest, named
from panal.client.platform import Target, installed
from panal.client.problem import Code, Problem
from panal_local.commands import data
from panal_local.commands.entry import Local
from panal_local.commands.errors import explained
from panal_local.commands.platform import parse_claims
from panal_local.node.recipes import BuildError
from panal_local.supervisor.folder import PlatformError


def test_the_product_finds_the_platform_and_its_commands(panal):
    assert isinstance(installed(), Local)
    assert all(panal(name, "--help")[0] == Code.OK for name in COMMANDS)


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["status"], Code.PLATFORM, "there is no local platform in"),
        (["up", "--claim", "cluster1"], Code.USAGE, "is not CLUSTER:KEY=VALUE"),
        (["up", "--clusters", "99"], Code.PLATFORM, "too many for one machine"),
        (["image", "build", "/nowhere", "-t", "a:1"], Code.IMAGE, "is missing"),
    ],
)
def test_errors_name_the_problem(panal, words, code, said):
    ended, out, err = panal(*words)
    assert (ended, out) == (code, "")
    assert said in err


def test_down_without_a_platform_is_fine(panal):
    assert panal("down")[0] == Code.OK


def test_an_unusable_folder_is_named(panal, tmp_path):
    (tmp_path / "home/run/command.lock").mkdir(parents=True)
    for words in (["up"], ["down"]):
        code, _, err = panal(*words, "--folder", str(tmp_path / "home"))
        assert (code, "command.lock" in err) == (Code.PLATFORM, True), err


def test_a_stopped_platform_is_not_used(tmp_path):
    kubectls = tmp_path / ".kube" / "config"
    kubectls.parent.mkdir()
    _config(kubectls, "a")
    (tmp_path / "platform" / "run").mkdir(parents=True)
    _config(tmp_path / "platform" / "kubeconfig", "hub")
    found = choose(None, None)
    assert (found.kubeconfig, found.local) == (kubectls, False)


def _config(path: Path, *contexts: str) -> None:
    path.write_text(yaml.safe_dump({"current-context": contexts[0], "contexts": [{"name": name} for name in contexts]}))


def test_claims():
    given = ["cluster1:a.b/c=pvc://x", "cluster1:d=/e=f:g", "cluster2:a=b"]
    assert parse_claims(given) == {"cluster1": {"a.b/c": "pvc://x", "d": "/e=f:g"}, "cluster2": {"a": "b"}}


@pytest.mark.parametrize(("error", "code"), [(PlatformError("x", "y"), Code.PLATFORM), (BuildError("x"), Code.IMAGE)])
def test_platform_errors_become_command_errors(error, code):
    with pytest.raises(Problem, match="x") as found, explained():
        raise error
    assert (found.value.code, found.value.remedy) == (code, getattr(error, "remedy", ""))


# --- the run of an app's folder ----------------------------------------------------------------------------------
def app(name: str = "my-app", **more) -> App:
    return App(**{"folder": Path(name), "framework": "flower", "name": name, "rounds": 5, "data": None, **more})


def test_a_run_of_an_app():
    metadata = {
        "name": "a",
        "namespace": "b",
        "uid": "c",
        "creationTimestamp": "2026-01-01T00:00:00Z",
        "generation": 1,
        "resourceVersion": "1",
    }
    made = manifest(app(run_config={"lr": 0.5}), "app/my-app:latest", 3, "")
    run = parse(made | {"metadata": metadata})
    assert (run.spec.server.rounds, run.spec.server.min_available_clients) == (5, 3)
    assert run.spec.client.data_claim == NO_DATA
    assert made["spec"]["server"]["runConfig"] == {"lr": 0.5}
    assert "runConfig" not in manifest(app(), "app/my-app:latest", 3, "")["spec"]["server"]


def test_each_run_has_a_unique_name():
    run = manifest(app("digits"), "i:1", 3, "", namespace="ns")
    assert named(run, set())["metadata"] == {"name": "digits-1", "namespace": "ns"}
    assert named(run, {"digits-1", "digits-10", "digits-x", "other-11"})["metadata"]["name"] == "digits-11"
    assert named(manifest(app("digits"), "i:1", 3, "", "mine"), {"mine"})["metadata"] == {"name": "mine"}


def test_a_target_is_known_before_the_platform_is_up(tmp_path):
    home, local = tmp_path / "home", Local()
    assert local.target(home, app()) == Target("app/my-app:latest", 3, "")
    for name in ("cluster1", "cluster3", "cluster9"):
        (tmp_path / "data" / name).mkdir(parents=True)
    with_data = local.target(home, app(data=tmp_path / "data"))
    assert (with_data.clusters, with_data.data_claim) == (2, data.claim_name("my-app", tmp_path / "data"))
    with pytest.raises(Problem, match="contains none of the folders cluster1, cluster2, cluster3"):
        local.target(home, app(data=home))


def test_a_run_with_data(tmp_path):
    key = data.claim_name("my-app", tmp_path)
    client = manifest(app(data=tmp_path), "i:1", 2, key)["spec"]["client"]
    assert "dataClaim" not in client
    assert client["placement"]["predicates"][0]["requiredClusterSelector"]["claimSelector"]["matchExpressions"][0]["key"] == key
