"""The whole way on real nodes: a prototype in a notebook, a run on three clusters, its model in service, a better one instead, and back.

The notebook is the example's, executed by a real Jupyter in an environment like a user's, with panal and Flower. MLflow is a real server
too. The InferenceService reads the arrays (`--content model`), because the example's predictor is made for them; MLflow loads the exported
ONNX. The test compares what both answer.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import mlflow_server
import panal as sdk
from bridge import Bridge
from command_line import *  # noqa: F403
from containers import Containers
from fleet import Fleet
from inference import Client, Digits, Panal, serving
from mlflow_server import Server
from notebooks import PROTOTYPE, ROOT, execute
from panal.client.problem import Code
from panal.kube import kinds
from panal.kube.objects import condition
from runs import Run
from waiting import eventually

pytestmark = [pytest.mark.real, pytest.mark.nodes]

NS, SERVICE, HOST = "mnist", "whole-way", "whole-way.example.com"
MODEL = "digits"  # the registered one
EXAMPLE = ROOT / "examples/mnist"
APP, CLAIM = "panal/example-mnist:0.1.0", "digits.example.com"
IMAGE = ("--runtime", "panal/mnist-predictor:0.1.0", "--content", "model")
SITES = ["cluster1", "cluster2", "cluster3"]
AFTER = ("Exported", "Validated", "Published")  # conditions of a Completed run, in this order
# What MLflow's `model` says about the digits in a file.
RECOGNIZE = """
images = numpy.load({file!r})
print(json.dumps(model.predict({{"image": images}})["probability"].argmax(axis=1).tolist()))
"""


@pytest.fixture(scope="module")
def registry(fleet: Fleet, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """At an address that Pods reach."""
    with mlflow_server.serving(tmp_path_factory.mktemp("mlflow"), host=f"{Bridge(fleet.root).prefix}.1") as found:
        yield found


@pytest.fixture
def kubeconfig(fleet: Fleet, tmp_path: Path) -> Path:
    """A user's, whose context has the namespace."""
    config = json.loads(fleet.hub.kubeconfig.read_text())
    config["contexts"][0]["context"]["namespace"] = NS
    file = tmp_path / "kubeconfig"
    file.write_text(json.dumps(config))
    file.chmod(0o600)
    return file


def after_training(registry: Server) -> dict[str, Any]:
    """What a spec adds to an app's own; the app's pyproject.toml names the export."""
    validation = {"image": "panal/mnist-jupyter:0.1.0", "notebook": "notebooks/validate.ipynb", "timeoutSeconds": 600}
    return {"validation": validation, "publish": {"mlflow": {"uri": registry.uri, "name": MODEL}}}


def prototype(kubeconfig: Path, folder: Path, spec: dict[str, Any]) -> dict[str, float]:
    """The numbers of the notebook, which has tried the app in its own process, and then run it on the hub."""
    if not (PROTOTYPE / ".ready").exists():
        pytest.skip("there is no Jupyter with panal: `make .cache/prototype/.ready`")
    folder.mkdir()
    settings = {"APP": str(EXAMPLE), "ROUNDS": "2", "IMAGE": APP, "DATA_CLAIM": CLAIM, "SPEC": json.dumps(spec)}
    env = os.environ | {f"PANAL_{name}": value for name, value in settings.items()} | {"KUBECONFIG": str(kubeconfig), "TMPDIR": str(folder)}
    return execute(PROTOTYPE / "bin/python", EXAMPLE / "notebooks/prototype.ipynb", folder, env, 500).metrics


def known(engine: Containers, name: str) -> Run:
    return Run(engine, NS, name, engine.hub.get(kinds.FEDERATED_LEARNING, NS, name)["metadata"]["uid"])


def proven(run: Run) -> dict[str, Any]:
    """The status after the model was exported, validated and published."""
    for each in AFTER:
        found = eventually(lambda each=each: settled(run, each), lambda: run.story(), 240)
        assert found["status"] == "True", found
    return run.status()


def settled(run: Run, name: str) -> dict[str, Any] | None:
    found = condition({"status": run.status()}, name)
    return found if found.get("status") in ("True", "False") else None


def tags(registry: Server, version: str) -> dict[str, str]:
    (found,) = (each for each in registry.versions(MODEL) if each["version"] == version)
    return {each["key"]: each["value"] for each in found["tags"]}


