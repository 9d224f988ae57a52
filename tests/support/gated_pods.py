"""Objects of a site with a policy, for a real API server without a hub."""

from __future__ import annotations

from typing import Any

import site_pods
from panal.api import names

TOOLS, GATEWAY, IMAGE = "panal/pod-tools:1", "panal/gateway:1", site_pods.IMAGE
NAMESPACE, NAME = "ns", "digits"


def policy(*rules: dict[str, Any], **spec: Any) -> dict[str, Any]:
    """A SitePolicy."""
    metadata = {"name": names.SITE_POLICY}
    body = {"panalImages": ["panal/*"], "rules": list(rules), **spec}
    return {"apiVersion": names.API_VERSION, "kind": names.SITE_KIND, "metadata": metadata, "spec": body}


def rule(**fields: Any) -> dict[str, Any]:
    return {"name": "studies", "data": ["None"], "images": [IMAGE], **fields}


def template(*, image: str = IMAGE, gated: bool = True, spec: dict[str, Any] | None = None, **said: Any) -> dict[str, Any]:
    """Of a StatefulSet whose Pods have no data. `spec`: of the run."""
    made = site_pods.template(said=said, data=None, gated=gated, client={"image": image}, **(spec or {}))
    made["metadata"]["labels"] |= {"app": "study"}
    return made


def bare_pod(name: str, **more: Any) -> dict[str, Any]:
    made = template(**more)
    metadata = {"name": name, "namespace": names.COLLABORATOR_NAMESPACE, **made["metadata"]}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": made["spec"]}


def stateful_set(name: str, **more: Any) -> dict[str, Any]:
    metadata = {"name": name, "namespace": names.COLLABORATOR_NAMESPACE}
    spec = {"serviceName": name, "replicas": 1, "selector": {"matchLabels": {"app": "study"}}, "template": template(**more)}
    return {"apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": metadata, "spec": spec}
