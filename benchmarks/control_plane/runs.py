"""One federated learning run. Played: the Placement's decisions, the aggregator's Pod, and what the reporter writes."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from benchmarks.control_plane.api import CLUSTERS, RUNS, WORKS, Api, Object, Watch, each
from benchmarks.control_plane.sites import CLAIM, condition, now

from panal.api import names
from panal.api.progress import MAX_COLLABORATORS, CollaboratorProgress, Progress
from panal.api.types import ModelStatus

PLACEMENTS, DECISIONS = (f"{CLUSTERS}/v1beta1/namespaces/runs/{plural}" for plural in ("placements", "placementdecisions"))
CORE = "/api/v1/namespaces/runs"
JOBS = "/apis/batch/v1/namespaces/runs/jobs"
DECISIONS_EACH = 100  # clusters in one PlacementDecision, as OCM writes them
ROUNDS = 1000
SECONDS = 600


@dataclass
class Run:
    """`resource` has the run as it is on the hub, `works` the metadata of its works."""

    api: Api
    name: str
    clusters: Sequence[str]
    resource: Watch
    works: Watch
    job: Watch
    progress: Progress = field(default_factory=Progress)  # as last written by this object

    @classmethod
    @asynccontextmanager
    async def on(cls, api: Api, name: str, clusters: Sequence[str]) -> AsyncIterator[Run]:
        """A run that exists. It is not deleted at the end of the context."""
        selector = f"{names.LABEL_RUN}={name}"
        async with (
            Watch.on(api, f"{RUNS}?fieldSelector=metadata.name={name}") as resource,
            Watch.on(api, f"{WORKS}/manifestworks?labelSelector={selector}", metadata_only=True) as works,
            Watch.on(api, f"{JOBS}?labelSelector={selector}") as job,
        ):
            yield cls(api, name, clusters, resource, works, job)

    async def begin(self) -> None:
        """Creates it; its Placement is decided, and its aggregator's Pod runs."""
        await self.api.create(RUNS, _resource(self.name, len(self.clusters)))
        await self.decide()
        await self._start_pod()

    @property
    def status(self) -> Object:
        return next((o.get("status") or {} for o in self.resource.objects.values()), {})

    # --- placement ------------------------------------------------------------------------------------------------------------
    async def decide(self) -> None:
        """Writes the decisions of its Placement: all clusters."""
        async with Watch.on(self.api, f"{PLACEMENTS}?fieldSelector=metadata.name={self.name}") as found:
            await found.until(bool, f"the Placement of {self.name}", SECONDS)
            (placement,) = found.objects.values()
        parts = [self.clusters[i : i + DECISIONS_EACH] for i in range(0, len(self.clusters), DECISIONS_EACH)]
        await each(enumerate(parts, 1), lambda part: self._decision(placement, *part))
        status = {
            "numberOfSelectedClusters": len(self.clusters),
            "conditions": [condition("PlacementSatisfied", "AllDecisionsScheduled")],
        }
        await self.api.patch(f"{PLACEMENTS}/{self.name}/status", {"status": status})

    async def _decision(self, placement: Object, number: int, clusters: Sequence[str]) -> None:
        api_version = "cluster.open-cluster-management.io/v1beta1"
        owner = {"apiVersion": api_version, "kind": "Placement", "name": self.name, "uid": placement["metadata"]["uid"]}
        metadata = {
            "name": f"{self.name}-decision-{number}",
            "labels": {"cluster.open-cluster-management.io/placement": self.name},
            "ownerReferences": [owner],
        }
        await self.api.create(DECISIONS, {"apiVersion": api_version, "kind": "PlacementDecision", "metadata": metadata})
        chosen = [{"clusterName": c, "reason": ""} for c in clusters]
        await self.api.patch(f"{DECISIONS}/{metadata['name']}/status", {"status": {"decisions": chosen}})

    # --- aggregator -----------------------------------------------------------------------------------------------------------
    async def _start_pod(self) -> None:
        await self.job.until(bool, f"the aggregator's Job of {self.name}", SECONDS)
        await self._pod_status("Running", {"running": {"startedAt": now()}})

    async def _pod_status(self, phase: str, state: Object) -> None:
        async with Watch.on(self.api, f"{CORE}/pods?labelSelector={names.LABEL_RUN}={self.name}") as pods:
            await pods.until(bool, f"the aggregator's Pod of {self.name}", SECONDS)
            (pod,) = pods.objects.values()
        main = pod["spec"]["containers"][0]
        container = {"name": main["name"], "image": main["image"], "imageID": "", "ready": phase == "Running", "restartCount": 0}
        status = {
            "phase": phase,
            "conditions": [condition("PodScheduled", ""), condition("Ready", "")],
            "containerStatuses": [container | {"state": state}],
        }
        await self.api.patch(f"{CORE}/pods/{pod['metadata']['name']}/status", {"status": status})

    async def end_job(self) -> float:
        """The model is stored and the Pod has ended well. Returns when the Job was seen complete."""
        (job,) = self.job.objects
        model = ModelStatus(uri="pvc://models/model.safetensors", digest=f"sha256:{'ab' * 32}", size=1 << 20, round=ROUNDS)
        await self.write_progress(model=model, result="Model")
        await self._pod_status("Succeeded", {"terminated": {"exitCode": 0, "reason": "Completed", "finishedAt": now()}})
        return await self.job.until(lambda jobs: _complete(jobs[job]), f"the Job of {self.name} is complete", SECONDS)

    # --- reporter -------------------------------------------------------------------------------------------------------------
    async def write_progress(self, **changes: Any) -> None:
        (job,) = self.job.objects.values()
        values = {"attempt": job["metadata"]["uid"], "app_hash": "ab" * 32, "runtime_version": "1.40.0", "rounds_total": ROUNDS} | changes
        self.progress = self.progress.model_copy(update=values)
        await self._write(names.KEY_PROGRESS, self.progress.model_dump_json(by_alias=True))

    async def write_round(self, number: int) -> None:
        """A round has ended: what the reporter knows of each cluster, and the aggregated metrics."""
        shown = self.clusters[:MAX_COLLABORATORS]
        each_one = {c: CollaboratorProgress(round=number, seconds=1.5, metrics={"loss": 1 / number}) for c in shown}
        count = len(self.clusters)
        rest: dict[str, Any] = {"started": True, "connected": count, "replies": count, "collaborators": each_one}
        await self.write_progress(rounds_completed=number, metrics={"accuracy": 1 - 1 / number}, **rest)

    async def write_traffic(self, number: int) -> None:
        """Bytes that were sent: shown by `panal`, but nothing that the status depends on."""
        await self._write("traffic", f'{{"{self.clusters[0]}": [{number}, 0, 1000, 1000]}}')

    async def _write(self, key: str, text: str) -> None:
        await self.api.patch(f"{CORE}/configmaps/{names.progress(self.name)}", {"data": {key: text}})

    # --- deletion -------------------------------------------------------------------------------------------------------------
    async def delete(self) -> None:
        """Until the controller has removed its works, and the run is gone."""
        await self.api.delete(f"{RUNS}/{self.name}")
        await self.works.until(lambda works: not works, f"the works of {self.name} are gone", SECONDS)
        await self.resource.until(lambda runs: not runs, f"{self.name} is gone", SECONDS)


def _resource(name: str, clusters: int) -> Object:
    exists = {"key": CLAIM, "operator": "Exists"}
    placement = {"predicates": [{"requiredClusterSelector": {"claimSelector": {"matchExpressions": [exists]}}}]}
    listener = {"type": "NodePort", "port": 8080, "ip": "192.0.2.1"}
    server = {"image": "example/app:1", "rounds": ROUNDS, "minAvailableClients": clusters, "listeners": [listener]}
    return {
        "apiVersion": names.API_VERSION,
        "kind": names.KIND,
        "metadata": {"name": name},
        "spec": {"framework": "flower", "server": server, "client": {"image": "example/app:1", "placement": placement}},
    }


def _complete(job: Object) -> bool:
    return any(c["type"] == "Complete" and c["status"] == "True" for c in (job.get("status") or {}).get("conditions") or ())
