"""The Flower runtime: a SuperLink and a launcher on the hub, a SuperNode at each site. `panal.pod.tools.flower` has the programs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from panal.api.names import ClusterName
from panal.api.progress import Progress
from panal.api.spec import Protocol
from panal.api.types import Spec
from panal.runtimes.app import App
from panal.runtimes.base import AggregatorContainers, Announced, Container, GatewayRules, Partition, Runtime
from panal.runtimes.flower import app, containers
from panal.runtimes.flower.gateway import RULES
from panal.runtimes.flower.logs import LOGS
from panal.runtimes.flower.remedies import NOTICES, REMEDIES
from panal.runtimes.logs import Logs

__all__ = ["Flower"]


class Flower(Runtime):
    examines_updates: bool = True
    remedies: Mapping[str, str] = REMEDIES
    notices: Sequence[str] = NOTICES
    logs: Logs = LOGS
    warm_start: bool = True
    protects_updates: bool = True

    def gateway(self, spec: Spec) -> GatewayRules:
        return RULES

    def aggregator(self, spec: Spec) -> AggregatorContainers:
        return containers.aggregator(spec)

    def collaborator(self, spec: Spec, cluster: ClusterName, partition: Partition, data_path: str, announced: Announced) -> Container:
        return containers.collaborator(spec, cluster, partition, data_path, announced)

    def announced(self, progress: Progress | None) -> Announced | None:
        """Collaborators are created only when the app hash is known, because a site runs only the announced app."""
        return Announced(progress.app_hash, progress.runtime_version) if progress and progress.app_hash else None

    def ignored_fields(self, spec: Spec) -> Sequence[str]:
        """The names of a SuperLink and SuperNodes, because each run starts its own, and what only the runtime `other` has."""
        set_ = {
            "spec.server.superlink": bool(spec.server.superlink),
            "spec.client.supernode": bool(spec.client.supernode),
            "spec.server.command": bool(spec.server.command),
            "spec.client.command": bool(spec.client.command),
            "spec.server.protocol": spec.server.protocol != Protocol.HTTP,
        }
        return [field for field, value in set_.items() if value]

    def app(self, project: Mapping[str, Any]) -> App:
        return app.read(project)
