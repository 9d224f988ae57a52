"""The NVIDIA FLARE runtime: a server on the hub, which runs one job, and a client at each site. `panal.pod.tools.flare` has the programs.

Collaborators are created with the aggregator, and wait for it: FLARE's server sends the job, so there is nothing to announce.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from panal.api.names import ClusterName
from panal.api.spec import Acceleration, Replies
from panal.api.types import Spec
from panal.pod.tools.flare.codes import PORT, SERVICE
from panal.runtimes.base import AggregatorContainers, Announced, Container, GatewayRules, Partition, Runtime
from panal.runtimes.flare import containers
from panal.runtimes.flare.remedies import REMEDIES
from panal.runtimes.logs import Logs

__all__ = ["Flare"]


class Flare(Runtime):
    remedies: Mapping[str, str] = REMEDIES
    logs: Logs = Logs("server", "client")

    def gateway(self, spec: Spec) -> GatewayRules:
        """gRPC does not declare the length of a request; `panal.pod.tools.flare.kit` limits each message."""
        return GatewayRules(port=PORT, paths=(SERVICE,), largest_request=None, protocol="HTTP/2")

    def aggregator(self, spec: Spec) -> AggregatorContainers:
        return containers.aggregator(spec)

    def collaborator(self, spec: Spec, cluster: ClusterName, partition: Partition, data_path: str, announced: Announced) -> Container:
        return containers.collaborator(spec, cluster, partition, data_path)

    def ignored_fields(self, spec: Spec) -> Sequence[str]:
        """The job has its own settings, and judges its replies itself."""
        set_ = {
            "spec.server.runConfig": bool(spec.server.run_config),
            "spec.server.replies": spec.server.replies != Replies(),
            "spec.server.stragglerGraceSeconds": spec.server.straggler_grace_seconds is not None,
            "spec.acceleration": spec.acceleration != Acceleration.AUTO,
            "spec.server.superlink": bool(spec.server.superlink),
            "spec.client.supernode": bool(spec.client.supernode),
            "spec.server.command": bool(spec.server.command),
            "spec.client.command": bool(spec.client.command),
        }
        return [field for field, value in set_.items() if value]
