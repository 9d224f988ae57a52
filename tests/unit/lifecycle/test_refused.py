"""Which fields of a run an API server's message about one of its objects is about. The messages are those of Kubernetes 1.34."""

from __future__ import annotations

from dataclasses import replace

import pytest

from panal.api.types import Phase
from panal.lifecycle.refused import by_a_cluster, fields
from panal.lifecycle.world import Refusal
from worlds import fresh, reason_of, remedy, status_after

JOB = 'Job.batch "digits-aggregator" is invalid: '
TWICE = "[spec.template.spec.containers[0].env[12].name: Invalid value, spec.template.spec.initContainers[3].env[12].name: Invalid value]"
FIELDS: list[tuple[str, str, list[str]]] = [
    ("Job", JOB + TWICE, ["spec.server.env"]),
    ("Job", JOB + "spec.template.spec.initContainers[3].resources.limits[gpu]: Invalid value", ["spec.server.resources"]),
    ("Job", JOB + "spec.template.spec.initContainers[3].resources: Forbidden: HugePages require cpu", ["spec.server.resources"]),
    (
        "Job",
        JOB + "[spec.template.spec.nodeSelector: Invalid value, spec.template.spec.tolerations[0].key: Invalid value]",
        ["spec.server.nodeSelector", "spec.server.tolerations"],
    ),
    ("Job", 'jobs.batch is forbidden: exceeded quota: "env"', []),
    ("Job", JOB + "spec.template.spec.volumes[3].name: Invalid value", []),
    ("Job", JOB + 'spec.template.spec.volumes[3].name: Invalid value: "env"', []),
    ("PersistentVolumeClaim", "metadata.name: Invalid value", ["spec.server.storage.name"]),
    ("PersistentVolumeClaim", "spec.resources[storage]: Invalid value", ["spec.server.storage.size"]),
    ("Service", "spec.ports[0].nodePort: Invalid value: 30001: provided port is already allocated", ["spec.server.listeners[0].port"]),
    ("Placement", "spec.tolerations[0].key: Invalid value", ["spec.client.placement.tolerations[0].key"]),
    ("Placement", 'admission webhook denied the request: "spec"', []),
    ("ManagedClusterSetBinding", "metadata.name: Invalid value", ["spec.client.placement.clusterSets"]),
    ("ConfigMap", "metadata.name: Invalid value", []),
]


@pytest.mark.parametrize(("kind", "message", "expected"), FIELDS)
def test_the_fields_that_a_message_is_about(kind: str, message: str, expected: list[str]) -> None:
    assert fields(kind, message) == expected


def test_a_run_whose_job_is_refused_names_the_field() -> None:
    refusal = Refusal("Job", "ns", "digits-aggregator", JOB + TWICE, invalid=True)
    status = status_after(replace(fresh(), refused=(refusal,)))
    assert (status.phase, reason_of(status)) == (Phase.FAILED, "ObjectRefused")
    assert status.message.startswith("spec.server.env: the hub refuses Job digits-aggregator: ")
    assert status.message.endswith(remedy("ObjectRefused"))


def test_only_the_settings_of_a_collaborator_are_those_of_the_run() -> None:
    assert by_a_cluster("spec.template.spec.tolerations[0].key: Invalid value").startswith("spec.client.tolerations: ")
    assert by_a_cluster("statefulsets.apps is forbidden") == ""
