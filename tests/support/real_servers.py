"""What engines have in common whose API servers are real: how these are asked, taken away, and what they let accounts do."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager

from api import Api, api
from fleet import Fleet

BINDING = "panal-controller"


class RealServers:
    """`fleet` are the clusters."""

    fleet: Fleet

    @property
    def hub(self) -> Api:
        return api(self.fleet.hub.kubeconfig)

    def spoke(self, name: str) -> Api:
        return api(self.fleet[name].kubeconfig)

    @contextmanager
    def without_api(self) -> Iterator[None]:
        self.fleet.kill("hub", "kube-apiserver")
        yield
        self.fleet.start("hub", "kube-apiserver")

    @contextmanager
    def without_rights(self) -> Iterator[None]:
        """Panal's controller has lost its ClusterRoleBinding."""
        hub = self.fleet.hub
        kept = json.loads(hub.kubectl("get", "clusterrolebinding", BINDING, "-o", "json"))
        kept["metadata"] = {"name": BINDING, "labels": kept["metadata"].get("labels") or {}}
        hub.kubectl("delete", "clusterrolebinding", BINDING)
        yield
        hub.kubectl("apply", "-f", "-", stdin=json.dumps(kept))

    def may(self, account: str, namespace: str, verb: str, what: str) -> bool:
        asked = ("auth", "can-i", verb, what, f"--as=system:serviceaccount:{namespace}:{account}", "-n", namespace)
        return self.fleet.hub.kubectl(*asked, check=False).strip() == "yes"
