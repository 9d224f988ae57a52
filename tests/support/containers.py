"""The engine where everything is real: a fleet with nodes."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass

from api import Api, api
from fleet import Fleet
from waiting import eventually

CONTROLLER = "app.kubernetes.io/name=panal"


@dataclass(frozen=True)
class Containers:
    fleet: Fleet

    @property
    def hub(self) -> Api:
        return api(self.fleet.hub.kubeconfig)

    def spoke(self, name: str) -> Api:
        return api(self.fleet[name].kubeconfig)

    def cut(self, name: str) -> None:
        self.fleet.cut(name)

    def restore(self, name: str) -> None:
        self.fleet.restore(name)

    def read(self, namespace: str, claim: str, path: str) -> bytes:
        volume = json.loads(self.fleet.hub.kubectl("-n", namespace, "get", "pvc", claim, "-o", "json"))["spec"]["volumeName"]
        return base64.b64decode(self.fleet.enter("hub", "base64", f"/srv/{volume}/{path}"))

    def aggregator_address(self) -> str:
        return "10.77."

    def restart_controller(self) -> None:
        hub = self.fleet.hub
        hub.kubectl("-n", "panal-system", "delete", "pod", "-l", CONTROLLER, "--wait")
        hub.kubectl("-n", "panal-system", "rollout", "status", "deployment/panal-controller", "--timeout=120s")
        said = ("-n", "panal-system", "logs", "deployment/panal-controller")
        eventually(lambda: " leads " in hub.kubectl(*said, check=False), "the new controller leads", 60)

    def logs(self, namespace: str, pod: str) -> str:
        return self.fleet.hub.kubectl("-n", namespace, "logs", pod, "--all-containers", "--tail=40", "--prefix", check=False)
