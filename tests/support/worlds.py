"""Worlds for tests of decisions: a run of two needed clusters out of three, at any point of its life."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from panal.api.names import FINALIZER, ClusterName
from panal.api.parse import parse
from panal.api.progress import CollaboratorProgress, Progress
from panal.api.types import ModelStatus, Status
from panal.lifecycle.decide import decide
from panal.lifecycle.plan import Plan
from panal.lifecycle.reasons import REMEDY
from panal.lifecycle.world import (
    ClusterView,
    ContainerView,
    Credentials,
    Images,
    JobView,
    Object,
    PlacementView,
    PodView,
    Run,
    SiteView,
    WorkView,
    World,
)
from panal.runtimes.flower import Flower

NOW = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)
UID, JOB_UID = "11111111-2222-3333-4444-555555555555", "99999999-8888-7777-6666-555555555555"
CLAIM = "example.com/digits"
APP_HASH = "ab" * 32
MODEL = ModelStatus(uri="pvc://digits-model/ns/digits/uid/model.safetensors", digest="sha256:abc", size=1000, round=3)
PLACEMENT = {
    "clusterSets": ["global"],
    "predicates": [{"requiredClusterSelector": {"claimSelector": {"matchExpressions": [{"key": CLAIM, "operator": "Exists"}]}}}],
}


def ago(seconds: float) -> datetime:
    return NOW - timedelta(seconds=seconds)


def resource(**spec: Any) -> Object:
    """A FederatedLearning; `server` and `client` in `spec` are merged into the usual ones."""
    server = {"image": "example/app:1", "rounds": 3, "minAvailableClients": 2} | spec.pop("server", {})
    client = {"image": "example/app:1", "placement": PLACEMENT} | spec.pop("client", {})
    return {
        "apiVersion": "federation-ai.open-cluster-management.io/v1alpha1",
        "kind": "FederatedLearning",
        "metadata": {
            "name": "digits",
            "namespace": "ns",
            "uid": UID,
            "generation": 1,
            "creationTimestamp": "2026-03-01T11:00:00Z",
            "finalizers": [FINALIZER],
        },
        "spec": {"framework": "flower", "server": server, "client": client} | spec,
    }


def run(status: Status | None = None, deleting_since: datetime | None = None, **spec: Any) -> Run:
    found = parse(resource(**spec))
    meta = found.metadata
    return Run(
        name=meta.name,
        namespace=meta.namespace,
        uid=meta.uid,
        generation=meta.generation,
        created=meta.created,
        deleting_since=deleting_since,
        finalizers=meta.finalizers,
        spec=found.spec,
        status=status or Status(),
        has_status=status is not None,
    )


def cluster(number: int, claim: str | None = "pvc://digits", available: bool | None = True) -> ClusterView:
    return ClusterView(
        name=ClusterName(f"cluster{number}"),
        accepted=True,
        available=available,
        labels={},
        claims={CLAIM: claim} if claim is not None else {},
        cluster_set="default",
    )


def clusters(*views: ClusterView) -> dict[ClusterName, ClusterView]:
    return {v.name: v for v in views}


def names_of(*numbers: int) -> frozenset[ClusterName]:
    return frozenset(ClusterName(f"cluster{n}") for n in numbers)


def sites(*numbers: int, **of_all: Any) -> dict[ClusterName, SiteView]:
    """The add-on, installed on these clusters and with a certificate."""
    return {name: replace(SiteView(certified=NOW + timedelta(hours=1)), **of_all) for name in names_of(*numbers)}


def fresh(**changes: Any) -> World:
    """A run that was just applied on a hub of three clusters with data; OCM has selected them all."""
    three = clusters(cluster(1), cluster(2), cluster(3))
    return replace(
        World(
            run=run(),
            images=Images(pod_tools="panal/pod-tools:1", gateway="panal/gateway:1"),
            open_shift=False,
            binding_policy=True,
            placement=PlacementView(selected=names_of(1, 2, 3)),
            bound_sets=frozenset({"global"}),
            own_bound_sets=frozenset(),
            clusters=three,
            set_members={"global": frozenset(three)},
            job=None,
            exposed=(),
            volume_claims=frozenset(),
            node_addresses=("10.0.0.1",),
            works={},
            progress=None,
            sites=sites(1, 2, 3),
            credentials=Credentials(trust="TRUST", crl="CRL"),
        ),
        **changes,
    )


def launcher(**changes: Any) -> ContainerView:
    return replace(ContainerView(name="launcher", image="example/app:1", running=True), **changes)


def pod(*containers: ContainerView, **changes: Any) -> PodView:
    base = PodView(
        reason="",
        message="",
        scheduled=True,
        unschedulable="",
        created=ago(50),
        containers=containers or (launcher(),),
    )
    return replace(base, **changes)


def job(*pods: PodView, created: datetime | None = None, **changes: Any) -> JobView:
    base = JobView(uid=JOB_UID, created=created or ago(60), deleting=False, succeeded=False, failed=False, failure="", pods=pods)
    return replace(base, **changes)


def service() -> Object:
    spec = {"ports": [{"port": 8080, "nodePort": 30123}], "clusterIP": "10.96.0.9"}
    return {"kind": "Service", "metadata": {"name": "digits-aggregator"}, "spec": spec}


def work(number: int, created: datetime | None = None, **feedback: Any) -> WorkView:
    """A work whose Pod runs, unless `feedback` says something else."""
    name = ClusterName(f"cluster{number}")
    return WorkView(
        cluster=name,
        name="w",
        uid=f"work-{number}",
        created=created or ago(50),
        deleting_since=None,
        partition=None,
        applied=True,
        applied_message="",
        pod_exists=True,
        feedback={"phase": "Running", "ready": feedback.get("phase", "Running") == "Running", "restarts": 0} | feedback,
    )


def works(*views: WorkView) -> dict[ClusterName, WorkView]:
    return {w.cluster: w for w in views}


def progress(**changes: Any) -> Progress:
    base = {
        "attempt": JOB_UID,
        "app_hash": APP_HASH,
        "connected": 3,
        "started": True,
        "rounds_total": 3,
        "rounds_completed": 1,
        "metrics": {"accuracy": 0.5},
    }
    return Progress(**(base | changes))  # type: ignore[arg-type]


def seen(**changes: Any) -> CollaboratorProgress:
    return CollaboratorProgress(**({"round": 1} | changes))


def running(**changes: Any) -> World:
    """The same run in its second round."""
    known = {
        "run": run(status_after(fresh())),
        "job": job(pod()),
        "exposed": (service(),),
        "works": works(work(1), work(2), work(3)),
        "progress": progress(),
        "volume_claims": frozenset({f"{run().name}-model"}),
    }
    return fresh(**(known | changes))


def status_after(world: World, now: datetime = NOW) -> Status:
    """The status that the world leads to."""
    return decide(world, now).status or world.run.status


def applied(plan: Plan, kind: str) -> list[Object]:
    """The objects of a kind that the plan applies, works of which none exists yet."""
    works = [plan.works.render(site) for site in plan.works.sites] if plan.works else []
    return [o for o in (*plan.apply, *works) if o["kind"] == kind]


def deleted(plan: Plan, kind: str) -> list[str]:
    return [r.namespace if kind == "ManifestWork" else r.name for r in plan.delete if r.kind == kind]


def reason_of(status: Status) -> str:
    return next(c.reason for c in status.conditions if c.type == "Progressing")


def remedy(reason: str) -> str:
    """What a message with this reason ends with, in a run of Flower."""
    return Flower().remedies.get(reason) or REMEDY[reason]


def said(reason: str, message: str) -> World:
    text = json.dumps({"reason": reason, "message": message})
    return running(job=job(pod(launcher(running=False, exit_code=1, message=text)), failed=True))


def done(**changes: Any) -> World:
    known = {
        "job": job(pod(launcher(running=False, exit_code=0, ended=ago(1))), succeeded=True),
        "progress": progress(rounds_completed=3, model=MODEL, collaborators={"cluster1": seen(round=3)}),
        "run": run(status_after(running())),
    }
    return running(**(known | changes))


def ended() -> World:
    world = done()
    return replace(world, run=run(status_after(world)))


def manifests(plan: Plan, of: str = "cluster1") -> dict[str, Object]:
    """What the work of a cluster brings, by kind."""
    work = next(w for w in applied(plan, "ManifestWork") if w["metadata"]["namespace"] == of)
    return {m["kind"]: m for m in work["spec"]["workload"]["manifests"]}