def accuracies(run: Run) -> list[float]:
    """On the test digits, after each round."""
    return [row.metrics["accuracy"] for row in run.history().rounds]


def test_from_a_notebook_to_a_model_in_service_and_a_better_one_in_its_place(
    engine: Containers, panal: Panal, registry: Server, gateway: str, kubeconfig: Path, test_digits: Digits, tmp_path: Path
) -> None:
    engine.fleet.hub.namespaces(NS)
    spec = after_training(registry)

    # --- a prototype, and the run that it starts
    numbers = prototype(kubeconfig, tmp_path / "notebook", spec)
    assert (numbers["clusters"], numbers["rounds"]) == (3, 2)
    assert numbers["accuracy-slice"] < 0.85 < numbers["accuracy"]
    assert numbers["accuracy"] == pytest.approx(numbers["accuracy-simulated"], abs=0.005)
    first = known(engine, "mnist-app-1")
    first.check_history(SITES)

    # --- export, validation, registry
    status = proven(first)
    old = status["model"]["digest"]
    (exported,) = status["export"]["files"]
    assert (exported["name"], exported["check"].split()[:3]) == ("model.onnx", ["checked", "by", "onnx"])
    assert status["validation"]["metrics"]["accuracy"] == pytest.approx(numbers["accuracy"], abs=1e-3)
    assert status["publish"]["mlflow"] == {"name": MODEL, "version": "1", "uri": f"models:/{MODEL}/1"}
    about = tags(registry, "1")
    assert (about["panal.uid"], about["panal.model.digest"], about["panal.validated"]) == (first.uid, old, "True")
    assert about["panal.export.digest"] == status["export"]["digest"]
    assert json.loads(about["panal.clusters"]) == dict.fromkeys(SITES, 2)
    images = tmp_path / "images.npy"
    np.save(images, np.array(test_digits[0], np.float32))
    recognized = registry.load(f"models:/{MODEL}/1", RECOGNIZE.format(file=str(images)))

    # --- service
    serve = serving(panal, SERVICE, NS, kubeconfig, tmp_path / "probe.json", test_digits[0][0])
    client = Client(gateway, HOST, SERVICE, *test_digits)
    code, found, error = serve(first.name, *IMAGE, "--gateway", "gateways/fl", "--hostname", HOST, "--require", "accuracy >= 0.8")
    assert code == Code.OK, error
    assert (found["proof"]["digest"], found["serving"]["run"]) == (old, first.name)
    eventually(client.is_reached, "the Gateway leads to the service", 30)
    assert client.ask(client.images[:1]) == (old, client.labels[:1])
    assert client.ask(client.images) == (old, recognized)
    assert client.accuracy() >= 0.85

    # --- a second version, which begins with the first
    made = sdk.FederatedLearning.from_app(
        EXAMPLE,
        rounds=2,
        clients=3,
        image=APP,
        data_claim=CLAIM,
        initial_model=first.name,
        spec=spec,
        kubeconfig=kubeconfig,
    ).apply()
    made.wait(timeout=300)
    second = known(engine, made.name)
    assert second.status()["initialModel"] == {"run": first.name, "uri": status["model"]["uri"], "digest": old}
    assert accuracies(second)[0] > accuracies(first)[0]
    better = proven(second)
    new = better["model"]["digest"]
    assert better["validation"]["metrics"]["accuracy"] > status["validation"]["metrics"]["accuracy"]
    assert better["publish"]["mlflow"]["version"] == "2"
    assert tags(registry, "2")["panal.model.digest"] == new

    # --- it gets a share of the requests, replaces the first one, and is taken back
    with client.asking():
        code, found, error = serve(second.name, *IMAGE, "--canary", "30", "--better-than-serving", "accuracy")
        assert code == Code.OK, error
        assert found["canary"]["run"] == second.name
        assert set(client.count(100)) == {old, new}
        code, found, error = serve(second.name, "--promote")
        assert code == Code.OK, error
        eventually(lambda: set(client.count(10)) == {new}, "the Gateway leads to the second version alone", 30)
        code, found, error = serve(second.name, "--rollback")
        assert code == Code.OK, error
        assert (found["proof"]["digest"], found["serving"]["run"]) == (old, first.name)
        eventually(lambda: set(client.count(10)) == {old}, "the Gateway leads to the first version again", 30)
    assert client.wrong == []
    assert client.ask(client.images) == (old, recognized)
