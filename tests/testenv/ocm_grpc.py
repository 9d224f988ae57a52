"""Open Cluster Management over gRPC: a hub with OCM's gRPC server, and spokes that join through it and have no access to the hub's API.

The agents' certificates are signed by an authority of their own (`signer`), which the hub's API server does not know.
"""

from __future__ import annotations

import json

import ocm
from cluster import Cluster
from ocm import ADDON_NS, AGENT_NS, HUB_NS, SPOKE_CRDS
from pki import Pki
from processes import listening, wait

PROCESS = "ocm-server"
ACCOUNT = "grpc-server-sa"
USER = f"system:serviceaccount:{HUB_NS}:{ACCOUNT}"
BOOTSTRAP = "grpc-bootstrap"
RBAC = "rbac.authorization.k8s.io"
ADDON, CLUSTER, WORK = (f"{group}.open-cluster-management.io" for group in ("addon", "cluster", "work"))
# As cluster-manager grants it (manifests/cluster-manager/hub/grpc-server of OCM), and what a bootstrap user may do.
RULES: dict[str, tuple[tuple[str, str, str], ...]] = {
    ACCOUNT: (
        ("", "configmaps", "get list watch"),
        ("", "pods", "get"),
        ("", "events", "get create patch update"),
        ("events.k8s.io", "events", "get create patch update"),
        ("authorization.k8s.io", "subjectaccessreviews", "create"),
        ("certificates.k8s.io", "certificatesigningrequests", "get list watch create"),
        ("coordination.k8s.io", "leases", "get list watch create update patch"),
        (ADDON, "managedclusteraddons", "get list watch"),
        (ADDON, "managedclusteraddons/status", "patch update"),
        (CLUSTER, "managedclusters", "get list watch create update patch"),
        (CLUSTER, "managedclusters/status", "update patch"),
        (CLUSTER, "managedclustersets/join", "create"),
        (WORK, "manifestworks", "get list watch patch"),
        (WORK, "manifestworks/status", "patch update"),
    ),
    BOOTSTRAP: (
        ("certificates.k8s.io", "certificatesigningrequests", "create get list watch"),
        (CLUSTER, "managedclusters", "get create update list watch"),
        (CLUSTER, "managedclustersets/join", "create"),
    ),
}


def signer(hub: Cluster) -> Pki:
    """The authority of the agents' certificates; with that of a bootstrap user."""
    return _pki(hub, "signer")


def serving(hub: Cluster) -> Pki:
    """The authority of the server's certificate."""
    return _pki(hub, "serving")


