"""The OpenFL runtime: an aggregator on the hub, a collaborator at each site. `panal.pod.tools.openfl` has the programs.

Collaborators are created with the aggregator, and wait for it: the workspace is in their image, so there is nothing to announce.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from panal.api.names import ClusterName
from panal.api.spec import Acceleration, Protocol
from panal.api.types import Spec
from panal.runtimes.base import AggregatorContainers, Announced, Container, GatewayRules, Partition, Runtime
from panal.runtimes.logs import Logs
from panal.runtimes.openfl import containers
from panal.runtimes.openfl.gateway import RULES
from panal.runtimes.openfl.remedies import REMEDIES

__all__ = ["OpenFL"]


class OpenFL(Runtime):
    remedies: Mapping[str, str] = REMEDIES
    logs: Logs = Logs("aggregator", "collaborator")

    def gateway(self, spec: Spec) -> GatewayRules:
        return RULES

    def aggregator(self, spec: Spec) -> AggregatorContainers:
        return containers.aggregator(spec)

    def collaborator(self, spec: Spec, cluster: ClusterName, partition: Partition, data_path: str, announced: Announced) -> Container:
        return containers.collaborator(spec, cluster, partition, data_path)

    def ignored_fields(self, spec: Spec) -> Sequence[str]:
        """The fields of other runtimes, as the plan has what they say."""
        set_ = {
            "spec.server.superlink": bool(spec.server.superlink),
            "spec.client.supernode": bool(spec.client.supernode),
            "spec.server.runConfig": bool(spec.server.run_config),
            "spec.server.command": bool(spec.server.command),
            "spec.client.command": bool(spec.client.command),
            "spec.server.protocol": spec.server.protocol != Protocol.HTTP,
            "spec.acceleration": spec.acceleration != Acceleration.AUTO,
        }
        return [field for field, value in set_.items() if value]
