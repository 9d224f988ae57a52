"""Functions on Kubernetes objects that several loops share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from panal.kube.objects import Object
from panal_local.owners import controller_reference


def deleting(obj: Object) -> bool:
    return bool(obj["metadata"].get("deletionTimestamp"))


def phase(pod: Object) -> str:
    return str((pod.get("status") or {}).get("phase") or "Pending")


def owner(obj: Object) -> dict[str, Any]:
    """The reference to the controller of the object; empty if it has none."""
    return next((o for o in obj["metadata"].get("ownerReferences") or () if o.get("controller")), {})


def pod_of(template: Mapping[str, Any], of: Object, labels: Mapping[str, str], **metadata: Any) -> Object:
    """A Pod from the template of its owner `of`. `metadata` contains the name."""
    given = template.get("metadata") or {}
    own: dict[str, Any] = {"namespace": of["metadata"]["namespace"], "labels": {**(given.get("labels") or {}), **labels}, **metadata}
    if given.get("annotations"):
        own["annotations"] = dict(given["annotations"])
    own["ownerReferences"] = [controller_reference(of["apiVersion"], of["kind"], of)]
    return {"apiVersion": "v1", "kind": "Pod", "metadata": own, "spec": dict(template["spec"])}
