"""`panal doctor`: each fault of a hub is found, named with its remedy, and found only when it is there."""

from __future__ import annotations

import json
from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from panal.api import names
from panal.cli.checks import ADDONS, CHECKS, LEASE, NEEDED, Finding, Hub, Reach, State, examine, shortened
from panal.kube import kinds
from panal.kube.kinds import Kind
from panal.kube.objects import Object
from panal.kube.times import from_time, to_micro_time, to_time

NOW = from_time("2026-06-01T12:00:00Z")
SYSTEM = names.SYSTEM_NAMESPACE
RUN = "mnist/digits"
SERVER = names.server_name("digits", "mnist")


def at(**ago: float) -> str:
    return to_time(NOW - timedelta(**ago))


def obj(name: str, namespace: str = "", conditions: dict[str, str] | None = None, **more: Any) -> Object:
    status = {"conditions": [{"type": t, "status": s, "reason": "Why", "message": "as it says"} for t, s in (conditions or {}).items()]}
    return {
        "metadata": {"name": name, "namespace": namespace} | more.pop("metadata", {}),
        "status": status | more.pop("status", {}),
        **more,
    }


def lease(namespace: str, name: str, renewed: str, written: str = "", holder: str = "pod-1") -> Object:
    metadata = {
        "managedFields": [
            {"manager": "kubectl", "time": to_time(NOW), "fieldsV1": {}},
            {"manager": "m", "time": written, "fieldsV1": {"f:spec": {"f:renewTime": {}}}},
        ]
        if written
        else []
    }
    return obj(name, namespace, metadata=metadata, spec={"holderIdentity": holder, "leaseDurationSeconds": 30, "renewTime": renewed})


def certificates(*ends: timedelta) -> dict[str, Any]:
    found = [{"serial": "a1", "notBefore": at(hours=20), "notAfter": to_time(NOW + end)} for end in ends]
    return {"annotations": {names.ANNOTATION_CERTIFICATES: json.dumps(found)}}


def cluster(name: str) -> Object:
    holds = {"ManagedClusterJoined": "True", "ManagedClusterConditionAvailable": "True"}
    claims = [{"name": name} for name in ("id.k8s.io", "region", *(f"claim{n}" for n in range(15)))]
    return obj(name, "", holds, spec={"hubAcceptsClient": True}, status={"clusterClaims": claims})


def healthy() -> Hub:
    run_ = {"client": {"placement": {"clusterSets": ["default"]}}}
    objects: dict[Kind, list[Object] | str] = {
        kinds.MANAGED_CLUSTER: [cluster("c1"), cluster("c2")],
        kinds.CLUSTER_MANAGER: [obj("cluster-manager", spec={"registrationImagePullSpec": "registration:v1.2.1"})],
        kinds.CLUSTER_MANAGEMENT_ADDON: [obj(names.ADDON)],
        kinds.MANAGED_CLUSTER_ADDON: [
            obj(names.ADDON, c, {"Available": "True"}, metadata=certificates(timedelta(hours=4))) for c in ("c1", "c2")
        ],
        kinds.MANAGED_CLUSTER_SET_BINDING: [obj("default", "mnist", {"Bound": "True"}, spec={"clusterSet": "default"})],
        kinds.FEDERATED_LEARNING: [
            obj("digits", "mnist", status={"phase": "Running"}, spec=run_),
            obj("before", "elsewhere", status={"phase": "Completed"}, spec=run_),
        ],
        kinds.STORAGE_CLASS: [obj("fast", metadata={"annotations": {"storageclass.kubernetes.io/is-default-class": "true"}})],
        kinds.LEASE: [
            lease(SYSTEM, names.CONTROLLER_LEASE, to_micro_time(NOW - timedelta(seconds=3))),
            lease("c1", LEASE, to_micro_time(NOW - timedelta(seconds=40)), at(seconds=41)),
            lease("c2", LEASE, to_micro_time(NOW - timedelta(seconds=9)), at(seconds=8)),
        ],
        kinds.DEPLOYMENT: [
            obj(
                names.CONTROLLER,
                SYSTEM,
                spec={"replicas": 1, "template": {"spec": {"containers": [{"image": "panal/controller:0.1.0"}]}}},
                status={"readyReplicas": 1},
            )
        ],
    }
    served = frozenset({*NEEDED, *ADDONS, *objects})
    reached = [Reach(RUN, "main", "10.0.0.1:30001", SERVER, (SERVER,))]
    return Hub("v1.34.4", SYSTEM, NOW, served, objects, reached=reached)