def start_hub(hub: Cluster) -> None:
    for pki in (signer(hub), serving(hub)):
        pki.authority()
    signer(hub).certificate(BOOTSTRAP, f"/O={BOOTSTRAP}/CN={BOOTSTRAP}")
    serving(hub).certificate("server", "/CN=grpc-server", usage="serverAuth", san=f"IP:{hub.ip}")
    folder = signer(hub).folder
    drivers = ("--enabled-registration-drivers=csr,grpc", f"--auto-approved-grpc-users={BOOTSTRAP}")
    ocm.start_hub(hub, *drivers, f"--grpc-ca-file={folder}/ca.crt", f"--grpc-key-file={folder}/ca.key")
    hub.apply({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": ACCOUNT, "namespace": HUB_NS}}, *_rights())
    start_server(hub)


def start_server(hub: Cluster) -> None:
    """OCM's gRPC server, as its ServiceAccount."""
    keys, kubeconfig, settings = serving(hub).folder, hub.dir / "grpc-server.kubeconfig", hub.dir / "grpc-server.json"
    config = json.loads(hub.kubeconfig.read_text())
    config["users"][0]["user"] = {"token": hub.kubectl("create", "token", ACCOUNT, "-n", HUB_NS, "--duration=24h").strip()}
    kubeconfig.write_text(json.dumps(config))
    tls = {"tls_cert_file": f"{keys}/server.crt", "tls_key_file": f"{keys}/server.key", "client_ca_file": f"{signer(hub).folder}/ca.crt"}
    settings.write_text(json.dumps(tls | {"server_bind_port": str(hub.port["ocm4"])}))  # JSON is YAML
    hub.start(
        *(PROCESS, "grpc", f"--kubeconfig={kubeconfig}", f"--namespace={HUB_NS}", "--disable-leader-election"),
        *(f"--server-config={settings}", f"--listen=127.0.0.1:{hub.port['ocm5']}"),
        env={"POD_NAMESPACE": HUB_NS, "POD_NAME": "grpc-server"},
    )
    # An agent that asks too early asks again after 5, 10, 20, 40 and 80 s.
    wait("OCM's gRPC server", lambda: listening(hub.ip, hub.port["ocm4"]), 60)


def start_spoke(spoke: Cluster, hub: Cluster) -> None:
    """Joins by gRPC alone. The bootstrap kubeconfig, which the agent demands, names no server that exists."""
    spoke.crds(*SPOKE_CRDS)
    spoke.namespaces(AGENT_NS, ADDON_NS)
    joined, bootstrap = spoke.dir / "hub-kubeconfig", spoke.dir / "grpc-bootstrap.json"
    joined.mkdir(exist_ok=True)
    keys = signer(hub).folder
    where = {"url": f"{hub.ip}:{hub.port['ocm4']}", "caFile": f"{serving(hub).folder}/ca.crt"}
    bootstrap.write_text(json.dumps(where | {"clientCertFile": f"{keys}/{BOOTSTRAP}.crt", "clientKeyFile": f"{keys}/{BOOTSTRAP}.key"}))
    (spoke.dir / "nowhere.kubeconfig").write_text(json.dumps(NOWHERE))
    common = (
        f"--kubeconfig={spoke.kubeconfig}",
        f"--namespace={AGENT_NS}",
        "--disable-leader-election",
        f"--spoke-cluster-name={spoke.name}",
    )
    spoke.start(
        *("ocm-registration.agent", "agent", *common, "--registration-auth=grpc", f"--bootstrap-kubeconfig={spoke.dir}/nowhere.kubeconfig"),
        *(f"--grpc-bootstrap-config={bootstrap}", f"--grpc-config={joined}/config.yaml", f"--hub-kubeconfig-dir={joined}"),
        *("--cluster-healthcheck-period=5s", "--feature-gates=AddonManagement=true", f"--listen=127.0.0.1:{spoke.port['ocm0']}"),
    )
    wait(f"{spoke.name}: joining the hub", (joined / "config.yaml").exists, 240)
    hub.kubectl("label", "managedcluster", spoke.name, "cluster.open-cluster-management.io/clusterset=default", "--overwrite")
    spoke.start(
        *("ocm-work.agent", "agent", *common, "--workload-source-driver=grpc", f"--workload-source-config={joined}/config.yaml"),
        *(f"--cloudevents-client-id={spoke.name}-work", "--cloudevents-client-codecs=manifestbundle", "--status-sync-interval=2s"),
        f"--listen=127.0.0.1:{spoke.port['ocm1']}",
    )


NOWHERE = {
    "apiVersion": "v1",
    "kind": "Config",
    "current-context": "nowhere",
    "clusters": [{"name": "nowhere", "cluster": {"server": "https://192.0.2.1:6443"}}],
    "contexts": [{"name": "nowhere", "context": {"cluster": "nowhere", "user": "nobody"}}],
    "users": [{"name": "nobody", "user": {}}],
}


def _pki(hub: Cluster, name: str) -> Pki:
    folder = hub.dir / f"grpc-{name}"
    folder.mkdir(exist_ok=True)
    return Pki(folder, f"grpc-{name}")


def _rights() -> list[dict[str, object]]:
    subjects = {
        ACCOUNT: {"kind": "ServiceAccount", "name": ACCOUNT, "namespace": HUB_NS},
        BOOTSTRAP: {"apiGroup": RBAC, "kind": "Group", "name": BOOTSTRAP},
    }
    found: list[dict[str, object]] = []
    for name, rules in RULES.items():
        written = [{"apiGroups": [group], "resources": [resource], "verbs": verbs.split()} for group, resource, verbs in rules]
        about = {"apiVersion": f"{RBAC}/v1", "metadata": {"name": name}}
        found.append(about | {"kind": "ClusterRole", "rules": written})
        role = {"apiGroup": RBAC, "kind": "ClusterRole", "name": name}
        found.append(about | {"kind": "ClusterRoleBinding", "roleRef": role, "subjects": [subjects[name]]})
    return found
