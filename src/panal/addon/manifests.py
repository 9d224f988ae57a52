"""The add-on's ManifestWork: the objects on every cluster with the add-on, independent of runs.

These are the collaborators' namespace, which is created once and never deleted (it contains the site's data); the ServiceAccount of
collaborators, which has no permissions; the trust bundle of the server authority; and a NetworkPolicy that denies all traffic of a
collaborator's Pod. The work of each run allows the connection to its aggregator. The controller renders the manifests without an
AddOnTemplate, so `agentInstallNamespace` of an AddOnDeploymentConfig has no effect.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from panal.api import names

Object = dict[str, Any]
WORK = f"addon-{names.ADDON}-deploy-0"
ADDON_API = "addon.open-cluster-management.io/v1alpha1"
CONFIG_HASH = "open-cluster-management.io/config-spec-hash"
ACCOUNT = names.ADDON  # the ServiceAccount
DENY_ALL = f"{names.ADDON}-deny-all"  # the NetworkPolicy
COLLABORATOR = {names.LABEL_COMPONENT: "collaborator"}
OF_RUNS = {"key": names.LABEL_COMPONENT, "operator": "In", "values": ["collaborator", "probe"]}  # Pods at the site
# The delete option of every work that contains the namespace, so that panal never deletes it.
ORPHANED_NAMESPACE: Object = {
    "propagationPolicy": "SelectivelyOrphan",
    "selectivelyOrphans": {
        "orphaningRules": [{"group": "", "resource": "namespaces", "name": names.COLLABORATOR_NAMESPACE, "namespace": ""}]
    },
}


def work(addon: Object, trust: str) -> Object:
    """`addon`: the ManagedClusterAddOn. `trust`: the trust bundle of the server authority, PEM."""
    return {
        "apiVersion": "work.open-cluster-management.io/v1",
        "kind": "ManifestWork",
        "metadata": {
            "name": WORK,
            "namespace": addon["metadata"]["namespace"],
            "labels": names.MANAGED_BY | {names.ADDON_LABEL: names.ADDON},
            "annotations": {CONFIG_HASH: config_hashes(addon)},
            "ownerReferences": [owner(addon)],
        },
        "spec": {
            "workload": {"manifests": [namespace(), _account(), _trust(trust), _deny_all()]},
            "deleteOption": ORPHANED_NAMESPACE,
            "manifestConfigs": [namespace_config()],
        },
    }


def config_hashes(addon: Object) -> str:
    """The hashes of the configurations that the work was rendered with. OCM's add-on manager reads them to see what has been applied."""
    found = {}
    for reference in (addon.get("status") or {}).get("configReferences") or ():
        if wanted := reference.get("desiredConfig"):
            resource = ".".join(part for part in (reference.get("resource"), reference.get("group")) if part)
            found[f"{resource}/{wanted.get('namespace') or ''}/{wanted.get('name')}"] = wanted.get("specHash") or ""
    return json.dumps(found, sort_keys=True, separators=(",", ":"))


def owner(addon: Object) -> Object:
    metadata = addon["metadata"]
    return {
        "apiVersion": addon.get("apiVersion", ADDON_API),
        "kind": "ManagedClusterAddOn",
        "name": metadata["name"],
        "uid": metadata["uid"],
        "controller": True,
        "blockOwnerDeletion": True,
    }


def namespace() -> Object:
    """Created once and never updated or deleted, so that the site's owner can change its Pod Security level."""
    level = {f"pod-security.kubernetes.io/{mode}": "restricted" for mode in ("enforce", "warn")}
    metadata = {"name": names.COLLABORATOR_NAMESPACE, "labels": names.MANAGED_BY | level}
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": metadata}


def namespace_config() -> Object:
    """The manifestConfig of the namespace, for every work that contains it."""
    identifier = {"group": "", "resource": "namespaces", "name": names.COLLABORATOR_NAMESPACE, "namespace": ""}
    return {"resourceIdentifier": identifier, "feedbackScrapeType": "Watch", "updateStrategy": {"type": "CreateOnly"}}


def _account() -> Object:
    return _of_site("v1", "ServiceAccount", ACCOUNT) | {"automountServiceAccountToken": False}


def _trust(bundle: str) -> Object:
    return _of_site("v1", "ConfigMap", names.TRUST) | {"data": {"ca.crt": bundle}}


def _deny_all() -> Object:
    spec = {"podSelector": {"matchExpressions": [OF_RUNS]}, "policyTypes": ["Ingress", "Egress"]}
    return _of_site("networking.k8s.io/v1", "NetworkPolicy", DENY_ALL) | {"spec": spec}


def _of_site(api_version: str, kind: str, name: str) -> Object:
    labels: Mapping[str, str] = names.MANAGED_BY | {names.ADDON_LABEL: names.ADDON}
    metadata = {"name": name, "namespace": names.COLLABORATOR_NAMESPACE, "labels": labels}
    return {"apiVersion": api_version, "kind": kind, "metadata": metadata}
