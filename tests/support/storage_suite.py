"""Runs that store their model elsewhere than on a volume claim: the same tests on the engines whose Pods are processes of this machine.

A module of tests takes them all with `from storage_suite import *`, and has a fixture `engine` (see `engine.Engine`).
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterator
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509

from certificates import SERVER_AUTH, authority
from engine import Engine
from panal.kube import kinds
from runs import Run, apply
from s3 import ACCESS, BUCKET, CREDENTIALS, SECRET, Server, program, serving

NS = "stores"
SLOW = {"env": [{"name": "STEPS_SECONDS", "value": "4"}]}


@pytest.fixture(scope="module")
def server(engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """With TLS, and a namespace on the hub that has its credentials and its authority."""
    if not program().is_file():
        pytest.skip("no versitygw: set KUBEBUILDER_ASSETS to the folder of the programs (docs/design/testing.md)")
    folder = tmp_path_factory.mktemp("s3")
    trusted = authority("test")
    pair = trusted.issue("s3", x509.IPAddress(ip_address("127.0.0.1")), usages=[SERVER_AUTH])
    (folder / "ca.crt").write_bytes(trusted.certificate)
    (folder / "tls.crt").write_bytes(pair.certificate)
    (folder / "tls.key").write_bytes(pair.key)
    engine.hub.make_namespace(NS)
    data = {name: base64.b64encode(value.encode()).decode() for name, value in CREDENTIALS.items()}
    engine.hub.apply({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "models-s3", "namespace": NS}, "data": data})
    bundle = {"ca.crt": trusted.certificate.decode()}
    engine.hub.apply({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "s3-ca", "namespace": NS}, "data": bundle})
    tls = ("--cert", str(folder / "tls.crt"), "--key", str(folder / "tls.key"))
    with serving(folder, *tls, scheme="https", authorities=str(folder / "ca.crt")) as found:
        yield found
    engine.hub.delete(kinds.NAMESPACE, "", NS)


def in_bucket(server: Server, **other: object) -> dict[str, object]:
    s3 = {"bucketName": BUCKET, "prefix": "fl", "endpoint": server.url, "secretName": "models-s3", "caBundle": {"name": "s3-ca"}}
    return {"type": "S3Bucket", "s3": {**s3, **other}}


def stored(run: Run, folder: Path, uri: str) -> None:
    """What the status says is in `folder`, which is that of the model."""
    model = run.status()["model"]
    assert model["uri"] == f"{uri}/model.safetensors"
    assert model["digest"] == f"sha256:{hashlib.sha256((folder / 'model.safetensors').read_bytes()).hexdigest()}"
    metadata = json.loads((folder / "metadata.json").read_text())
    assert metadata["clusters"] == {"cluster1": [1, 2, 3, 4]}
    assert metadata["model"]["uri"] == model["uri"]
    (kept,) = metadata["files"]["list"]
    assert kept["sha256"] == hashlib.sha256((folder / "files/final.npy").read_bytes()).hexdigest()
    assert not (folder / "checkpoints").exists() or not list((folder / "checkpoints").iterdir())


def suspended_and_resumed(run: Run) -> None:
    """It goes on after the last round that its storage has."""
    run.until(lambda s: s.get("rounds", {}).get("checkpoint", 0) >= 1, "a checkpoint")
    run.patch(suspend=True)
    run.until(lambda s: s.get("phase") == "Waiting", "Waiting", 30)
    run.until_cleaned()
    run.patch(suspend=False)
    rounds = run.until_ended("Completed")["rounds"]
    assert (rounds["summary"], rounds["resumed"] >= 1) == ("4/4", True)


def test_a_run_is_stored_in_a_bucket_and_goes_on_from_there(engine: Engine, server: Server) -> None:
    run = apply(engine, NS, "bucket", clusters=["cluster1"], server={"rounds": 4, "storage": in_bucket(server)}, client=SLOW)
    suspended_and_resumed(run)
    key = f"fl/{NS}/bucket/{run.uid}"
    stored(run, server.root / BUCKET / key, f"s3://{BUCKET}/{key}")
    assert server.uploads(key) == []
    assert SECRET not in run.story()
    assert ACCESS not in run.story()
    run.delete()
    assert "model.safetensors" in server.objects(key)


def test_a_run_is_stored_in_a_folder_of_the_node(engine: Engine, server: Server, tmp_path: Path) -> None:
    storage = {"type": "HostPath", "path": str(tmp_path / "models")}
    run = apply(engine, NS, "folder", clusters=["cluster1"], server={"rounds": 4, "storage": storage}, client=SLOW)
    suspended_and_resumed(run)
    folder = tmp_path / "models" / NS / "folder" / run.uid
    stored(run, folder, f"file://{folder}")
    run.delete()


def test_a_bucket_that_cannot_be_used_ends_the_run_before_its_first_round(engine: Engine, server: Server) -> None:
    absent = in_bucket(server, bucketName="absent")
    run = apply(engine, NS, "absent", clusters=["cluster1"], server={"storage": absent})
    status = run.until_ended("Failed", 120)
    assert run.reason() == "StorageUnusable", run.story()
    assert f"spec.server.storage.s3.bucketName: there is no bucket absent at {server.url}; create it" in status["message"]
    run.delete()


def test_a_secret_may_come_later(engine: Engine, server: Server) -> None:
    later = in_bucket(server, secretName="later")
    run = apply(engine, NS, "later", clusters=["cluster1"], server={"rounds": 1, "storage": later})
    said = "spec.server.storage.s3.secretName: hub: the aggregator's container reporter: CreateContainerConfigError"
    run.until(lambda s: said in s.get("message", ""), "the missing Secret is named", 90)
    data = {name: base64.b64encode(value.encode()).decode() for name, value in CREDENTIALS.items()}
    engine.hub.apply({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "later", "namespace": NS}, "data": data})
    run.until_ended("Completed")
    run.delete()
