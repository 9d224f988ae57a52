"""Open Cluster Management: its controllers on the hub, and the agents by which a spoke joins it."""

from __future__ import annotations

import shutil

from cluster import Cluster
from processes import wait

# This OCM speaks the add-on API v1alpha1; the later version's CRDs lie beside it.
HUB_CRDS = (
    "addon.*_addon*",
    "alt-addon-v1alpha1-only/*",
    "cluster.*_addonplacementscores",
    "cluster.*_managedcluster*",
    "cluster.*_placement*",
    "work.*_manifestwork*",
)
SPOKE_CRDS = ("cluster.*_clusterclaims", "work.*_appliedmanifestworks")
HUB_NS = "open-cluster-management-hub"
AGENT_NS = "open-cluster-management-agent"
ADDON_NS = "open-cluster-management-agent-addon"
AVAILABLE = "jsonpath={.status.conditions[?(@.type=='ManagedClusterConditionAvailable')].status}"


def start_hub(hub: Cluster, *registration: str) -> None:
    """`registration`: more arguments of the registration controller."""
    hub.crds(*HUB_CRDS)
    hub.namespaces(HUB_NS, "open-cluster-management")
    common = _common(hub)
    gates = "--feature-gates=ManagedClusterAutoApproval=true,DefaultClusterSet=true"
    programs = {
        "ocm-registration.controller": ("controller", *common, gates, "--auto-approved-csr-users=bootstrap-user", *registration),
        "ocm-placement.controller": ("controller", *common),
        "ocm-work.manager": ("manager", *common, "--feature-gates=ManifestWorkReplicaSet=true"),
        "ocm-addon.manager": ("manager", *common),
    }
    for i, (name, args) in enumerate(programs.items()):
        hub.start(name, *args, f"--listen=127.0.0.1:{hub.port[f'ocm{i}']}", env={"POD_NAMESPACE": HUB_NS})


def start_placement(hub: Cluster) -> None:
    """Only the placement controller."""
    hub.crds(*HUB_CRDS)
    hub.namespaces(HUB_NS)
    listen = f"--listen=127.0.0.1:{hub.port['ocm1']}"
    hub.start("ocm-placement.controller", "controller", *_common(hub), listen, env={"POD_NAMESPACE": HUB_NS})


def _common(hub: Cluster) -> tuple[str, ...]:
    return f"--kubeconfig={hub.kubeconfig}", f"--namespace={HUB_NS}", "--disable-leader-election"


def start_spoke(spoke: Cluster, hub: Cluster) -> None:
    spoke.crds(*SPOKE_CRDS)
    spoke.namespaces(AGENT_NS, ADDON_NS)
    shutil.copy(hub.dir / "bootstrap.kubeconfig", spoke.dir / "hub-bootstrap.kubeconfig")
    joined = spoke.dir / "hub-kubeconfig"
    joined.mkdir(exist_ok=True)
    common = (
        f"--kubeconfig={spoke.kubeconfig}",
        f"--namespace={AGENT_NS}",
        "--disable-leader-election",
        f"--spoke-cluster-name={spoke.name}",
    )
    spoke.start(
        *("ocm-registration.agent", "agent", *common, f"--bootstrap-kubeconfig={spoke.dir}/hub-bootstrap.kubeconfig"),
        *(f"--hub-kubeconfig-dir={joined}", "--cluster-healthcheck-period=5s", "--feature-gates=AddonManagement=true"),
        f"--listen=127.0.0.1:{spoke.port['ocm0']}",
    )
    wait(f"{spoke.name}: joining the hub", (joined / "kubeconfig").exists, 120)
    hub.kubectl("label", "managedcluster", spoke.name, "cluster.open-cluster-management.io/clusterset=default", "--overwrite")
    spoke.start(
        *("ocm-work.agent", "agent", *common, "--workload-source-driver=kube", f"--workload-source-config={joined}/kubeconfig"),
        *("--status-sync-interval=2s", f"--listen=127.0.0.1:{spoke.port['ocm1']}"),
    )


def available(hub: Cluster, spoke: str) -> bool:
    return hub.kubectl("get", "managedcluster", spoke, "-o", AVAILABLE, check=False) == "True"
