"""Rights on a real API server, as tests take and ask them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager

from cluster import Cluster

BINDING = "panal-controller"


@contextmanager
def without_rights(hub: Cluster) -> Iterator[None]:
    """Panal's controller has lost its ClusterRoleBinding."""
    kept = json.loads(hub.kubectl("get", "clusterrolebinding", BINDING, "-o", "json"))
    kept["metadata"] = {"name": BINDING, "labels": kept["metadata"].get("labels") or {}}
    hub.kubectl("delete", "clusterrolebinding", BINDING)
    yield
    hub.kubectl("apply", "-f", "-", stdin=json.dumps(kept))


def may(hub: Cluster, account: str, namespace: str, verb: str, what: str) -> bool:
    asked = ("auth", "can-i", verb, what, f"--as=system:serviceaccount:{namespace}:{account}", "-n", namespace)
    return hub.kubectl(*asked, check=False).strip() == "yes"
