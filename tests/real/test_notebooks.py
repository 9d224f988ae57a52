"""The Jupyter for a hub, and the Job that validates a model, judged by a real API server in a namespace that enforces the restricted Pod
Security Standard."""

import copy
import json
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from cluster import Cluster
from panal.lifecycle.decide import decide
from worlds import NOW, applied, done, run, status_after

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


def test_the_job_of_a_validation_is_valid_and_its_pod_is_admitted(restricted: Cluster) -> None:
    spec = {"image": "example/validate:1", "env": [{"name": "A", "value": "b"}], "resources": {"limits": {"memory": "1Gi"}}}
    before = done(run=run(done().run.status, validation=spec))
    (job,) = applied(decide(replace(before, run=run(status_after(before), validation=spec)), NOW), "Job")
    job["metadata"] = {"name": job["metadata"]["name"], "namespace": "mnist"}
    create = ("create", "--dry-run=server", "--validate=strict", "-o", "name", "-f", "-")
    assert restricted.kubectl(*create, stdin=json.dumps(job)).strip() == "job.batch/digits-validation"
    template = job["spec"]["template"]
    alone = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "digits", "namespace": "mnist"}, "spec": template["spec"]}
    assert restricted.kubectl(*create, stdin=json.dumps(alone)).strip() == "pod/digits"
