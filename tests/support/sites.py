"""A site with a site controller on real nodes, as its owner has it."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import clusters
from cluster import Cluster
from containers import Containers
from gated_pods import policy
from panal.api import names
from panal.kube import kinds
from waiting import eventually

ROOT = Path(__file__).parents[2]
THERE, HERE = names.COLLABORATOR_NAMESPACE, names.SITE_CONTROLLER
IMAGES = ["docker.io/panal/*"]  # of panal, on the nodes


@dataclass(frozen=True)
class Site:
    engine: Containers
    name: str

    @property
    def cluster(self) -> Cluster:
        return self.engine.fleet[self.name]

    def install(self, images: Path) -> None:
        """The site controller from deploy/site.yaml. Returns when the hub knows of it."""
        clusters.load(self.engine.fleet.root, [images / "controller.tar"], only=self.name)
        for manifest in ("deploy/site-namespace.yaml", "deploy/site.yaml"):
            self.cluster.kubectl("apply", "--server-side", "--force-conflicts", "-f", str(ROOT / manifest))
        self.cluster.kubectl("wait", "--for=condition=Established", "crd", "--all", "--timeout=60s")
        self.cluster.kubectl("-n", HERE, "rollout", "status", f"deployment/{HERE}", "--timeout=180s")
        eventually(lambda: names.SITE_CLAIM in self.claims(), "the hub knows that the site has a policy", 90)

    def remove(self) -> None:
        """The site is as before; its ledger stays on the disk of the node."""
        self.cluster.kubectl("delete", "--ignore-not-found", "-f", str(ROOT / "deploy/site.yaml"))
        for kind in ("configmap", "secret", "networkpolicy"):
            self.cluster.kubectl("-n", THERE, "delete", kind, HERE, "--ignore-not-found")
        eventually(lambda: names.SITE_CLAIM not in self.claims(), "the hub knows that the site has no policy", 90)

    def claims(self) -> list[str]:
        found = self.engine.hub.get(kinds.MANAGED_CLUSTER, "", self.name) or {}
        return [each["name"] for each in (found.get("status") or {}).get("clusterClaims") or ()]

    def allow(self, *rules: dict[str, Any], **spec: Any) -> None:
        """Writes the SitePolicy."""
        self.cluster.apply(policy(*rules, **{"panalImages": IMAGES, **spec}))

    def entries(self, run: str = "", *wanted: str) -> list[dict[str, Any]]:
        """Of the ledger, after all of it was checked."""
        program = ("python3", "-m", "panal.site_controller.ledger", "--verify", *(("--run", run) if run else ()))
        *found, _ = self.cluster.kubectl("-n", HERE, "exec", f"deployment/{HERE}", "--", *program).splitlines()
        entries = [json.loads(line) for line in found]
        return [each for each in entries if not wanted or each["kind"] in wanted]

    def pods(self, *, gated: bool) -> list[str]:
        found = json.loads(self.cluster.kubectl("-n", THERE, "get", "pods", "-o", "json"))["items"]
        return [each["metadata"]["name"] for each in found if bool(each["spec"].get("schedulingGates")) == gated]

    def records(self) -> list[str]:
        """The names of the RunRecords that are there."""
        return self.cluster.kubectl("-n", THERE, "get", names.RECORD_PLURAL, "-o", "name").split()

    def until_none_works(self, seconds: float) -> float:
        """No Pod without the gate, and no process of one. Returns after how many seconds."""
        began = time.monotonic()
        eventually(lambda: not self.pods(gated=False), "no Pod works", seconds)
        machine = self.engine.fleet.machine(self.name)
        left = lambda: machine.shell("pgrep -f '[f]lower supernode|[p]anal/pod/gateway.json' || true")  # noqa: E731
        eventually(lambda: not left().strip(), lambda: f"processes are left: {left()}", seconds)
        return time.monotonic() - began

    def kill_controller(self) -> None:
        machine = self.engine.fleet.machine(self.name)
        eventually(lambda: machine.shell("pkill -9 -e -f [p]anal-site-controller || true").strip(), "the site controller is killed", 30)
