"""What engines have in common whose API servers are real: how these are asked, taken away, and what they let accounts do."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

from api import Api, api
from fleet import Fleet
from panal.api.names import BINDING_POLICY, BINDING_POLICY_WORKS_AFTER
from panal.kube import kinds
from panal.kube.times import from_time, now_utc

BINDING = "panal-controller"


def is_guarded(hub: Api) -> bool:
    """Whether runs that are made now have their cluster sets bound."""
    policies = hub.list(kinds.VALIDATING_ADMISSION_POLICY) + hub.list(kinds.VALIDATING_ADMISSION_POLICY_BINDING)
    made = [from_time(p["metadata"]["creationTimestamp"]) for p in policies if p["metadata"]["name"] == BINDING_POLICY]
    return max(made) + BINDING_POLICY_WORKS_AFTER < now_utc() - timedelta(seconds=1)


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
