"""Collaborators' Pods at a site with a SitePolicy: as the hub's controller makes them, and as an API server returns them."""

from __future__ import annotations

import json
from copy import deepcopy
from dataclasses import replace
from typing import Any

from panal.api import names
from panal.lifecycle.decide import decide
from worlds import NOW, cluster, clusters, fresh, job, manifests, progress, run, service
from worlds import pod as pod_view

IMAGE = "registry.example.com/app@sha256:" + "a" * 64
APP_HASH = "ab" * 32
DATA = "pvc://digits/train"
PANAL = "panal"
SHARED = {"imagePullPolicy": "IfNotPresent", "terminationMessagePath": "/dev/termination-log", "terminationMessagePolicy": "File"}


def template(
    *, said: dict[str, Any] | None = None, data: str | None = DATA, gated: bool = True, framework: str = "flower", **spec: Any
) -> dict[str, Any]:
    """Of the StatefulSet that the work of a run brings. `said` replaces what the annotation says; `spec` is the run's."""
    client = {"image": IMAGE, "minimumExamples": 20} if framework == "flower" else {"image": IMAGE}
    wanted = run(**({"framework": framework, "purpose": "research", "client": client} | spec))
    if data is None:
        wanted = replace(
            wanted, spec=wanted.spec.model_copy(update={"client": wanted.spec.client.model_copy(update={"data_claim": "None"})})
        )
    view = cluster(1, claim=data)
    view = replace(view, claims={**view.claims, names.SITE_CLAIM: names.VERSION})
    known = {"exposed": (service(),), "job": job(pod_view()), "progress": progress(connected=0, started=False)}
    world = fresh(run=wanted, clusters=clusters(view, cluster(2), cluster(3)), **known)
    found: dict[str, Any] = deepcopy(manifests(decide(world, NOW))["StatefulSet"]["spec"]["template"])
    annotations = found["metadata"]["annotations"]
    annotations[names.ANNOTATION_REQUEST] = json.dumps(json.loads(annotations[names.ANNOTATION_REQUEST]) | (said or {}))
    if not gated:
        del found["spec"]["schedulingGates"]
    return found


def pod(*, said: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    """After the API server has set its defaults."""
    found = template(said=said, **more)
    spec = found["spec"]
    for container in (*spec["initContainers"], *spec["containers"]):
        container |= {key: value for key, value in SHARED.items() if key not in container}
        container.setdefault("resources", {})
        for each in container["env"]:
            if "fieldRef" in each.get("valueFrom", {}):
                each["valueFrom"]["fieldRef"]["apiVersion"] = "v1"
            if each.get("value") == "":
                del each["value"]
    spec |= {"serviceAccount": names.ADDON, "restartPolicy": "Always", "schedulerName": "default-scheduler", "priority": 0}
    spec |= {"preemptionPolicy": "PreemptLowerPriority", "hostname": "digits-0", "subdomain": "digits", "tolerations": []}
    metadata = {**found["metadata"], "name": "digits-0", "namespace": names.COLLABORATOR_NAMESPACE, "uid": "pod-1"}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}
