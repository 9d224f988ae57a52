"""PersistentVolumeClaim: the model goes to a volume of the run's namespace."""

from __future__ import annotations

from panal.api.types import Storage
from panal.lifecycle.metadata import labels
from panal.lifecycle.storage.kind import NOTHING, ReporterNeeds
from panal.lifecycle.world import Object, Run, World


def claim_name(run: Run) -> str:
    return run.spec.server.storage.name or f"{run.name}-model"


class Claim:
    def problem(self, storage: Storage) -> str:
        return ""

    def objects(self, world: World) -> list[Object]:
        """The volume claim, unless it exists. It has no owner, so that it remains with the model when the run is deleted."""
        if claim_name(world.run) in world.volume_claims:
            return []
        run = world.run
        metadata = {"name": claim_name(run), "namespace": run.namespace, "labels": labels(run, "aggregator")}
        spec = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": run.spec.server.storage.size}}}
        return [{"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": metadata, "spec": spec}]

    def volume(self, run: Run) -> Object:
        return {"persistentVolumeClaim": {"claimName": claim_name(run)}}

    def uri(self, run: Run) -> str:
        return f"pvc://{claim_name(run)}"

    def folder(self, run: Run) -> str:
        return run.spec.server.storage.path.strip("/")

    def reporter(self, run: Run) -> ReporterNeeds:
        return NOTHING

    def without_pod(self, run: Run) -> str:
        return ""