def bad(found: list[Finding]) -> list[Finding]:
    return [each for each in found if each.state is not State.OK]


def test_a_hub_without_faults_has_no_findings_but_what_is_well() -> None:
    found = examine(healthy())
    assert bad(found) == []
    assert {each.check for each in found} == set(CHECKS) - {"claims"}  # it only speaks of clusters with too many


Change = Callable[[dict[Kind, Any]], Any]


def lacking(*unserved: Kind) -> Callable[[Hub], Hub]:
    return lambda hub: replace(hub, served=hub.served - set(unserved))


def changed(change: Change) -> Callable[[Hub], Hub]:
    def apply(hub: Hub) -> Hub:
        objects = deepcopy(dict(hub.objects))
        change(objects)
        return replace(hub, objects=objects)

    return apply


def without(kind: Kind) -> Callable[[Hub], Hub]:
    return changed(lambda objects: objects.update({kind: []}))


def leases(*more: Object, own: bool = True) -> Callable[[Hub], Hub]:
    return changed(lambda objects: objects.update({kinds.LEASE: [*objects[kinds.LEASE][0 if own else 1 :], *more]}))


def condition(kind: Kind, type_: str) -> Callable[[Hub], Hub]:
    def fail(objects: dict[Kind, Any]) -> None:
        (one,) = (c for c in objects[kind][0]["status"]["conditions"] if c["type"] == type_)
        one["status"] = "False"

    return changed(fail)


def setting(kind: Kind, **fields: Any) -> Callable[[Hub], Hub]:
    """Sets fields of the first object, by their paths with `__`."""

    def set_fields(objects: dict[Kind, Any]) -> None:
        for path, value in fields.items():
            *way, last = path.split("__")
            at = objects[kind][0]
            for word in way:
                at = at[word]
            at[last] = value

    return changed(set_fields)


def reached(**told: Any) -> Callable[[Hub], Hub]:
    return lambda hub: replace(hub, reached=[replace(hub.reached[0], **told)])


