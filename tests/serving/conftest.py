"""A hub and three managed clusters with real nodes, panal, KServe in Standard mode, a Gateway, and three runs whose models are stored.

`make test-serving` builds the images and the environments. The runs are the example's: `digits` with two rounds and `digits-2` with six, on
a volume claim, and `digits-s3` in a bucket. With PANAL_TEST_CLUSTERS=FOLDER the clusters are kept and used again.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import yaml

import clusters
import kserve
from bridge import Bridge, missing_packages
from containers import Containers
from fleet import Fleet, leftovers
from gateway_api import DEMANDED, crd_files, has_address, http_gateway
from inference import Digits
from on_nodes import Network
from routers import SHIFT, Contour
from runs import Run
from s3 import BUCKET, CREDENTIALS, Server, serving

ROOT = Path(__file__).parents[2]
IMAGES, OWN = ROOT / ".cache/images", ROOT / ".cache/serving"
EXAMPLE = ROOT / "examples/mnist"
SITES = ("cluster1", "cluster2", "cluster3")
NS, GATEWAYS = "mnist", "gateways"
HTTP = 80
ON_HUB = [IMAGES / "controller.tar", IMAGES / "jupyter/mnist-jupyter.tar", OWN / "mnist-predictor.tar", OWN / "storage-initializer.tar"]
EVERYWHERE = [IMAGES / f"{name}.tar" for name in ("pod-tools", "gateway", "example-mnist")]
MANY = 300  # digits of the test data that are asked for


def missing() -> list[str]:
    found = ["nodes need root: run the tests as root"] if os.geteuid() else missing_packages()
    return found + [f"no {tar}: `make test-serving` builds it" for tar in (*ON_HUB, *EVERYWHERE) if not tar.exists()]


@pytest.fixture(scope="session")
def fleet() -> Iterator[Fleet]:
    if problems := missing():
        pytest.skip("; ".join(problems))
    kept = os.environ.get("PANAL_TEST_CLUSTERS")
    root = Path(kept).resolve() / "serving" if kept else Path(tempfile.mkdtemp(prefix="panal-serving-"))
    try:
        hub, *spokes = clusters.up(root, len(SITES), nodes=True)
        found = Fleet(root, hub, tuple(spokes))
        clusters.load(root, EVERYWHERE)
        clusters.load(root, ON_HUB, only="hub")
        kserve.start(hub)
        install(found)
        yield found
    finally:
        if not kept:
            clusters.down(root)
            left = leftovers(root)
            shutil.rmtree(root)
            assert not left, left


def install(fleet: Fleet) -> None:
    """panal on the hub, and the digits at the sites, as docs/how-to/real-hub.md does it."""
    hub = fleet.hub
    hub.kubectl("apply", "-f", str(ROOT / "deploy/panal.yaml"))
    hub.kubectl("-n", "panal-system", "rollout", "status", "deployment/panal-controller", "--timeout=120s")
    hub.kubectl("apply", "--server-side", "--field-manager=panal-placements", "-f", str(ROOT / "deploy/all-clusters.yaml"))
    data = fleet.root / "data"
    subprocess.run([sys.executable, EXAMPLE / "split.py", data], check=True, capture_output=True)
    for site in SITES:
        spoke = fleet[site]
        spoke.kubectl("apply", "-f", str(EXAMPLE / "site/volume.yaml"))
        spoke.kubectl("-n", "panal-collaborator", "wait", "--for=condition=Ready", "pod/fill", "--timeout=120s")
        spoke.kubectl("-n", "panal-collaborator", "cp", str(data / site / "train.npz"), "fill:/data/train.npz")
        spoke.kubectl("-n", "panal-collaborator", "delete", "pod", "fill")
        spoke.kubectl("apply", "-f", str(EXAMPLE / "site/claim.yaml"))


@pytest.fixture(scope="session")
def engine(fleet: Fleet) -> Containers:
    return Containers(fleet)


@pytest.fixture(scope="session")
def test_digits(engine: Containers) -> Digits:
    """Images and labels that no site has trained on."""
    with np.load(engine.fleet.root / "data/test.npz") as data:
        return (data["x"][:MANY].reshape(MANY, 784) / 255).round(4).tolist(), data["y"][:MANY].tolist()


@pytest.fixture(scope="session", autouse=True)
def nothing_is_left(fleet: Fleet) -> None:
    """Of an earlier time, where clusters are kept: the bucket is another one then."""
    fleet.hub.kubectl("-n", NS, "delete", "inferenceservice,fl", "--all", "--timeout=120s")


@pytest.fixture(scope="session")
def bucket(fleet: Fleet, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A real S3 server at an address that Pods reach, and what panal and KServe need for it: a Secret, and a ServiceAccount with it."""
    with serving(tmp_path_factory.mktemp("s3"), host=f"{Bridge(fleet.root).prefix}.1") as found:
        annotations = {
            "serving.kserve.io/s3-endpoint": found.url.removeprefix("http://"),
            "serving.kserve.io/s3-usehttps": "0",
            "serving.kserve.io/s3-region": "us-east-1",
            "serving.kserve.io/s3-useanoncredential": "false",
        }
        fleet.hub.namespaces(NS)
        name = {"name": "models-s3", "namespace": NS}
        fleet.hub.apply(
            {"apiVersion": "v1", "kind": "Secret", "metadata": {**name, "annotations": annotations}, "stringData": CREDENTIALS},
            {
                "apiVersion": "v1",
                "kind": "ServiceAccount",
                "metadata": {**name, "name": "models-reader"},
                "secrets": [{"name": "models-s3"}],
            },
        )
        yield found


@pytest.fixture(scope="session")
def runs(engine: Containers, bucket: Server) -> dict[str, Run]:
    """Completed."""
    template = yaml.safe_load((EXAMPLE / "hub/run.yaml").read_text())
    in_bucket = {"type": "S3Bucket", "s3": {"bucketName": BUCKET, "prefix": "fl", "endpoint": bucket.url, "secretName": "models-s3"}}
    found = {}
    for name, rounds, storage in (("digits", 2, None), ("digits-2", 6, None), ("digits-s3", 4, in_bucket)):
        spec = template["spec"]
        server = spec["server"] | {"rounds": rounds, "minAvailableClients": len(SITES)} | ({"storage": storage} if storage else {})
        metadata = {"name": name, "namespace": NS}
        made = engine.hub.apply(template | {"metadata": metadata, "spec": spec | {"server": server}})
        found[name] = Run(engine, NS, name, made["metadata"]["uid"])
    for run in found.values():
        run.until_ended("Completed", 600)
    return found


@pytest.fixture(scope="session")
def gateway(fleet: Fleet, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The base URL of a Gateway for plain HTTP, which Contour implements."""
    hub = fleet.hub
    files = [word for path in (*crd_files(), kserve.http_route_crd()) for word in ("-f", str(path))]
    hub.kubectl("apply", "--server-side", *files)
    hub.apply(*(crd for crd in DEMANDED if crd["spec"]["names"]["kind"] != "HTTPRoute"))
    hub.kubectl("wait", "--for=condition=Established", "crd", "--all", "--timeout=60s")
    hub.namespaces(GATEWAYS)
    made = http_gateway(GATEWAYS, HTTP)
    hub.apply(*made)
    has_address(hub, GATEWAYS, hub.ip)
    contour = Contour(
        tmp_path_factory.mktemp("contour"), hub.kubeconfig, (GATEWAYS, made[1]["metadata"]["name"]), Network.of_machine(fleet, "hub")
    )
    try:
        contour.start()
        yield f"http://{hub.ip}:{HTTP + SHIFT}"
    finally:
        contour.stop()
