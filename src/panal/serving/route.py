"""The HTTPRoute that splits the requests of a service between its version and a canary, by weights.

KServe itself splits traffic only in Knative mode. Here a Gateway of the Gateway API does it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from panal.serving.predictor import SERVICE_PORT, predictor_of
from panal.serving.version import LABELS

Object = dict[str, Any]
API_VERSION, KIND = "gateway.networking.k8s.io/v1", "HTTPRoute"


def http_route(service: str, namespace: str, gateway: str, hostname: str, weights: Mapping[str, int], owner: Object) -> Object:
    """`gateway`: NAMESPACE/NAME. `weights`: by InferenceService. `owner`: an ownerReference."""
    of, _, name = gateway.partition("/")
    backends = [{"name": predictor_of(each), "port": SERVICE_PORT, "weight": weight} for each, weight in weights.items()]
    return {
        "apiVersion": API_VERSION,
        "kind": KIND,
        "metadata": {"name": service, "namespace": namespace, "labels": LABELS, "ownerReferences": [owner]},
        "spec": {"parentRefs": [{"namespace": of, "name": name}], "hostnames": [hostname], "rules": [{"backendRefs": backends}]},
    }


def address(route: Object) -> tuple[str, str]:
    """The Gateway as NAMESPACE/NAME, and the host name, of a route that `http_route` has made."""
    parent = route["spec"]["parentRefs"][0]
    return f"{parent.get('namespace') or route['metadata']['namespace']}/{parent['name']}", str(route["spec"]["hostnames"][0])


def problem(route: Object) -> str:
    """Why the Gateway does not route by the present spec; empty if it does."""
    generation = route["metadata"].get("generation")
    parents = (route.get("status") or {}).get("parents") or ()
    found = {c["type"]: c for parent in parents for c in parent.get("conditions") or () if c.get("observedGeneration") == generation}
    for wanted in ("Accepted", "ResolvedRefs"):
        condition = found.get(wanted)
        if condition is None:
            return f"no controller has answered for the HTTPRoute {route['metadata']['name']} ({wanted})"
        if condition.get("status") != "True":
            return f"{wanted} is {condition.get('status')}: {condition.get('message') or condition.get('reason')}"
    return ""
