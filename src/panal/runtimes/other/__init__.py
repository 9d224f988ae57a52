"""The runtime `other`: any program that keeps the contract of docs/how-to/run-any-container.md. `panal.pod.tools.other` starts it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from panal.api.names import ClusterName
from panal.api.spec import Acceleration, Protocol, Replies
from panal.api.types import Spec
from panal.pod.tools.other.codes import PORT
from panal.runtimes.app import App
from panal.runtimes.base import AggregatorContainers, Announced, Container, GatewayRules, Partition, Runtime
from panal.runtimes.logs import Logs
from panal.runtimes.other import app, containers
from panal.runtimes.other.remedies import REMEDIES

__all__ = ["Other"]

METHODS = ("DELETE", "GET", "HEAD", "PATCH", "POST", "PUT")


class Other(Runtime):
    remedies: Mapping[str, str] = REMEDIES
    logs: Logs = Logs("server", "client")

    def gateway(self, spec: Spec) -> GatewayRules:
        """All paths: what else the server has to serve, it serves at another port."""
        if spec.server.protocol == Protocol.GRPC:
            return GatewayRules(port=PORT, paths=("/",), largest_request=None, protocol="HTTP/2")
        return GatewayRules(port=PORT, paths=("/",), largest_request=None, methods=METHODS)

    def aggregator(self, spec: Spec) -> AggregatorContainers:
        return containers.aggregator(spec)

    def collaborator(self, spec: Spec, cluster: ClusterName, partition: Partition, data_path: str, announced: Announced) -> Container:
        return containers.collaborator(spec, cluster, partition, data_path)

    def problem(self, spec: Spec) -> str:
        """Without any command the runtime is OpenFL's (`framework_of`)."""
        missing = next((side for side, of in (("server", spec.server), ("client", spec.client)) if not of.command), "")
        why = "required with framework other if the other side has one; name the program in the image"
        return f"spec.{missing}.command: {why}" if missing else ""

    def ignored_fields(self, spec: Spec) -> Sequence[str]:
        """The server judges its replies itself, and its processes are not known."""
        set_ = {
            "spec.server.replies": spec.server.replies != Replies(),
            "spec.acceleration": spec.acceleration != Acceleration.AUTO,
            "spec.server.superlink": bool(spec.server.superlink),
            "spec.client.supernode": bool(spec.client.supernode),
        }
        return [field for field, value in set_.items() if value]

    def app(self, project: Mapping[str, Any]) -> App | None:
        return app.read(project)