GATES = {"featureGates": [{"feature": "AddonManagement", "mode": "Disable"}]}
CLAIMS = [{"name": f"claim{n}"} for n in range(18)]
FORMER = lease("former", names.FORMER_LEASE, to_micro_time(NOW))
FAULTS: dict[str, tuple[Callable[[Hub], Hub], str, State, str, str]] = {
    "old": (lambda hub: replace(hub, version="v1.29.9"), "kubernetes", State.PROBLEM, "", "has Kubernetes v1.29.9; panal needs 1.30"),
    "odd": (lambda hub: replace(hub, version="next"), "kubernetes", State.UNKNOWN, "", "not a version of Kubernetes"),
    "no OCM": (lacking(*NEEDED), "open cluster management", State.PROBLEM, "", "does not have managedclusters.cluster"),
    "no add-ons": (lacking(*ADDONS), "open cluster management", State.PROBLEM, "", "so no cluster gets a certificate"),
    "gate": (
        setting(kinds.CLUSTER_MANAGER, spec__addOnManagerConfiguration=GATES),
        "open cluster management", State.PROBLEM, "", "the feature gate AddonManagement is disabled",
    ),
    "no CRD": (lacking(kinds.FEDERATED_LEARNING), "controller", State.PROBLEM, "", "the hub does not have federatedlearnings"),
    "no lease": (leases(own=False), "controller", State.PROBLEM, "", "the Lease panal-controller does not exist in the namespace"),
    "released": (setting(kinds.LEASE, spec__holderIdentity=None), "controller", State.PROBLEM, "", "the Lease has no holder"),
    "dead": (setting(kinds.LEASE, spec__renewTime=at(minutes=5)), "controller", State.PROBLEM, "", "has not renewed its Lease since"),
    "not ready": (setting(kinds.DEPLOYMENT, status__readyReplicas=None), "controller", State.PROBLEM, "", "has 0 of 1 Pods ready"),
    "former": (leases(FORMER), "second controller", State.PROBLEM, "", "controller (pod-1) runs in the namespace former"),
    "second": (
        leases(lease("elsewhere", names.CONTROLLER_LEASE, to_micro_time(NOW))),
        "second controller", State.PROBLEM, "", "another controller of panal (pod-1) runs in the namespace elsewhere",
    ),
    "no clusters": (without(kinds.MANAGED_CLUSTER), "clusters", State.PROBLEM, "", "the hub has no managed clusters"),
    "not accepted": (setting(kinds.MANAGED_CLUSTER, spec__hubAcceptsClient=False), "clusters", State.WARNING, "c1", "it is not accepted"),
    "not joined": (condition(kinds.MANAGED_CLUSTER, "ManagedClusterJoined"), "clusters", State.WARNING, "c1", "it has not joined"),
    "away": (
        condition(kinds.MANAGED_CLUSTER, "ManagedClusterConditionAvailable"),
        "clusters", State.WARNING, "c1", "it is not available: as it says",
    ),
    "no add-on": (without(kinds.CLUSTER_MANAGEMENT_ADDON), "add-on", State.PROBLEM, "", "fl-collaborator does not exist"),
    "nowhere": (without(kinds.MANAGED_CLUSTER_ADDON), "add-on", State.PROBLEM, "", "no cluster has the add-on fl-collaborator"),
    "add-on": (condition(kinds.MANAGED_CLUSTER_ADDON, "Available"), "add-on", State.WARNING, "c1", "is not available: as it says"),
    "revoked": (
        setting(kinds.MANAGED_CLUSTER_ADDON, metadata__annotations={names.ANNOTATION_REVOKED: at(hours=1)}),
        "certificates", State.WARNING, "c1", "it is revoked",
    ),
    "expired": (
        setting(kinds.MANAGED_CLUSTER_ADDON, metadata__annotations=certificates(timedelta(hours=-1))["annotations"]),
        "certificates", State.WARNING, "c1", "it has no valid certificate",
    ),
    "expires": (
        setting(kinds.MANAGED_CLUSTER_ADDON, metadata__annotations=certificates(timedelta(hours=-1), timedelta(hours=2))["annotations"]),
        "certificates", State.WARNING, "c1", "its certificate expires at 2026-06-01 14:00Z",
    ),
    "ahead": (leases(lease("c3", LEASE, to_micro_time(NOW), at(seconds=75))), "clocks", State.PROBLEM, "c3", "75 s ahead of the hub's"),
    "behind": (leases(lease("c3", LEASE, at(seconds=75), at(seconds=0))), "clocks", State.PROBLEM, "c3", "75 s behind the hub's"),
    "claims": (setting(kinds.MANAGED_CLUSTER, status__clusterClaims=CLAIMS), "claims", State.WARNING, "c1", "announces 18 ClusterClaims"),
    "not bound": (
        condition(kinds.MANAGED_CLUSTER_SET_BINDING, "Bound"), "cluster sets", State.WARNING, RUN, "the cluster set default is not bound"
    ),
    "no class": (without(kinds.STORAGE_CLASS), "storage", State.WARNING, "", "no default StorageClass"),
    "waits": (
        setting(kinds.FEDERATED_LEARNING, status={"phase": "Waiting", "message": "2 of 3"}), "runs", State.WARNING, RUN, "it waits: 2 of 3"
    ),
    "new": (setting(kinds.FEDERATED_LEARNING, status={}), "runs", State.WARNING, RUN, "the controller has not looked at it yet"),
    "closed": (reached(names=(), error="refused"), "listeners", State.PROBLEM, RUN, "cannot be reached from this machine: refused"),
    "other name": (reached(names=("router",)), "listeners", State.PROBLEM, RUN, f"shows a certificate for router instead of {SERVER}"),
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_found_and_named_and_no_other(fault: str) -> None:
    plant, check, state, about, told = FAULTS[fault]
    (found, *others) = bad(examine(plant(healthy())))
    if fault not in ("no OCM", "no lease", "no add-on", "nowhere"):
        assert others == []
    assert (found.check, found.state, found.about) == (check, state, about)
    assert told in found.message
    assert found.remedy or check in ("kubernetes", "runs")


def test_a_lease_that_is_left_over_is_no_second_controller() -> None:
    left = [lease("former", names.FORMER_LEASE, at(minutes=5)), lease("gone", names.CONTROLLER_LEASE, at(seconds=1), holder="")]
    assert bad(examine(leases(*left)(healthy()))) == []


@pytest.mark.parametrize("kind", sorted(healthy().objects, key=str), ids=str)
def test_what_cannot_be_read_is_not_called_well(kind: Kind) -> None:
    hub = healthy()
    hub = replace(hub, objects={**hub.objects, kind: "you may not"})
    found = examine(hub)
    unknown = {each.check for each in found if each.state is State.UNKNOWN}
    assert unknown
    assert all(f"{kind.plural} cannot be read: you may not" in each.message for each in found if each.state is State.UNKNOWN)
    assert {each.check for each in found if each.state is State.OK} >= {each.check for each in examine(healthy())} - unknown - {"clusters"}


def test_the_local_platform_is_not_asked_for_what_it_does_not_have() -> None:
    hub = replace(without(kinds.STORAGE_CLASS)(without(kinds.DEPLOYMENT)(healthy())), local=True)
    hub = leases(lease("c3", LEASE, to_micro_time(NOW), at(seconds=75)))(hub)
    assert bad(examine(hub)) == []


def test_a_controller_in_another_namespace_is_not_to_be_removed() -> None:
    (found,) = bad(examine(leases(lease("fl", names.CONTROLLER_LEASE, to_micro_time(NOW)), own=False)(healthy())))
    assert (found.check, found.remedy) == ("controller", "Give that with -n fl.")


@pytest.mark.parametrize(
    "plant",
    [
        setting(kinds.MANAGED_CLUSTER, status__clusterClaims=[{"value": "x"}, 7]),
        setting(kinds.LEASE, spec__renewTime="0000-01-01T00:00:00.000000Z"),
        leases(lease("c3", LEASE, "10000-01-01T00:00:00Z", at(seconds=1))),
        setting(kinds.FEDERATED_LEARNING, spec={"client": {"placement": {"clusterSets": 7}}}),
    ],
)
def test_what_others_have_malformed_is_named_and_ends_nothing(plant: Callable[[Hub], Hub]) -> None:
    found = bad(examine(plant(healthy())))
    assert found
    assert all(each.state is State.UNKNOWN and "an object of the hub is malformed" in each.message for each in found)


def test_many_findings_are_counted() -> None:
    away = [obj(f"c{n:04}", spec={"hubAcceptsClient": True}) for n in range(3500)]
    hub = healthy()
    found = examine(replace(hub, objects={**hub.objects, kinds.MANAGED_CLUSTER: away}))
    assert len([each for each in found if each.check == "clusters"]) == 3501
    short = shortened(found, 10)
    told = [each.message for each in short if each.check == "clusters"]
    assert told[-1] == "and 3490 more: see -o json"
    assert told[:10] == ["it has not joined"] * 10
    assert [each.check for each in short] == sorted((each.check for each in short), key=list(CHECKS).index)
