"""The engine where everything is real: a fleet with nodes."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass

from fleet import Fleet
from real_servers import RealServers
from waiting import eventually

CONTROLLER = "app.kubernetes.io/name=panal"
# The processes of a container, told by its HOSTNAME, whose command line matches.
KILL = r"""
for pid in $(pgrep -f "$1"); do
  if tr '\0' '\n' <"/proc/$pid/environ" 2>/dev/null | grep -qx "HOSTNAME=$2"; then kill -9 "$pid" && echo "$pid"; fi
done
true
"""


@dataclass(frozen=True)
class Containers(RealServers):
    fleet: Fleet
    at_once: int = 3
    spread: int = 30  # kubelets bring mounted objects up to date every 10 s (tests/testenv/node.py), but not to the second

    def cut(self, name: str) -> None:
        self.fleet.cut(name)

    def restore(self, name: str) -> None:
        self.fleet.restore(name)

    def tag(self, image: str, name: str, clusters: list[str]) -> None:
        for cluster in clusters:
            self.fleet.enter(cluster, "ctr", "-n", "k8s.io", "images", "tag", "--force", f"docker.io/{image}", f"docker.io/{name}")

    def read(self, namespace: str, claim: str, path: str) -> bytes:
        volume = json.loads(self.fleet.hub.kubectl("-n", namespace, "get", "pvc", claim, "-o", "json"))["spec"]["volumeName"]
        return base64.b64decode(self.fleet.enter("hub", "base64", f"/srv/{volume}/{path}"))

    def aggregator_address(self) -> str:
        return "10.77."

    def kill(self, cluster: str, pod: str, program: str) -> bool:
        return bool(self.fleet.enter(cluster, "sh", "-c", KILL, "sh", program, pod))

    def kill_controller(self) -> None:
        eventually(lambda: self.fleet.enter("hub", "sh", "-c", "pkill -9 -e -f [p]anal-controller || true"), "the controller is killed", 60)

    def restart_controller(self) -> None:
        hub = self.fleet.hub
        hub.kubectl("-n", "panal-system", "delete", "pod", "-l", CONTROLLER, "--wait")
        hub.kubectl("-n", "panal-system", "rollout", "status", "deployment/panal-controller", "--timeout=120s")
        said = ("-n", "panal-system", "logs", "deployment/panal-controller")
        eventually(lambda: " is the leader " in hub.kubectl(*said, check=False), "the new controller leads", 60)

    def logs(self, namespace: str, pod: str, last: int = 40) -> str:
        return self.fleet.hub.kubectl("-n", namespace, "logs", pod, "--all-containers", f"--tail={last}", "--prefix", check=False)
