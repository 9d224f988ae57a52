"""What the manifest grants the controller, and what an API server's audit log says that it asked for."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import yaml

MANIFEST = Path(__file__).parents[2] / "deploy/panal.yaml"
USER = "system:serviceaccount:panal-system:panal-controller"
CREATED = 201
# Checked on behalf of the controller, never asked for by itself: by OCM's webhooks, which the tests' hub has not; by Kubernetes' plug-in
# OwnerReferencesPermissionEnforcement, which OpenShift has, and by those that guard signers of certificates; and by RBAC, since nobody may
# grant the reporter what he may not do himself.
ASKED_BY_OTHERS = {
    ("federation-ai.open-cluster-management.io", "federatedlearnings/finalizers", "update"),
    ("cluster.open-cluster-management.io", "managedclustersets/bind", "create"),
    ("work.open-cluster-management.io", "manifestworks", "execute-as"),
    ("addon.open-cluster-management.io", "managedclusteraddons/finalizers", "update"),
    ("certificates.k8s.io", "signers", "approve"),
    ("certificates.k8s.io", "signers", "sign"),
    ("", "configmaps", "get"),
}


CONTROLLER = "panal-controller"


class Right(NamedTuple):
    group: str
    resource: str
    verb: str

    @property
    def is_about_listeners(self) -> bool:
        """Those that lead to a run by its name are used by tests/real/test_listeners.py: the hub with nodes has no controller for them."""
        return self.group in ("gateway.networking.k8s.io", "route.openshift.io") or self.resource in ("ingresses", "ingressclasses")

    @property
    def is_about_policies(self) -> bool:
        """Those are used by tests/real/test_kubernetes_7_policies.py: the hub with nodes has no policies."""
        return self.group == "policy.open-cluster-management.io"

    @property
    def is_about_certificates(self) -> bool:
        """Those are used, each of them, by tests/real/test_certificates.py, and not by every run."""
        return self.group in ("addon.open-cluster-management.io", "certificates.k8s.io") or self.resource == "secrets"


def granted() -> set[Right]:
    """But for what others ask for."""
    everything = [d for d in yaml.safe_load_all(MANIFEST.read_text()) if d and d["kind"] in ("ClusterRole", "Role")]
    documents = [d for d in everything if d["metadata"]["name"] == CONTROLLER]
    found = {right for document in documents for rule in document["rules"] for right in _rights(rule)}
    return found - {Right(*right) for right in ASKED_BY_OTHERS}


def _rights(rule: dict[str, Any]) -> Iterator[Right]:
    for group in rule["apiGroups"]:
        for resource in rule["resources"]:
            for verb in rule["verbs"]:
                yield Right(group, resource, verb)


def entries(log: Path) -> Iterable[dict[str, Any]]:
    """Of an audit log and those before it."""
    for file in sorted(log.parent.glob("audit*.log")):
        with file.open() as lines:
            yield from (json.loads(line) for line in lines)


def of_controller(entry: dict[str, Any]) -> bool:
    """Discovery is everybody's. A request with a wrong certificate or token has no name."""
    return entry["user"].get("username") == USER and "objectRef" in entry


def right_of(entry: dict[str, Any]) -> Right:
    ref = entry["objectRef"]
    resource = ref["resource"] + (f"/{ref['subresource']}" if ref.get("subresource") else "")
    return Right(ref.get("apiGroup", ""), resource, entry["verb"])


def allowed(entry: dict[str, Any]) -> bool:
    return bool(entry["annotations"]["authorization.k8s.io/decision"] == "allow")


def creates(entry: dict[str, Any]) -> bool:
    """Server-side apply of an object that was not there needs the right to create it as well."""
    return entry["verb"] == "patch" and entry.get("responseStatus", {}).get("code") == CREATED
