"""The loop with an in-memory API server that refuses what a test specifies: statuses, unaffected objects, retries."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from itertools import cycle
from typing import Any, Literal

import pytest

from memory_hub import Hub, NoRequests, controlled, node, ready, selected, service, started
from panal.api import names
from panal.api.types import ModelStatus
from panal.hub import controller
from panal.kube import kinds
from panal.kube.errors import Forbidden, Invalid, Unavailable
from panal.kube.objects import Object
from worlds import UID, progress, resource


async def test_an_invalid_service_fails_the_run() -> None:
    hub = ready()
    hub.objects.pop((kinds.SERVICE, "ns", "digits-aggregator"))
    hub.refusals["Service"] = Invalid(422, "Invalid", "provided port is already allocated")
    await controlled(hub, lambda: hub.statuses)
    assert hub.statuses[-1]["phase"] == "Failed"
    assert "provided port is already allocated" in hub.statuses[-1]["message"]


async def test_a_refusal_is_reported_although_the_first_write_of_the_status_fails() -> None:
    hub = ready()
    hub.objects.pop((kinds.SERVICE, "ns", "digits-aggregator"))
    hub.refusals["Service"] = Invalid(422, "Invalid", "provided port is already allocated")
    apply_status, tries = hub.apply_status, 0

    async def once_unavailable(obj: Object) -> Object:
        nonlocal tries
        tries += 1
        if tries == 1:
            raise Unavailable(503, "ServiceUnavailable", "etcd is unavailable")
        return await apply_status(obj)

    hub.apply_status = once_unavailable  # type: ignore[method-assign]
    await controlled(hub, lambda: hub.statuses)
    assert hub.statuses[0]["phase"] == "Failed"


async def test_a_forbidden_job_is_reported_and_the_run_waits() -> None:
    hub = ready()
    hub.refusals["Job"] = Forbidden(403, "Forbidden", "exceeded quota: jobs")
    await controlled(hub, lambda: hub.statuses)
    assert hub.statuses[-1]["phase"] == "Waiting"
    assert "exceeded quota" in hub.statuses[-1]["message"]


async def test_a_refused_work_does_not_affect_other_clusters() -> None:
    hub = ready(*started("cluster1", "cluster2", "cluster3"))
    hub.refusals["ManifestWork", "cluster2"] = Forbidden(403, "Forbidden", "namespace cluster2 is being terminated")
    await controlled(hub, lambda: hub.statuses)
    assert {ns for kind, ns, _ in hub.objects if kind == kinds.MANIFEST_WORK} == {"cluster1", "cluster3"}
    assert [(c["cluster"], c["reason"]) for c in hub.statuses[-1]["collaborators"] if c["state"] == "Failed"] == [
        ("cluster2", "WorkRefused")
    ]


def other(name: str, created: str) -> Object:
    """A run of the same namespace, which has the limit of one active run."""
    found = resource()
    return {**found, "metadata": found["metadata"] | {"name": name, "uid": f"uid-{name}", "creationTimestamp": created}}


def waits(hub: Hub, name: str) -> str:
    status = hub.objects[kinds.FEDERATED_LEARNING, "ns", name].get("status") or {}
    return str(next((c["reason"] for c in status.get("conditions", ()) if c["type"] == "Progressing"), ""))


async def test_the_next_run_starts_when_one_has_ended_and_when_the_limit_is_raised() -> None:
    limit = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "ns", "annotations": {names.ANNOTATION_MAX_ACTIVE_RUNS: "1"}}}
    second, third = other("second", "2027-01-01T00:00:00Z"), other("third", "2027-01-02T00:00:00Z")
    hub = ready(*started("cluster1", "cluster2", "cluster3"), limit, third, second)

    def placed() -> list[str]:
        return sorted(name for kind, _, name in hub.objects if kind == kinds.PLACEMENT)

    raised = {**limit, "metadata": {"name": "ns", "annotations": {names.ANNOTATION_MAX_ACTIVE_RUNS: "2"}}}
    await controlled(
        hub,
        in_order(
            lambda: waits(hub, "second") == waits(hub, "third") == "RunLimitReached" and waits(hub, "digits") != "",
            lambda: placed() == ["digits"],
            lambda: end_job(hub, "Failed") is None,
            lambda: placed() == ["second"] and waits(hub, "third") == "RunLimitReached",
            lambda: bool(hub.put(raised)),
            lambda: placed() == ["second", "third"],
        ),
    )


def replicated(cluster: str, state: str) -> Object:
    labels = {names.ROOT_POLICY_LABEL: "ns.fl-site"}
    metadata = {"name": "ns.fl-site", "namespace": cluster, "labels": labels}
    return {"apiVersion": kinds.POLICY.api_version, "kind": "Policy", "metadata": metadata, "status": {"compliant": state}}


def with_work(hub: Hub) -> set[str]:
    return {namespace for kind, namespace, _ in hub.objects if kind == kinds.MANIFEST_WORK}


async def test_a_cluster_leaves_the_run_when_it_violates_a_required_policy_and_comes_back_when_it_complies() -> None:
    clusters = ("cluster1", "cluster2", "cluster3")
    policies = [replicated(each, "Compliant") for each in clusters]
    hub = ready(resource(client={"requirePolicies": [{"name": "fl-site"}]}), *started(*clusters), *policies)
    hub.served = {kinds.POLICY}

    def reason() -> str:
        return str(next(c["reason"] for c in hub.statuses[-1]["collaborators"] if c["cluster"] == "cluster3"))

    await controlled(
        hub,
        in_order(
            lambda: with_work(hub) == set(clusters),
            lambda: bool(hub.put(replicated("cluster3", "NonCompliant"))),
            lambda: with_work(hub) == {"cluster1", "cluster2"} and reason() == "PolicyNotCompliant",
            lambda: bool(hub.put(replicated("cluster3", "Compliant"))),
            lambda: with_work(hub) == set(clusters) and reason() == "",
            lambda: bool(hub.tell("DELETED", hub.objects.pop((kinds.POLICY, "cluster2", "ns.fl-site"))) is None),
            lambda: with_work(hub) == {"cluster1", "cluster3"},
        ),
    )
    assert [c["reason"] for c in hub.statuses[-1]["collaborators"] if c["cluster"] == "cluster2"] == ["PolicyUnknown"]


async def test_a_hub_without_policies_admits_no_cluster_to_a_run_that_requires_one() -> None:
    hub = ready(resource(client={"requirePolicies": [{"name": "fl-site"}]}), *started("cluster1", "cluster2", "cluster3"))
    await controlled(hub, lambda: hub.statuses)
    assert with_work(hub) == set()
    assert {c["reason"] for c in hub.statuses[-1]["collaborators"]} == {"PolicyUnknown"}


@pytest.mark.parametrize(
    ("versions", "used"), [(["v1"], "v1"), (["v1alpha2", "v1alpha3"], "v1alpha3"), (["v1alpha2"], "v1alpha2"), (["v1alpha3", "v1"], "v1")]
)
async def test_a_run_gets_the_routes_that_its_hub_serves_and_what_the_router_says(versions: list[str], used: str) -> None:
    listeners = [
        {"name": "main", "type": "Route"},
        {"name": "other", "type": "Gateway", "gateway": {"name": "fl", "namespace": "gateways"}},
    ]
    served = {kind.version: kind for kind in kinds.TLS_ROUTES}
    listener = {"name": "fl", "protocol": "TLS", "port": 443, "tls": {"mode": "Passthrough"}}
    gateway = {
        "apiVersion": kinds.GATEWAY.api_version,
        "kind": "Gateway",
        "metadata": {"name": "fl", "namespace": "gateways"},
        "spec": {"gatewayClassName": "example", "listeners": [listener]},
    }
    of = {"apiVersion": gateway["apiVersion"], "kind": "GatewayClass", "metadata": {"name": "example"}, "spec": {"controllerName": "e/c"}}
    hub = ready(resource(server={"listeners": listeners}), gateway, of)
    hub.served = {kinds.ROUTE, kinds.GATEWAY, kinds.GATEWAY_CLASS, *(served[version] for version in versions)}
    route = kinds.ROUTE, "ns", "digits-aggregator"

    def admitted() -> bool:
        if route in hub.objects and not hub.objects[route].get("status"):
            said = {"host": "digits.example", "conditions": [{"type": "Admitted", "status": "True"}]}
            hub.put({**hub.objects[route], "status": {"ingress": [said]}})
        return any(one.get("host") for status in hub.statuses for one in status.get("listeners", ()))

    await controlled(hub, admitted)
    first, second = hub.statuses[-1]["listeners"]
    assert (first["address"], first["port"], first["host"]) == ("digits.example", 443, "digits.example")
    assert "does not resolve the aggregator's address digits.example" in first["message"]
    assert {kind for kind, _, name in hub.objects if name == "digits-aggregator-2"} == {kinds.SERVICE, served[used]}
    assert "has not accepted the TLSRoute digits-aggregator-2" in second["message"]


async def test_a_route_of_another_namespace_is_not_the_runs_whatever_its_labels() -> None:
    hub = ready(resource(server={"listeners": [{"type": "Route"}]}))
    hub.served = {kinds.ROUTE}
    said = {"host": "attacker.example", "conditions": [{"type": "Admitted", "status": "True"}]}
    labels = {names.LABEL_RUN_UID: UID, names.LABEL_RUN: "digits", names.LABEL_RUN_NAMESPACE: "ns"}
    metadata = {"name": "digits-aggregator", "namespace": "another", "labels": labels}
    hub.put({"apiVersion": kinds.ROUTE.api_version, "kind": "Route", "metadata": metadata, "status": {"ingress": [said]}})
    await controlled(hub, lambda: hub.statuses and hub.statuses[-1].get("listeners"))
    assert hub.statuses[-1]["listeners"][0]["address"] == ""
    assert "attacker.example" not in str(hub.statuses)


async def test_an_outage_does_not_change_the_status() -> None:
    hub = ready()
    hub.refusals["Job"] = Unavailable(503, "ServiceUnavailable", "etcd is unavailable")
    await controlled(hub, lambda: hub.refused > 1)
    assert hub.statuses == []


@pytest.mark.parametrize("code", [0, 429, 503])
async def test_an_outage_is_not_a_refusal_of_a_work(code: int) -> None:
    hub = ready(*started("cluster1", "cluster2", "cluster3"))
    hub.refusals["ManifestWork", "cluster2"] = Unavailable(code, "Unavailable", "the hub is unavailable")
    await controlled(hub, lambda: hub.refused > 1)
    assert {c["reason"] for status in hub.statuses for c in status["collaborators"]} == {""}
    assert {ns for kind, ns, _ in hub.objects if kind == kinds.MANIFEST_WORK} == {"cluster1", "cluster3"}


async def test_a_webhook_that_fails_for_a_work_is_reported() -> None:
    hub = ready(*started("cluster1", "cluster2", "cluster3"))
    hub.refusals["ManifestWork", "cluster2"] = Unavailable(500, "InternalError", "failed calling webhook")
    await controlled(hub, lambda: hub.statuses)
    assert [c["reason"] for c in hub.statuses[-1]["collaborators"]] == ["WorkRefused", "", ""]


class Signing(NoRequests):
    """Authorities that sign, and record the requests."""

    def __init__(self) -> None:
        self.requests: list[tuple[object, ...]] = []

    def server_certificate(self, *request: object) -> str:
        self.requests.append(request[:3])
        return "SIGNED"


async def test_a_refusal_is_reported_in_the_same_reconcile() -> None:
    hub, authorities = ready(), Signing()
    hub.refusals["Job"] = Invalid(422, "Invalid", "no such image")
    await controlled(hub, lambda: hub.statuses, authorities)
    assert hub.statuses[-1]["phase"] == "Failed"
    assert len(authorities.requests) == hub.refused == 1


async def test_the_gateway_gets_the_certificate_that_the_reporter_requests() -> None:
    hub, authorities = ready(*started("cluster1", "cluster2", "cluster3")), Signing()
    hub.objects[kinds.CONFIG_MAP, "ns", "digits-progress"]["data"][names.KEY_REQUEST] = "REQUEST"
    gateway = kinds.CONFIG_MAP, "ns", names.gateway("digits")
    await controlled(hub, lambda: gateway in hub.objects, authorities)
    assert authorities.requests[0] == (names.server_name("digits", "ns"), "REQUEST", "")
    data = hub.objects[gateway]["data"]
    assert (data[names.KEY_TRUST], data[names.KEY_CRL], data[names.KEY_CERTIFICATE]) == ("COLLABORATORS", "CRL", "SIGNED")


@pytest.mark.parametrize("exists", [True, False], ids=["created again", "deleted"])
async def test_works_of_a_run_without_finalizer_are_deleted(exists: bool) -> None:
    labels = {names.LABEL_RUN: "digits", names.LABEL_RUN_NAMESPACE: "ns", names.LABEL_RUN_UID: "former"}
    created = "2026-03-01T11:00:00Z"
    metadata = {"name": "fl-digits-x", "namespace": "cluster9", "labels": labels, "creationTimestamp": created}
    work = {"apiVersion": kinds.MANIFEST_WORK.api_version, "kind": "ManifestWork", "metadata": metadata}
    hub = Hub(work, *([resource()] if exists else []))
    await controlled(hub, lambda: hub.deleted)
    assert hub.deleted == [("ManifestWork", "cluster9")]


async def test_an_outage_during_a_burst_refuses_no_work_and_writes_each_once() -> None:
    many = [f"cluster{number}" for number in range(1, 101)]
    hub = Hub(resource(), node(), service(), *selected(*many), *started(*many))
    created: list[str] = []
    create, tries = hub.create, 0

    async def unavailable(obj: Object, *, brief: bool) -> Object:
        nonlocal tries
        tries += 1
        if 40 < tries <= 46:
            raise Unavailable(0, "ConnectError", "All connection attempts failed")
        created.append(obj["metadata"]["namespace"])
        await asyncio.sleep(0)
        return await create(obj, brief=brief)

    hub.create = unavailable  # type: ignore[method-assign]
    await controlled(hub, lambda: hub.statuses and len(created) == len(many))
    assert sorted(created) == sorted(many)
    assert not any(c["reason"] == "WorkRefused" for status in hub.statuses for c in status["collaborators"])


def end_job(hub: Hub, condition: Literal["Complete", "Failed"]) -> None:
    job = hub.objects[kinds.JOB, "ns", names.aggregator("digits")]
    hub.put({**job, "status": {"conditions": [{"type": condition, "status": "True"}]}})


def end_with_a_model(hub: Hub) -> None:
    end_job(hub, "Complete")
    model = ModelStatus(uri="pvc://digits-model/m", digest="sha256:0", size=1, round=3)
    text = progress(rounds_completed=3, model=model).model_dump_json(by_alias=True)
    hub.put({**hub.objects[kinds.CONFIG_MAP, "ns", "digits-progress"], "data": {"progress": text}})


async def test_a_completed_run_shows_it_before_its_works_are_deleted() -> None:
    clusters = ("cluster1", "cluster2", "cluster3")
    hub = ready(*started(*clusters))
    await controlled(hub, lambda: hub.statuses)
    end_with_a_model(hub)
    phases: list[str] = []
    delete = hub.delete

    async def observed(*args: object, **options: object) -> bool:
        phases.append(hub.statuses[-1]["phase"])
        return await delete(*args, **options)  # type: ignore[arg-type]

    hub.delete = observed  # type: ignore[method-assign]
    await controlled(hub, lambda: sum(kind == "ManifestWork" for kind, _ in hub.deleted) == len(clusters))
    assert set(phases) == {"Completed"}


def works_of(hub: Hub) -> list[Object]:
    return [obj for (kind, _, _), obj in hub.objects.items() if kind == kinds.MANIFEST_WORK]


def without_label(hub: Hub, label: str) -> bool:
    """As a cluster's agent can do with the works in its namespace."""
    work = works_of(hub)[0]
    hub.put({**work, "metadata": work["metadata"] | {"labels": {k: v for k, v in work["metadata"]["labels"].items() if k != label}}})
    return True


