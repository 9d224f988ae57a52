"""A bucket and a folder of the node as storage, on real API servers and real Open Cluster Management, with panal's own nodes."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine import Engine
from kubernetes import Kubernetes
from panal.kube import kinds
from runs import apply
from storage_suite import *  # noqa: F403

pytestmark = [pytest.mark.real, pytest.mark.flower]


@pytest.fixture(scope="module")
def engine(kubernetes: Kubernetes) -> Kubernetes:
    return kubernetes


@pytest.mark.parametrize("level", ["baseline", "restricted"])
def test_a_folder_of_the_node_is_refused_where_pod_security_forbids_it(engine: Engine, tmp_path: Path, level: str) -> None:
    name = f"secure-{level}"
    engine.hub.make_namespace(name)
    engine.hub.label(kinds.NAMESPACE, name, **{"pod-security.kubernetes.io/enforce": level})
    storage = {"type": "HostPath", "path": str(tmp_path / "models")}
    run = apply(engine, name, "folder", clusters=["cluster1"], server={"storage": storage})
    status = run.until_ended("Failed", 120)
    assert run.reason() == "PodNotCreated", run.story()
    assert (
        f"spec.server.storage.type: HostPath is refused where the pod security of namespace {name} is baseline or restricted"
        in status["message"]
    )
    run.delete()
    engine.hub.delete(kinds.NAMESPACE, "", name)
