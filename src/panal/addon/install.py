"""What makes clusters take part: the add-on as OCM's add-on manager knows it, and the Placement that says which clusters get it.

The chart renders the same objects (charts/panal/templates/addon.yaml; a test compares them), the local platform applies these, and
`python -m panal.addon.install` prints deploy/all-clusters.yaml, for hubs on which deploy/panal.yaml was applied.
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
LIFECYCLE = {f"{GROUP}/lifecycle": "addon-manager"}  # OCM's own manager installs and removes it, by Placement
TITLE = "Federated learning collaborator"
DESCRIPTION = "Lets a cluster take part in federated learning: its certificate, and what its collaborators need at the site."
EVERY_SET = "global"  # the cluster set of which every cluster is a member
# A cluster that is away for a while keeps the add-on: to take it away is to withdraw the certificate.
AWAY = tuple({"key": f"{CLUSTER_GROUP}/{taint}", "operator": "Exists"} for taint in ("unreachable", "unavailable"))


def addon(placements: Iterable[Object], default_config: Mapping[str, str] | None = None) -> Object:
    """The ClusterManagementAddOn. `placements` are entries of its installStrategy, of which the last one's configuration counts where a
    cluster is in several; `default_config` is the namespace and name of an AddOnDeploymentConfig. Without placements no cluster has it."""
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
    """An empty list is left out: who adds placements on the hub keeps them when the add-on is applied again."""
    found = list(placements)
    return {"type": "Placements"} | ({"placements": found} if found else {})


def placed_everywhere(namespace: str) -> Object:
    """The entry of `addon` for the Placement that `everywhere` makes."""
    return {"namespace": namespace, "name": ADDON}


def everywhere(namespace: str) -> list[Object]:
    """A Placement over all clusters of the hub, and the binding that it needs."""
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
            "spec": {"clusterSets": [EVERY_SET], "tolerations": [dict(each) for each in AWAY]},
        },
    ]


def let_all_take_part(namespace: str) -> list[Object]:
    """For `kubectl apply --server-side` with a field manager of its own: it adds a placement to an add-on that is installed, and owns
    nothing else of it."""
    strategy = _addon({}, {"installStrategy": _strategy([placed_everywhere(namespace)])})
    return [*everywhere(namespace), strategy]


HEADER = f"""\
# Lets every cluster of the hub take part, beside deploy/panal.yaml. With a field manager of its own, so that each can be applied again:
#   kubectl apply --server-side --field-manager=panal-placements -f deploy/all-clusters.yaml
# For some clusters: a Placement of your own, in a namespace with bindings of its cluster sets, named here in the place of {ADDON}.
"""


def main() -> None:
    sys.stdout.write(HEADER)
    yaml.safe_dump_all(let_all_take_part(SYSTEM_NAMESPACE), sys.stdout, sort_keys=False, width=140)


if __name__ == "__main__":
    main()