@pytest.mark.parametrize("label", [names.LABEL_RUN_NAMESPACE, names.LABEL_RUN, names.LABEL_RUN_UID])
async def test_labels_that_a_cluster_removes_from_its_work_are_restored(label: str) -> None:
    hub = ready(*started("cluster1", "cluster2", "cluster3"))

    def labelled() -> bool:
        return len(works_of(hub)) == 3 and all(label in work["metadata"]["labels"] for work in works_of(hub))

    await controlled(hub, in_order(labelled, lambda: without_label(hub, label), labelled))
    without_label(hub, label)  # while no controller is running
    await controlled(hub, labelled)


async def test_another_work_that_a_cluster_labels_as_the_runs_is_not_the_runs() -> None:
    """It would make the deletion of a run wait for that cluster's agent."""
    clusters = ("cluster1", "cluster2", "cluster3")
    hub = ready(*started(*clusters))
    await controlled(hub, lambda: len(works_of(hub)) == len(clusters))
    work = works_of(hub)[0]
    hub.put({**work, "metadata": work["metadata"] | {"name": "addon-x-deploy", "namespace": "cluster9", "uid": "u9"}})
    end_job(hub, "Failed")
    await controlled(hub, lambda: len(works_of(hub)) == 1)
    assert hub.statuses[-1]["phase"] == "Failed"
    assert ("ManifestWork", "cluster9") not in hub.deleted


