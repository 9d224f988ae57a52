"""Collaborators' Pods as a hub makes them for a site with a policy, without a hub."""

from __future__ import annotations

import json
from typing import Any

from panal.api import names
from panal.site.request import GATEWAY_OPTIONS, SECURITY, TOOLS_COMMAND

TOOLS, GATEWAY, IMAGE = "panal/pod-tools:0.1.0", "panal/gateway:0.1.0", "app:1"
NAMESPACE, NAME, UID = "team", "study", "11111111-2222-3333-4444-555555555555"
POD = {"name": "PANAL_POD_DIR", "value": names.POD_DIR}


def policy(*rules: dict[str, Any], **spec: Any) -> dict[str, Any]:
    """A SitePolicy."""
    metadata = {"name": names.SITE_POLICY}
    body = {"panalImages": ["panal/*"], "rules": list(rules), **spec}
    return {"apiVersion": names.API_VERSION, "kind": names.SITE_KIND, "metadata": metadata, "spec": body}


def rule(**fields: Any) -> dict[str, Any]:
    return {"name": "studies", "data": ["None"], "images": [IMAGE], **fields}


def said(**more: Any) -> str:
    """What the hub says, for the annotation."""
    found = {"namespace": NAMESPACE, "name": NAME, "uid": UID, "framework": "flower", **more}
    return json.dumps({key: value for key, value in found.items() if value}, sort_keys=True, separators=(",", ":"))


def template(*, image: str = IMAGE, gated: bool = True, **more: Any) -> dict[str, Any]:
    """Of a StatefulSet."""
    gates = {"schedulingGates": [{"name": names.SITE_GATE}]} if gated else {}
    site = {"name": "site", "mountPath": names.SITE_DIR, "readOnly": True}
    pod = {"name": "pod", "mountPath": names.POD_DIR}
    tools = {"name": "tools", "mountPath": names.TOOLS_DIR}
    sources = [
        {"configMap": {"name": names.SITE_CONTROLLER, "items": [{"key": key, "path": key} for key in ("address", "ca.crt")]}},
        {"secret": {"name": names.SITE_CONTROLLER, "items": [{"key": "token", "path": "token"}]}},
    ]
    return {
        "metadata": {
            "labels": {names.LABEL_COMPONENT: "collaborator", "app": "study"},
            "annotations": {names.ANNOTATION_REQUEST: said(**more)},
        },
        "spec": {
            "serviceAccountName": names.ADDON,
            "automountServiceAccountToken": False,
            "enableServiceLinks": False,
            "terminationGracePeriodSeconds": 20,
            "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}, "fsGroup": 65532},
            **gates,
            "initContainers": [
                {
                    "name": "tools",
                    "image": TOOLS,
                    "command": TOOLS_COMMAND,
                    "env": [POD, {"name": "PANAL_SITE_POLICY", "value": "Required"}, {"name": "PANAL_SITE_BODIES", "value": "Whole"}],
                    "volumeMounts": [tools, pod, site],
                    "securityContext": SECURITY,
                },
                {
                    "name": "gateway",
                    "image": GATEWAY,
                    "command": ["envoy"],
                    "args": sorted(GATEWAY_OPTIONS),
                    "restartPolicy": "Always",
                    "workingDir": names.GATEWAY_DIR,
                    "env": [{"name": "PANAL_LOOPBACK", "value": "127.0.0.1"}, POD],
                    "volumeMounts": [{"name": "gateway", "mountPath": names.GATEWAY_DIR, "readOnly": True}, pod, site],
                    "securityContext": SECURITY,
                },
            ],
            "containers": [{"name": "supernode", "image": image, "volumeMounts": [tools], "securityContext": SECURITY}],
            "volumes": [
                *({"name": name, "emptyDir": {}} for name in ("tools", "pod")),
                {"name": "gateway", "projected": {"sources": [{"configMap": {"name": names.TRUST}}]}},
                {"name": "site", "projected": {"sources": sources}},
            ],
        },
    }


def bare_pod(name: str, **more: Any) -> dict[str, Any]:
    made = template(**more)
    metadata = {"name": name, "namespace": names.COLLABORATOR_NAMESPACE, **made["metadata"]}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": made["spec"]}


def stateful_set(name: str, **more: Any) -> dict[str, Any]:
    metadata = {"name": name, "namespace": names.COLLABORATOR_NAMESPACE}
    spec = {"serviceName": name, "replicas": 1, "selector": {"matchLabels": {"app": "study"}}, "template": template(**more)}
    return {"apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": metadata, "spec": spec}
