"""Nodes for Pods, and volumes for claims."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from panal.kube.objects import Object
from panal_local.controllers import scheduler, volumes

READY = {"type": "Ready", "status": "True"}


def node(name: str = "n", ready: bool = True, labels: dict[str, str] | None = None, **spec: Any) -> Object:
    status = {"conditions": [READY if ready else {"type": "Ready", "status": "False"}], "allocatable": {"cpu": "2"}}
    return {"metadata": {"name": name, "labels": labels or {}}, "spec": spec, "status": status}


def pod(**spec: Any) -> Object:
    return {"metadata": {"name": "p", "namespace": "ns"}, "spec": {"containers": [{"name": "c"}]} | spec}


TAINT = {"key": "k", "value": "v", "effect": "NoSchedule"}
CLAIM = {"volumes": [{"name": "v", "persistentVolumeClaim": {"claimName": "data"}}]}
GPU = {"containers": [{"name": "c", "resources": {"requests": {"nvidia.com/gpu": "1"}}}]}


@pytest.mark.parametrize(
    ("wish", "nodes", "words"),
    [
        (pod(), [], "no nodes available"),
        (pod(), [node(ready=False)], "0/1 nodes are available: 1 node(s) had untolerated taint"),
        (pod(), [node(unschedulable=True)], "unschedulable"),
        (pod(nodeSelector={"disk": "ssd"}), [node(), node("m", labels={"disk": "hdd"})], "0/2 nodes are available: 2 node(s) didn't match"),
        (pod(affinity={"nodeAffinity": {"x": {}}}), [node()], "which do not evaluate spec.affinity.nodeAffinity (use nodeSelector)"),
        (pod(), [node(taints=[TAINT])], "untolerated taint"),
        (pod(tolerations=[{"key": "k", "value": "other"}]), [node(taints=[TAINT])], "untolerated taint"),
        (pod(**GPU), [node()], "Insufficient nvidia.com/gpu"),
        (pod(**CLAIM), [node()], 'persistentvolumeclaim "data" not found'),
    ],
)
def test_a_pod_that_fits_no_node_gets_a_reason(wish: Object, nodes: list[Object], words: str) -> None:
    verdict = scheduler.decide(wish, nodes, {})
    assert verdict.node == ""
    assert words in verdict.message


@pytest.mark.parametrize(
    "wish",
    [
        pod(),
        pod(nodeSelector={"disk": "ssd"}),
        pod(tolerations=[{"operator": "Exists"}]),
        pod(tolerations=[{"key": "k", "value": "v", "effect": "NoSchedule"}]),
        pod(**CLAIM),
    ],
)
def test_a_pod_gets_the_first_node_that_fits(wish: Object) -> None:
    tolerant = "tolerations" in wish["spec"]
    nodes = [node("z", labels={"disk": "ssd"}), node("a", labels={"disk": "ssd"}, taints=[TAINT] if tolerant else [])]
    assert scheduler.decide(wish, nodes, {"data": {"status": {"phase": "Bound"}}}).node == "a"


def test_a_pod_waits_for_an_unbound_claim() -> None:
    assert "unbound" in scheduler.decide(pod(**CLAIM), [node()], {"data": {"status": {"phase": "Pending"}}}).message


def claim(size: str = "1Gi", **spec: Any) -> Object:
    rest = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": size}}} | spec
    return {"metadata": {"name": "c", "namespace": "ns", "uid": "cu"}, "spec": rest}


def volume(name: str, size: str = "2Gi", **spec: Any) -> Object:
    rest = {"capacity": {"storage": size}, "accessModes": ["ReadWriteOnce"], "storageClassName": "mine"} | spec
    return {"metadata": {"name": name}, "spec": rest}


def test_a_claim_of_the_default_class_gets_a_folder(tmp_path: Path) -> None:
    bound = volumes.decide(claim(storageClassName="local"), [], tmp_path)
    assert bound is not None
    assert bound.make
    assert bound.volume["spec"]["hostPath"]["path"] == str(tmp_path / "pvc-cu")
    assert volumes.is_ours(bound.volume)


@pytest.mark.parametrize(
    ("wish", "name"),
    [
        (claim(storageClassName="mine"), "small"),
        (claim("3Gi", storageClassName="mine"), "big"),
        (claim(volumeName="big"), "big"),
        (claim(volumeName="absent"), None),
        (claim("99Gi", storageClassName="mine"), None),
        (claim("3e9", storageClassName="mine"), "big"),
        (claim("1Pi", storageClassName="mine"), None),
        (claim(storageClassName="other"), None),
        (claim(storageClassName="mine", accessModes=["ReadWriteMany"]), None),
    ],
)
def test_a_claim_gets_the_smallest_volume_that_fits(wish: Object, name: str | None, tmp_path: Path) -> None:
    known = [volume("big", "10Gi"), volume("small"), volume("taken", claimRef={"namespace": "ns", "name": "x", "uid": "xu"})]
    bound = volumes.decide(wish, known, tmp_path)
    assert (bound.volume["metadata"]["name"] if bound else None) == name


def test_a_reserved_volume_is_bound_to_its_claim(tmp_path: Path) -> None:
    reserved = volume("reserved", "50Gi", claimRef={"namespace": "ns", "name": "c"})
    bound = volumes.decide(claim(storageClassName="mine"), [volume("small"), reserved], tmp_path)
    assert bound is not None
    assert bound.volume["metadata"]["name"] == "reserved"
