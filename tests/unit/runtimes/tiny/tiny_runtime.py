"""A runtime of another distribution: one container on each side, gRPC between them, and an app that is in both images."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from panal.api.names import COLLABORATOR_PORT, RUN_DIR, ClusterName
from panal.api.types import Spec
from panal.runtimes.app import App, AppError, table
from panal.runtimes.base import AggregatorContainers, Announced, Container, GatewayRules, Partition, Runtime, environment, mounts
from panal.runtimes.logs import Logs


class Tiny(Runtime):
    remedies: Mapping[str, str] = {
        "TinyTooLarge": "Train a smaller model.",
        "TinySlow": "Give the clusters more time.",
        "ServerAppFailed": "Read the log of the container trainer.",
    }
    notices: Sequence[str] = ("TinySlow",)
    logs: Logs = Logs(noise=re.compile(r"tiny: heartbeat .*"), framework=re.compile(r".*/tiny/.*"))

    def gateway(self, spec: Spec) -> GatewayRules:
        return GatewayRules(port=9000, paths=("/tiny.Rounds/",), largest_request=None, methods=("GET", "POST"), protocol="HTTP/2")

    def aggregator(self, spec: Spec) -> AggregatorContainers:
        env = environment(TINY_ROUNDS=str(spec.server.rounds), TINY_RUN_DIR=RUN_DIR)
        main = {
            "name": "trainer",
            "image": spec.server.image,
            "command": ["tiny", "serve"],
            "env": env,
            "volumeMounts": mounts("run", "pod"),
        }
        return AggregatorContainers(sidecars=(), main=main)

    def collaborator(self, spec: Spec, cluster: ClusterName, partition: Partition, data_path: str, announced: Announced) -> Container:
        env = environment(TINY_SITE=cluster, TINY_SERVER=f"127.0.0.1:{COLLABORATOR_PORT}", TINY_DATA=data_path)
        return {"name": "site", "image": spec.client.image, "command": ["tiny", "join"], "env": env, "volumeMounts": mounts("tmp", "pod")}

    def ignored_fields(self, spec: Spec) -> Sequence[str]:
        return ["spec.server.runConfig"] if spec.server.run_config else []

    def app(self, project: Mapping[str, Any]) -> App:
        if not table(project, "tool", "tiny"):
            raise AppError("[tool.tiny] is missing, so it is not an app of tiny", "Add the table.")
        return App(table(project, "tool", "tiny", "config"), "tool.tiny.config", ("epochs",))
