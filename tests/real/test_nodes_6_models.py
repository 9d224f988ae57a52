"""The model of a run is validated and downloaded, by Pods that read a volume of the hub.

It runs before the how-to, which removes panal in its last step.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from command_line import *  # noqa: F403
from containers import Containers
from panal.api import names
from panal.api.history import read as read_history
from panal.client.problem import Code
from panal.kube import kinds
from panal.kube.objects import Object, condition
from panal.lifecycle.validation import NOTEBOOK
from runs import APP_IMAGE, Run, apply
from waiting import eventually

pytestmark = [pytest.mark.real, pytest.mark.nodes]

Panal = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def run(engine: Containers) -> Iterator[Run]:
    found = apply(engine, "runs", "kept-model", clusters=["cluster1"], validation={"image": APP_IMAGE})
    found.until_ended("Completed")
    yield found
    found.delete()


def test_a_model_is_downloaded_from_the_hub(panal: Panal, run: Run, engine: Containers, tmp_path: Path) -> None:
    hub = ("--kubeconfig", str(engine.fleet.hub.kubeconfig))
    to = tmp_path / "models"
    to.mkdir()
    code, said, error = panal("models", "download", run.name, "--to", str(to), *hub)
    assert code == Code.OK, error
    model = to / "kept-model.safetensors"
    assert f"sha256:{hashlib.sha256(model.read_bytes()).hexdigest()}" == run.status()["model"]["digest"]
    assert "as in status.model" in said
    panal("models", "download", run.name, "--file", "history.jsonl", "--to", str(to), *hub)
    assert read_history((to / "history.jsonl").read_bytes()) == run.history()
    code, _, error = panal("models", "download", run.name, "--file", "files/other", "--to", str(to / "other"), *hub)
    assert (code, "the storage has no files/other of this run" in error) == (Code.NOT_FOUND, True), error
    assert sorted(each.name for each in to.iterdir()) == ["history.jsonl", "kept-model.safetensors"]
    left = lambda: [p for p in engine.hub.list(kinds.POD, "runs") if "-reading-" in p["metadata"]["name"]]  # noqa: E731
    eventually(lambda: not left(), "the Pod is gone", 30)


def test_the_validation_says_what_the_image_lacks_and_leaves_the_model(run: Run, engine: Containers) -> None:
    """The image of the test has no Jupyter. All four containers of the Job run as on any node, without the storage in the user's."""
    before = run.status()["model"]
    found = eventually(lambda: ended(run), lambda: str(run.status()["conditions"]), 120)
    assert (found["status"], found["reason"]) == ("False", "ValidationFailed"), found
    assert "install nbclient nbconvert ipykernel" in found["message"]
    (pod,) = (each for each in engine.hub.list(kinds.POD, "runs") if each["metadata"]["name"].startswith(f"{names.validation(run.name)}-"))
    containers = [*pod["spec"]["initContainers"], *pod["spec"]["containers"]]
    (notebook,) = (each for each in containers if each["name"] == NOTEBOOK)
    assert "storage" not in [mount["name"] for mount in notebook["volumeMounts"]]
    assert (run.status()["phase"], run.status()["model"]) == ("Completed", before)


def ended(run: Run) -> Object | None:
    found = condition({"status": run.status()}, "Validated")
    return found if found.get("status") in ("True", "False") else None


def test_rounds_and_models_are_shown(panal: Panal, run: Run, engine: Containers) -> None:
    hub = ("--kubeconfig", str(engine.fleet.hub.kubeconfig))
    _, out, _ = panal("history", run.name, "-o", "json", *hub)
    assert [row["round"] for row in json.loads(out)["rounds"]] == [1, 2]
    _, out, _ = panal("history", run.name, "--cluster", "cluster1", *hub)
    assert "KiB" in out
    _, out, _ = panal("models", "list", "-o", "json", *hub)
    assert run.status()["model"] in [each["model"] for each in json.loads(out)]
    _, out, _ = panal("top", "--once", *hub)
    assert "runs/kept-model  Completed" in out