async def test_a_status_that_a_restored_hub_has_lost_is_written_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """No watch has reported the write, and the resource of the backup is what the cache had."""
    monkeypatch.setattr(controller, "LOST", 0.5)
    hub = Hub(resource(), node())
    before, tell, ready_states = hub.objects[kinds.FEDERATED_LEARNING, "ns", "digits"], hub.tell, cycle(["False", "True"])
    hub.tell = lambda type_, obj: None if obj["kind"] == names.KIND else tell(type_, obj)  # type: ignore[method-assign]

    def restored() -> bool:
        hub.statuses.clear()
        hub.objects[kinds.FEDERATED_LEARNING, "ns", "digits"] = before
        return True

    def again() -> bool:
        """The node changes, which causes reconciles."""
        hub.put(node() | {"status": {"conditions": [{"type": "Ready", "status": next(ready_states)}]}})
        return bool(hub.statuses)

    await controlled(hub, in_order(lambda: hub.statuses, restored, again))


async def test_a_status_is_written_once_although_a_deletion_after_it_fails() -> None:
    """The cache may not have it yet when the run is reconciled again."""
    clusters = ("cluster1", "cluster2", "cluster3")
    hub = ready(*started(*clusters))
    await controlled(hub, lambda: hub.statuses)
    end_with_a_model(hub)
    hub.statuses.clear()
    tell, delete, tries = hub.tell, hub.delete, 0

    def late(type_: Any, obj: Object) -> None:
        if obj["kind"] != names.KIND:
            tell(type_, obj)

    async def unavailable(*args: Any, **options: Any) -> bool:
        nonlocal tries
        tries += 1
        if tries <= len(clusters):
            raise Unavailable(503, "ServiceUnavailable", "etcd is unavailable")
        return await delete(*args, **options)

    hub.tell, hub.delete = late, unavailable  # type: ignore[method-assign]
    await controlled(hub, lambda: sum(kind == "ManifestWork" for kind, _ in hub.deleted) == len(clusters))
    assert [status["phase"] for status in hub.statuses] == ["Completed"]


async def test_the_status_is_written_again_after_the_hub_was_restored_from_a_backup() -> None:
    """Its versions are older than those that the controller has seen."""
    hub = Hub(resource(), node())
    backup = hub.objects[kinds.FEDERATED_LEARNING, "ns", "digits"]

    def restore() -> bool:
        hub.statuses.clear()
        hub.objects[kinds.FEDERATED_LEARNING, "ns", "digits"] = backup
        hub.tell("MODIFIED", backup)
        return True

    await controlled(hub, in_order(lambda: hub.statuses, restore, lambda: hub.statuses))


def in_order(*steps: Callable[[], object]) -> Callable[[], bool]:
    """Calls a step each time, until it returns true. True after the last one."""
    rest = list(steps)

    def until() -> bool:
        if rest[0]():
            rest.pop(0)
        return not rest

    return until
