"""`panal serve` with the real KServe, on real nodes: from the models that runs have stored to HTTP requests that get the digits right.

The tests are one story, in this order. docs/how-to/serve-a-model.md tells it.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from command_line import *  # noqa: F403
from containers import Containers
from inference import Client, Digits, Panal, Serve, serving
from panal.client.problem import Code
from panal.kube import kinds
from panal.kube.objects import holds
from runs import Run
from waiting import eventually

pytestmark = [pytest.mark.real, pytest.mark.nodes]

NS, SERVICE = "mnist", "digits"
HOST = "digits.example.com"
PREDICTOR = "panal/mnist-predictor:0.1.0"
GATEWAY = ("--gateway", "gateways/fl", "--hostname", HOST)
IMAGE = ("--runtime", PREDICTOR, "--content", "model")


@pytest.fixture
def serve(panal: Panal, engine: Containers, runs: dict[str, Run], test_digits: Digits, tmp_path: Path) -> Serve:
    return serving(panal, SERVICE, NS, engine.fleet.hub.kubeconfig, tmp_path / "probe.json", test_digits[0][0])


@pytest.fixture
def client(gateway: str, test_digits: Digits) -> Client:
    return Client(gateway, HOST, SERVICE, *test_digits)


def digest(run: Run) -> str:
    return str(run.status()["model"]["digest"])


def pods(engine: Containers, name: str = SERVICE) -> list[dict[str, Any]]:
    return engine.hub.list(kinds.POD, NS, f"serving.kserve.io/inferenceservice={name}")


def test_1_a_model_that_is_not_good_enough_is_not_served(serve: Serve, engine: Containers) -> None:
    code, _, error = serve("digits", *IMAGE, "--require", "accuracy >= 0.999", "--require", "f1 > 0")
    assert code == Code.GATE, error
    assert "accuracy >= 0.999: it is 0." in error
    assert "there is no such metric; digits has accuracy" in error
    assert engine.hub.list(kinds.INFERENCE_SERVICE, NS) == []


def test_2_the_model_of_a_run_answers(serve: Serve, client: Client, runs: dict[str, Run]) -> None:
    code, found, error = serve("digits", *IMAGE, *GATEWAY, "--require", "accuracy >= 0.5")
    assert code == Code.OK, error
    assert found["proof"]["digest"] == digest(runs["digits"])
    eventually(client.is_reached, "the Gateway leads to the service", 30)  # it has accepted the route, and its Envoy follows
    assert client.ask(client.images[:1]) == (digest(runs["digits"]), client.labels[:1])
    assert client.accuracy() >= 0.85


def test_3_a_version_whose_folder_is_gone_fails_and_the_old_one_answers(
    serve: Serve, client: Client, runs: dict[str, Run], engine: Containers
) -> None:
    """KServe says Ready meanwhile."""
    claim = json.loads(engine.fleet.hub.kubectl("-n", NS, "get", "pvc", "models", "-o", "json"))
    folder = (
        f"/srv/{claim['spec']['volumeName']}/{runs['digits-2'].status()['model']['uri'].removeprefix('pvc://models/').rpartition('/')[0]}"
    )
    engine.fleet.enter("hub", "mv", folder, f"{folder}.away")
    ready = []
    with client.asking(), watching(lambda: ready.append(holds(engine.hub.get(kinds.INFERENCE_SERVICE, NS, SERVICE) or {}, "Ready"))):
        code, _, error = serve("digits-2", *IMAGE)
    engine.fleet.enter("hub", "sh", "-c", f"rm -rf {folder} && mv {folder}.away {folder}")
    assert code == Code.NOT_SERVED, error
    assert "the container kserve-container crashes" in error
    assert "FileNotFoundError" in error
    assert "digits continues with the model of digits" in error
    assert (set(client.seen), client.wrong) == ({digest(runs["digits"])}, [])
    assert all(ready)
    assert len(ready) > 5
    left = lambda: [p["metadata"]["name"] for p in pods(engine) if not holds(p, "Ready")]  # noqa: E731
    eventually(lambda: not left(), lambda: f"the Pods of the version that failed are gone: {left()}", 60)


@contextmanager
def watching(look: Callable[[], Any]) -> Iterator[None]:
    """Looks once a second in the block."""
    over = threading.Event()

    def watch() -> None:
        while not over.wait(1):
            look()

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield
    finally:
        over.set()
        watcher.join()


def test_4_an_image_that_cannot_be_pulled_fails_in_time(serve: Serve, client: Client, runs: dict[str, Run]) -> None:
    began = time.monotonic()
    code, _, error = serve("digits-2", "--runtime", "registry.invalid/none:1", "--wait", "15")
    assert code == Code.NOT_SERVED, error
    assert "does not answer within 15 s" in error
    assert time.monotonic() - began < 60
    assert client.ask(client.images[:1])[0] == digest(runs["digits"])


def test_5_a_better_version_gets_a_share_of_the_requests(serve: Serve, client: Client, runs: dict[str, Run]) -> None:
    code, found, error = serve("digits-2", *IMAGE, "--canary", "30", "--better-than-serving", "accuracy")
    assert code == Code.OK, error
    assert found["canary"]["run"] == "digits-2"
    old, new = digest(runs["digits"]), digest(runs["digits-2"])
    seen = client.count(300)
    assert set(seen) == {old, new}
    assert 50 <= seen[new] <= 130, seen  # 90 are expected; five standard deviations are 40


def test_6_the_canary_replaces_it_without_a_request_that_fails(
    serve: Serve, client: Client, runs: dict[str, Run], engine: Containers
) -> None:
    with client.asking():
        code, found, error = serve("digits-2", "--promote", "--better-than-serving", "accuracy")
        assert code == Code.OK, error
        time.sleep(2)
    assert client.wrong == []
    assert (found["serving"]["run"], found["previous"]["run"], found["canary"]) == ("digits-2", "digits", None)
    assert set(client.count(50)) == {digest(runs["digits-2"])}
    assert client.accuracy() >= 0.85
    assert [each["metadata"]["name"] for each in engine.hub.list(kinds.INFERENCE_SERVICE, NS)] == [SERVICE]


def test_7_a_model_in_a_bucket_is_served_too(serve: Serve, client: Client, runs: dict[str, Run]) -> None:
    with client.asking():
        code, found, error = serve("digits-s3", *IMAGE, "--service-account", "models-reader")
    assert code == Code.OK, error
    assert found["serving"]["uri"].startswith("s3://models/fl/")
    assert found["proof"]["digest"] == digest(runs["digits-s3"])
    assert client.wrong == []
    assert client.ask(client.images[:1])[0] == digest(runs["digits-s3"])


def test_8_the_previous_version_comes_back(serve: Serve, client: Client, runs: dict[str, Run]) -> None:
    code, _, error = serve("digits-s3", "--rollback")
    assert code == Code.OK, error
    assert set(client.count(20)) == {digest(runs["digits-2"])}
    code, _, error = serve("digits-2", "--rollback")
    assert (code, "no version before" in error) == (Code.NOT_FOUND, True), error


def test_9_a_serving_runtime_serves_it_and_everything_goes_with_the_service(
    serve: Serve, client: Client, runs: dict[str, Run], engine: Containers
) -> None:
    """A runtime gets the model's name of the service also in a canary."""
    container = {
        "name": "kserve-container",
        "image": PREDICTOR,
        "args": ["--model_name={{.Name}}", "--model_dir=/mnt/models", "--http_port=8080"],
        "resources": {"requests": {"cpu": "50m", "memory": "64Mi"}, "limits": {"cpu": "1", "memory": "256Mi"}},
    }
    spec = {
        "supportedModelFormats": [{"name": "mnist", "version": "1"}, {"name": "other", "version": "1"}],
        "protocolVersions": ["v2"],
        "containers": [container],
    }
    runtime = {"apiVersion": "serving.kserve.io/v1alpha1", "kind": "ServingRuntime", "metadata": {"name": "numpy", "namespace": NS}}
    engine.fleet.hub.apply(runtime | {"spec": spec})
    code, _, error = serve("digits", "--runtime", "numpy", "--content", "model")
    assert (code, "give one of them with --format" in error) == (Code.REFUSED, True), error
    named = ("--runtime", "numpy", "--format", "mnist", "--content", "model")
    code, _, error = serve("digits", *named)
    assert code == Code.OK, error
    code, _, error = serve("digits-2", *named, "--canary", "50")
    assert code == Code.OK, error
    assert set(client.count(60)) == {digest(runs["digits"]), digest(runs["digits-2"])}
    engine.fleet.hub.kubectl("-n", NS, "delete", "inferenceservice", SERVICE, "--timeout=60s")
    kept = (kinds.INFERENCE_SERVICE, kinds.HTTP_ROUTE)
    left = lambda: [o["metadata"]["name"] for kind in kept for o in engine.hub.list(kind, NS)]  # noqa: E731
    eventually(lambda: not left(), lambda: f"all of the service is gone: {left()}", 60)
    eventually(lambda: engine.hub.get(kinds.CONFIG_MAP, NS, "digits-served") is None, "its state is gone", 60)
