"""The hub that controllers are measured on: a real API server, etcd and controller-manager, with the CRDs of Open Cluster Management."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from cluster import AUDIT, Cluster
from ocm import HUB_CRDS

AGENTS = "system:open-cluster-management:managed-clusters"
RBAC = "rbac.authorization.k8s.io"


class Hub(Cluster):
    """Of the controller-manager only what runs need. Its other controllers write to each of the thousands of namespaces for minutes."""

    def start_controllers(self) -> None:
        self.start(
            *("kube-controller-manager", f"--kubeconfig={self.dir}/kcm.kubeconfig", "--leader-elect=false", "--bind-address=127.0.0.1"),
            *(f"--secure-port={self.port['kcm']}", "--use-service-account-credentials=true", "--kube-api-qps=200"),
            "--controllers=job-controller,garbage-collector-controller,namespace-controller",
        )

    def install(self, checkout: Path) -> None:
        """Everything of the checkout's manifest but the Deployment."""
        documents = [d for d in yaml.safe_load_all((checkout / "deploy/panal.yaml").read_text()) if d and d["kind"] != "Deployment"]
        documents.sort(key=lambda d: d["kind"] not in ("Namespace", "CustomResourceDefinition"))
        self.kubectl("apply", "--server-side", "--force-conflicts", "-f", "-", stdin=yaml.safe_dump_all(documents))
        self.kubectl("wait", "--for=condition=Established", "crd", "--all", "--timeout=60s")

    def token(self) -> str:
        """The controller's ServiceAccount: its permissions, and its share of the API server's attention."""
        return self.kubectl("-n", "panal-system", "create", "token", "panal-controller", "--duration=24h").strip()


@contextmanager
def running(*, audit: bool = False) -> Iterator[Hub]:
    """In a folder of its own, with the namespace `runs`. Ends with the context. `audit`: with an audit log."""
    root = Path(tempfile.mkdtemp(prefix="panal-control-plane-"))
    hub = Hub(root, "hub")
    if audit:
        (hub.dir / "audit.json").write_text(json.dumps(AUDIT))
    try:
        hub.start_api()
        hub.crds(*HUB_CRDS)
        hub.namespaces("runs")
        hub.apply(*_agents_permission(), *_cluster_set())
        yield hub
    finally:
        hub.stop()
        shutil.rmtree(root)


def _agents_permission() -> list[dict[str, Any]]:
    rules = [{"apiGroups": ["certificates.k8s.io"], "resources": ["certificatesigningrequests"], "verbs": ["create"]}]
    role = {"apiVersion": f"{RBAC}/v1", "kind": "ClusterRole", "metadata": {"name": "agents"}, "rules": rules}
    subject = {"kind": "Group", "apiGroup": RBAC, "name": AGENTS}
    binding = {"apiVersion": f"{RBAC}/v1", "kind": "ClusterRoleBinding", "metadata": {"name": "agents"}}
    return [role, binding | {"roleRef": {"apiGroup": RBAC, "kind": "ClusterRole", "name": "agents"}, "subjects": [subject]}]


def _cluster_set() -> list[dict[str, Any]]:
    api = "cluster.open-cluster-management.io/v1beta2"
    everything = {"clusterSelector": {"selectorType": "LabelSelector", "labelSelector": {}}}
    metadata = {"name": "global", "namespace": "runs"}
    return [
        {"apiVersion": api, "kind": "ManagedClusterSet", "metadata": {"name": "global"}, "spec": everything},
        {"apiVersion": api, "kind": "ManagedClusterSetBinding", "metadata": metadata, "spec": {"clusterSet": "global"}},
    ]
