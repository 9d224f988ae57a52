"""examples/mnist/notebooks/jupyter.yaml, judged by a real API server in a namespace that enforces the restricted Pod Security Standard."""

import copy
import json
from pathlib import Path

import pytest
import yaml

from cluster import Cluster

pytestmark = pytest.mark.real

MANIFEST = Path(__file__).parents[2] / "examples/mnist/notebooks/jupyter.yaml"


@pytest.fixture(scope="module")
def restricted(hub_api: Cluster):
    labels = {"pod-security.kubernetes.io/enforce": "restricted", "pod-security.kubernetes.io/warn": "restricted"}
    hub_api.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "mnist", "labels": labels}})
    yield hub_api
    hub_api.kubectl("delete", "namespace", "mnist", "--timeout=60s")


def pod(**changes) -> str:
    """The Deployment's Pod, on its own: Pod Security refuses Pods, and only warns of a Deployment."""
    template = copy.deepcopy(next(yaml.safe_load_all(MANIFEST.read_text()))["spec"]["template"])
    template["spec"] |= changes
    metadata = template["metadata"] | {"name": "jupyter", "namespace": "mnist"}
    return json.dumps({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": template["spec"]})


def test_every_field_of_the_manifest_is_known_and_valid(restricted: Cluster) -> None:
    restricted.kubectl("apply", "--server-side", "--validate=strict", "-f", str(MANIFEST))
    found = restricted.kubectl("get", "deployment/jupyter", "networkpolicy/jupyter", "-n", "mnist", "-o", "name").split()
    assert found == ["deployment.apps/jupyter", "networkpolicy.networking.k8s.io/jupyter"]


def test_the_pod_is_admitted_by_the_restricted_standard(restricted: Cluster) -> None:
    create = ("create", "--dry-run=server", "--validate=strict", "-o", "name", "-f", "-")
    assert restricted.kubectl(*create, stdin=pod()).strip() == "pod/jupyter"
    with pytest.raises(RuntimeError, match="restricted"):
        restricted.kubectl(*create, stdin=pod(hostNetwork=True))
