"""A FederatedLearning for an app's folder. Pure."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Any

from panal.api.names import API_VERSION, KIND, NO_DATA
from panal.client.apps import App
from panal.kube.objects import Object

VOLUME = "models"  # the claim for models


def manifest(app: App, image: str, clients: int, data_claim: str, name: str = "", namespace: str = "") -> Object:
    """`clients`: how many clusters the start and each round need. `data_claim`: the ClusterClaim by which sites announce their data; empty
    if the app contains or generates its data. Without a `name` it has `generateName`, and `next_name` is for it."""
    placement: dict[str, Any] = {"clusterSets": ["default"]}
    if data_claim:
        selector = {"matchExpressions": [{"key": data_claim, "operator": "Exists"}]}
        placement["predicates"] = [{"requiredClusterSelector": {"claimSelector": selector}}]
    server = {"image": image, **app.server, "rounds": app.rounds, "minAvailableClients": clients, "storage": {"name": VOLUME}}
    if app.run_config:
        server["runConfig"] = dict(app.run_config)
    client = {"image": image, **app.client, "placement": placement} | ({} if data_claim else {"dataClaim": NO_DATA})
    metadata = ({"name": name} if name else {"generateName": f"{app.name}-"}) | ({"namespace": namespace} if namespace else {})
    spec = {"framework": app.framework, "server": server, "client": client}
    return {"apiVersion": API_VERSION, "kind": KIND, "metadata": metadata, "spec": spec}


def merged(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """`base` with the fields of `over`; objects are merged, everything else is replaced."""
    both = {
        key: merged(base[key], value) if isinstance(value, Mapping) and isinstance(base.get(key), Mapping) else value
        for key, value in over.items()
    }
    return {**base, **both}


def named(run: Object, taken: Collection[str]) -> Object:
    """The run with its name; without one it gets the next number after its prefix."""
    metadata = run["metadata"]
    if metadata.get("name"):
        return run
    kept = {key: value for key, value in metadata.items() if key != "generateName"}
    return run | {"metadata": {"name": next_name(metadata["generateName"], taken), **kept}}


def next_name(prefix: str, taken: Collection[str]) -> str:
    numbers = [int(name.removeprefix(prefix)) for name in taken if re.fullmatch(rf"{re.escape(prefix)}[0-9]{{1,9}}", name)]
    return f"{prefix}{max(numbers, default=0) + 1}"
