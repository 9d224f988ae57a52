"""HostPath: the model goes to a folder of the hub's node on which the aggregator runs."""

from __future__ import annotations

from panal.api.types import Storage
from panal.lifecycle.storage.kind import NOTHING, ReporterNeeds
from panal.lifecycle.world import Object, Run, World


class HostPath:
    def problem(self, storage: Storage) -> str:
        if len(storage.path) > 1 and storage.path.startswith("/"):
            return ""
        return "spec.server.storage.path: required with type HostPath; give an absolute path other than /"

    def objects(self, world: World) -> list[Object]:
        return []

    def volume(self, run: Run) -> Object:
        """The kubelet creates a missing folder for root alone, so the reporter then says who must be allowed to write to it."""
        return {"hostPath": {"path": run.spec.server.storage.path, "type": "DirectoryOrCreate"}}

    def uri(self, run: Run) -> str:
        return f"file://{run.spec.server.storage.path}"

    def folder(self, run: Run) -> str:
        return ""

    def reporter(self, run: Run) -> ReporterNeeds:
        return NOTHING

    def without_pod(self, run: Run) -> str:
        return (
            f"spec.server.storage.type: HostPath is refused where the pod security of namespace {run.namespace} is baseline or restricted; "
            "use another type, or a namespace with the label pod-security.kubernetes.io/enforce: privileged"
        )
