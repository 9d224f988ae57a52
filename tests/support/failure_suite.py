"""Every run ends Completed or Failed, with a reason and a remedy: one run for each kind of failure, side by side, on every engine.

A module of tests takes them with `from failure_suite import *` and has a fixture `engine`.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from engine import Engine
from panal.kube import kinds
from panal.lifecycle.reasons import REMEDY, Reason
from panal.pod.tools.flower.codes import FlowerEnding
from panal.runtimes.flower.remedies import REMEDIES
from runs import APP_IMAGE, Run, apply
from waiting import eventually

NS = "failures"
PARTIAL_IMAGE = "panal/test-app:partial"  # on the hub and, where clusters have stores of their own, on cluster1
TAKEN = 30999
ALL_REMEDIES = {**REMEDY, **REMEDIES}


def raising(where: str) -> dict[str, Any]:
    return {"env": [{"name": "STEPS_RAISES_ON", "value": where}]}


@dataclass(frozen=True)
class Failure:
    """What is asked for, and how it has to end; every one of `words` is in the message."""

    reason: Reason | FlowerEnding
    words: tuple[str, ...]
    clusters: list[str] = field(default_factory=lambda: ["cluster1", "cluster2"])
    server: dict[str, Any] = field(default_factory=dict)
    client: dict[str, Any] = field(default_factory=dict)
    spec: dict[str, Any] = field(default_factory=dict)


FAILURES: dict[str, Failure] = {
    "image-on-one": Failure(
        Reason.IMAGE_PULL_FAILED,
        ("collaborators connected", "cluster2: image panal/test-app:partial"),
        server={"quorumTimeoutSeconds": 75},
        client={"image": PARTIAL_IMAGE},
    ),
    "image-on-hub": Failure(
        Reason.IMAGE_PULL_FAILED, ("hub: image", "panal/nothing:1"), server={"image": "panal/nothing:1", "quorumTimeoutSeconds": 75}
    ),
    "data-claim": Failure(
        Reason.DATA_NOT_FOUND,
        ("cluster1:", '"absent" not found'),
        clusters=["cluster1"],
        server={"quorumTimeoutSeconds": 75},
        client={"dataClaim": "absent.example.com"},
    ),
    "data-unnamed": Failure(
        Reason.DATA_NOT_FOUND,
        ("cluster2 has no ClusterClaim absent.example.com",),
        clusters=["cluster2"],
        server={"quorumTimeoutSeconds": 75},
        client={"dataClaim": "absent.example.com"},
    ),
    "data-malformed": Failure(
        Reason.DATA_LOCATION_INVALID,
        ("ClusterClaim malformed.example.com of cluster1", "pvc://"),
        clusters=["cluster1"],
        server={"quorumTimeoutSeconds": 75},
        client={"dataClaim": "malformed.example.com"},
    ),
    "no-node": Failure(
        Reason.UNSCHEDULABLE,
        ("cluster3:", "node(s) didn't match"),
        clusters=["cluster3"],
        server={"quorumTimeoutSeconds": 75},
        client={"nodeSelector": {"gpu": "yes"}},
    ),
    "server-raises": Failure(
        Reason.SERVER_APP_FAILED, (), clusters=["cluster3"], server={"env": [{"name": "STEPS_MODE", "value": "server-raises"}]}
    ),
    "clients-raise": Failure(
        Reason.ALL_COLLABORATORS_FAILED, ("ValueError",), clusters=["cluster3", "cluster4"], client=raising("everywhere")
    ),
    "one-raises": Failure(Reason.QUORUM_LOST, ("cluster4", "ValueError"), clusters=["cluster3", "cluster4"], client=raising("cluster4")),
    "no-flower": Failure(
        FlowerEnding.FLOWER_NOT_SUPPORTED,
        ("holds no Flower", "install flwr=="),
        clusters=["cluster4"],
        server={"image": "panal/pod-tools:0.1.0"},
    ),
    "deadline": Failure(
        Reason.DEADLINE_EXCEEDED,
        ("activeDeadlineSeconds (15)", "2 needed"),
        clusters=["cluster1", "nowhere"],
        spec={"activeDeadlineSeconds": 15},
    ),
    "framework": Failure(Reason.RUNTIME_NOT_SUPPORTED, ("spec.framework",), spec={"framework": "fate"}),
    "port-taken": Failure(
        Reason.OBJECT_REFUSED,
        ("Service port-taken-aggregator", "already allocated"),
        server={"listeners": [{"name": "main", "type": "NodePort", "port": TAKEN}]},
    ),
    "bucket": Failure(
        Reason.STORAGE_UNUSABLE,
        ("spec.server.storage.s3.caBundle", "ConfigMap absent"),
        server={"storage": {"type": "S3Bucket", "s3": {"bucketName": "models", "caBundle": {"name": "absent"}}}},
    ),
}


@pytest.fixture(scope="module")
def failing(engine: Engine) -> Iterator[dict[str, Run]]:
    """All of them at once: most of their time is waiting."""
    engine.tag(APP_IMAGE, PARTIAL_IMAGE, ["hub", "cluster1"])
    claims = {"absent.example.com": "pvc://absent", "malformed.example.com": "s3://bucket"}
    for name, value in claims.items():
        body = {"apiVersion": kinds.CLUSTER_CLAIM.api_version, "kind": "ClusterClaim", "metadata": {"name": name}, "spec": {"value": value}}
        engine.spoke("cluster1").apply(body)
    engine.hub.make_namespace(NS)
    spec = {"type": "NodePort", "ports": [{"port": 80, "nodePort": TAKEN}]}
    engine.hub.apply({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "other", "namespace": NS}, "spec": spec})
    eventually(lambda: claims.keys() <= known_claims(engine, "cluster1"), "the hub knows the claims", 30)
    yield {name: apply(engine, NS, name, clusters=f.clusters, server=f.server, client=f.client, **f.spec) for name, f in FAILURES.items()}
    for name in claims:
        engine.spoke("cluster1").delete(kinds.CLUSTER_CLAIM, "", name)
    engine.hub.delete(kinds.NAMESPACE, "", NS)
    eventually(lambda: engine.hub.get(kinds.NAMESPACE, "", NS) is None, "the namespace is gone", 120)


def known_claims(engine: Engine, cluster: str) -> set[str]:
    status = (engine.hub.get(kinds.MANAGED_CLUSTER, "", cluster) or {}).get("status", {})
    return {c["name"] for c in status.get("clusterClaims") or ()}


@pytest.mark.parametrize("name", FAILURES)
def test_a_failure_ends_the_run_with_reason_and_remedy(failing: dict[str, Run], name: str) -> None:
    run, failure = failing[name], FAILURES[name]
    status = run.until_ended("Failed", 240)
    assert run.reason() == failure.reason, run.story()
    for words in (*failure.words, ALL_REMEDIES[failure.reason]):
        assert words in status["message"]
    assert ("Warning", failure.reason) in [e[:2] for e in run.events()]
    run.until_cleaned()


def test_what_a_site_said_in_an_exception_stays_at_the_site(failing: dict[str, Run]) -> None:
    run = failing["clients-raise"]
    run.until_ended("Failed", 240)
    assert "patient 4711" not in run.story()


def test_an_api_server_that_is_away_changes_nothing(engine: Engine) -> None:
    """For 10 s, in the middle of the training."""
    run = apply(engine, "runs", "weather", clusters=["cluster1", "cluster2"], server={"rounds": 3})
    run.until_running()
    with engine.without_api():
        time.sleep(10)  # the length of the outage
    status = run.until_ended("Completed")
    assert status["rounds"]["summary"] == "3/3"
    run.until_cleaned()  # agents come back later than the API server; one that is waited for in vain leaves its collaborator behind
    run.delete()
