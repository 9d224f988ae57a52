"""The objects that install the add-on: the ClusterManagementAddOn, and a Placement that selects all clusters.

The chart renders the same objects (charts/panal/templates/addon.yaml; a test compares them), and the local platform applies them.
`python -m panal.addon.install` prints deploy/all-clusters.yaml, for hubs with deploy/panal.yaml.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from typing import Any

import yaml

from panal.addon.config import GROUP, RESOURCE
from panal.api.names import ADDON, SYSTEM_NAMESPACE

Object = dict[str, Any]

CLUSTER_GROUP = "cluster.open-cluster-management.io"
CONFIG = {"group": GROUP, "resource": RESOURCE}
LIFECYCLE = {f"{GROUP}/lifecycle": "addon-manager"}  # OCM's add-on manager installs and removes the add-on, by Placement
TITLE = "Federated learning collaborator"
DESCRIPTION = "Lets a cluster take part in federated learning: its certificate, and what its collaborators need at the site."
EVERY_SET = "global"  # the cluster set that contains every cluster
# An unreachable cluster keeps the add-on: removing the add-on would revoke its certificate.
TOLERATIONS = tuple({"key": f"{CLUSTER_GROUP}/{taint}", "operator": "Exists"} for taint in ("unreachable", "unavailable"))


def addon(placements: Iterable[Object], default_config: Mapping[str, str] | None = None) -> Object:
    """The ClusterManagementAddOn. `placements`: entries of its installStrategy; for a cluster in several, the configuration of the last one
    applies; without any, no cluster has the add-on. `default_config`: namespace and name of an AddOnDeploymentConfig."""
    config = CONFIG | ({"defaultConfig": dict(default_config)} if default_config else {})
    spec = {
        "addOnMeta": {"displayName": TITLE, "description": DESCRIPTION},
        "supportedConfigs": [config],
        "installStrategy": _strategy(placements),
    }
    return _addon({"annotations": LIFECYCLE}, spec)


def _addon(metadata: Object, spec: Object) -> Object:
    return {"apiVersion": f"{GROUP}/v1alpha1", "kind": "ClusterManagementAddOn", "metadata": {"name": ADDON} | metadata, "spec": spec}


def _strategy(placements: Iterable[Object]) -> Object:
    """Omits an empty list, so that applying the add-on again keeps placements that were added on the hub."""
    found = list(placements)
    return {"type": "Placements"} | ({"placements": found} if found else {})


def placed_everywhere(namespace: str) -> Object:
    """The entry for `addon` that names the Placement of `everywhere`."""
    return {"namespace": namespace, "name": ADDON}


def everywhere(namespace: str) -> list[Object]:
    """A Placement that selects all clusters of the hub, and the ManagedClusterSetBinding that it needs."""
    return [
        {
            "apiVersion": f"{CLUSTER_GROUP}/v1beta2",
            "kind": "ManagedClusterSetBinding",
            "metadata": {"name": EVERY_SET, "namespace": namespace},
            "spec": {"clusterSet": EVERY_SET},
        },
        {
            "apiVersion": f"{CLUSTER_GROUP}/v1beta1",
            "kind": "Placement",
            "metadata": {"name": ADDON, "namespace": namespace},
            "spec": {"clusterSets": [EVERY_SET], "tolerations": [dict(each) for each in TOLERATIONS]},
        },
    ]


def all_clusters(namespace: str) -> list[Object]:
    """The objects of deploy/all-clusters.yaml. Applied server-side with a separate field manager, they add a Placement to the installed
    add-on and own no other field of it."""
    strategy = _addon({}, {"installStrategy": _strategy([placed_everywhere(namespace)])})
    return [*everywhere(namespace), strategy]


HEADER = f"""\
# Installs the add-on on all clusters of the hub. Apply it after deploy/panal.yaml, with a separate field manager, so that you can apply
# each file again:
#   kubectl apply --server-side --field-manager=panal-placements -f deploy/all-clusters.yaml
# To select some clusters: create a Placement in a namespace with bindings of its cluster sets, and name it here instead of {ADDON}.
"""


def main() -> None:
    sys.stdout.write(HEADER)
    yaml.safe_dump_all(all_clusters(SYSTEM_NAMESPACE), sys.stdout, sort_keys=False, width=140)


if __name__ == "__main__":
    main()
