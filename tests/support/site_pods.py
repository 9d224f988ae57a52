"""A collaborator's Pod as it is at a site with a SitePolicy, after the API server has set its defaults."""

from __future__ import annotations

import json
from copy import deepcopy
from typing import Any

from panal.api import names

PANAL = "registry.example.com/panal"
IMAGE = "registry.example.com/app@sha256:" + "a" * 64
APP_HASH = "b" * 64
SAID = {"namespace": "mnist", "name": "digits", "uid": "7", "framework": "flower", "mode": "Train", "rounds": 5, "purpose": "research"}
SECURITY = {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}}
DEFAULTS = {
    "imagePullPolicy": "IfNotPresent",
    "terminationMessagePath": "/dev/termination-log",
    "terminationMessagePolicy": "File",
    "securityContext": SECURITY,
}


def pod(**said: Any) -> dict[str, Any]:
    """`said`: what the annotation says, over SAID."""
    tools = {
        "name": "tools",
        "image": f"{PANAL}/pod-tools:0.1.0",
        "command": ["python3", "-m", "panal.pod.collaborator", "/panal/tools"],
        "env": [{"name": "PANAL_POD_DIR", "value": "/panal/pod"}, {"name": "PANAL_SITE_POLICY", "value": "Required"}],
        "volumeMounts": [_mount("tools", "/panal/tools"), _mount("pod", "/panal/pod"), _mount("site", "/panal/site", readOnly=True)],
        "resources": {"requests": {"cpu": "20m"}},
        **DEFAULTS,
    }
    gateway = {
        "name": "gateway",
        "image": f"{PANAL}/gateway:0.1.0",
        "restartPolicy": "Always",
        "workingDir": "/panal/gateway",
        "command": ["envoy"],
        "args": [
            "--disable-hot-restart",
            "--drain-strategy",
            "immediate",
            "--file-flush-interval-msec",
            "500",
            "-l",
            "warning",
            "--concurrency",
            "1",
            "--drain-time-s",
            "2",
            "--config-path",
            "$(PANAL_POD_DIR)/gateway.json",
        ],
        "env": [
            {"name": "PANAL_LOOPBACK", "value": "127.0.0.1"},
            {"name": "PANAL_POD_DIR", "value": "/panal/pod"},
            {"name": "PANAL_POD_UID", "valueFrom": {"fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.uid"}}},
        ],
        "volumeMounts": [
            _mount("gateway", "/panal/gateway", readOnly=True),
            _mount("pod", "/panal/pod", readOnly=True),
            _mount("site", "/panal/site", readOnly=True),
        ],
        "resources": {"requests": {"cpu": "20m"}},
        **DEFAULTS,
    }
    main = {
        "name": "supernode",
        "image": IMAGE,
        "command": ["python3", "/panal/tools/run.py", "flower", "supernode"],
        "env": [
            {"name": "PANAL_APP_HASH", "value": APP_HASH},
            {"name": "PANAL_DATA_PATH", "value": "/panal/data"},
            {"name": "PANAL_MINIMUM_EXAMPLES", "value": "20"},
            {"name": "PANAL_SHARE_ERRORS", "valueFrom": {"configMapKeyRef": {"name": names.SITE, "key": "share-errors", "optional": True}}},
        ],
        "volumeMounts": [
            *(_mount(name, f"/panal/{name}") for name in ("tools", "work")),
            _mount("tmp", "/tmp"),
            _mount("pod", "/panal/pod", readOnly=True),
            _mount("data", "/panal/data", readOnly=True, subPath="train"),
        ],
        "resources": {},
        **DEFAULTS,
    }
    spec = {
        "serviceAccountName": names.ADDON,
        "serviceAccount": names.ADDON,
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": 20,
        "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}, "fsGroup": 65532},
        "initContainers": [tools, gateway],
        "containers": [main],
        "volumes": [
            *({"name": name, "emptyDir": {}} for name in ("tools", "tmp", "work", "pod")),
            {
                "name": "gateway",
                "projected": {
                    "defaultMode": 0o440,
                    "sources": [
                        {"secret": {"name": names.IDENTITY_SECRET}},
                        {"secret": {"name": names.PROXY, "optional": True}},
                        {"configMap": {"name": names.TRUST}},
                        {"configMap": {"name": "digits-0123456789"}},
                    ],
                },
            },
            {"name": "site", "projected": {"sources": [{"configMap": {"name": "panal-site"}}, {"secret": {"name": "panal-site"}}]}},
            {"name": "data", "persistentVolumeClaim": {"claimName": "digits", "readOnly": True}},
        ],
        "dnsPolicy": "None",
        "dnsConfig": {"nameservers": ["127.0.0.1"]},
        "restartPolicy": "Always",
        "schedulerName": "default-scheduler",
        "priority": 0,
        "preemptionPolicy": "PreemptLowerPriority",
        "hostname": "digits-0123456789-0",
        "subdomain": "digits-0123456789",
        "tolerations": [],
        "schedulingGates": [{"name": names.SITE_GATE}],
    }
    annotations = {names.ANNOTATION_REQUEST: json.dumps(SAID | said)}
    metadata = {"name": "digits-0123456789-0", "namespace": names.COLLABORATOR_NAMESPACE, "uid": "pod-1", "annotations": annotations}
    return deepcopy({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec})


def _mount(name: str, path: str, **more: Any) -> dict[str, Any]:
    return {"name": name, "mountPath": path, **more}
