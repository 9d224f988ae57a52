"""What the pods of a run have in common: restricted security, the volumes, the init container that hands in the pod tools,
and the settings of the user. A runtime gives the containers; nothing of its framework is known here.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from panal.api import names
from panal.api.types import PodSettings
from panal.lifecycle.world import Images

FS_GROUP = 65532  # the group of our own images; on OpenShift the namespace's range decides instead
TOOLS, GATEWAY = "tools", "gateway"  # containers of both kinds of Pods
HOME = {"name": "HOME", "value": "/tmp"}
EMPTY: dict[str, Any] = {}
POD_ENV = {"name": "PANAL_POD_DIR", "value": names.POD_DIR}
POD_MOUNT = {"name": "pod", "mountPath": names.POD_DIR, "readOnly": True}
WORK_LIMIT = "8Gi"  # of the working directory: a Pod that writes more is evicted
OUR_RESOURCES = {"requests": {"cpu": "20m", "memory": "64Mi"}}


def security(open_shift: bool) -> dict[str, Any]:
    """The pod's security context: Pod Security `restricted`, with any user id that the image or OpenShift gives. The group is for volumes
    that are written, and for the key, which no other user may read; OpenShift gives one by itself."""
    context: dict[str, Any] = {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}
    return context if open_shift else context | {"fsGroup": FS_GROUP, "fsGroupChangePolicy": "OnRootMismatch"}


def secured(container: dict[str, Any]) -> dict[str, Any]:
    context = {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}}
    return {**container, "securityContext": context}


def with_settings(container: dict[str, Any], settings: PodSettings) -> dict[str, Any]:
    """The user's env and resources on a container of the user's image. Names that panal sets cannot be overridden."""
    ours = [*container.get("env", []), HOME]
    taken = [e["name"] for e in ours]
    env = [*ours, *(e for e in settings.env if e.get("name") not in taken)]
    filled = {**container, "env": env}
    if settings.resources:
        filled["resources"] = settings.resources
    return secured(filled)


def tools_container(images: Images) -> dict[str, Any]:
    """Copies the pod tools to where the user's containers find them, and makes the Pod's secret."""
    return secured(
        {
            "name": TOOLS,
            "image": images.pod_tools,
            "imagePullPolicy": images.pull_policy,
            "command": ["python3", "-m", "panal.pod.tools.install", names.TOOLS_DIR],
            "env": [POD_ENV],
            "volumeMounts": [{"name": "tools", "mountPath": names.TOOLS_DIR}, {"name": "pod", "mountPath": names.POD_DIR}],
            "resources": OUR_RESOURCES,
        }
    )


def gateway_container(images: Images, arguments: Sequence[str], static: dict[str, Any], *mounts: dict[str, Any]) -> dict[str, Any]:
    """Envoy with `static` to start with; the rest is in its folder, which is the working directory, since the files there name each other
    by relative paths. Kubernetes replaces $(NAME) in arguments by what `env` has."""
    return secured(
        {
            "name": GATEWAY,
            "image": images.gateway,
            "imagePullPolicy": images.pull_policy,
            "restartPolicy": "Always",
            "workingDir": names.GATEWAY_DIR,
            "command": ["envoy"],
            "args": [*arguments, "--config-yaml", json.dumps(static)],
            "env": [{"name": "PANAL_LOOPBACK", "value": "127.0.0.1"}],
            "volumeMounts": list(mounts),
        }
    )


def scheduling(settings: PodSettings) -> dict[str, Any]:
    """nodeSelector, tolerations and imagePullSecrets of the user, where given."""
    found: dict[str, Any] = {}
    if settings.node_selector:
        found["nodeSelector"] = settings.node_selector
    if settings.tolerations:
        found["tolerations"] = settings.tolerations
    if settings.image_pull_secrets:
        found["imagePullSecrets"] = settings.image_pull_secrets
    return found


def empty_dirs(*volumes: str) -> list[dict[str, Any]]:
    return [{"name": v, "emptyDir": EMPTY} for v in volumes]


def work_dir() -> dict[str, Any]:
    return {"name": "work", "emptyDir": {"sizeLimit": WORK_LIMIT}}


def memory_dirs(*volumes: str) -> list[dict[str, Any]]:
    """For secrets: nothing of them is ever on a disk."""
    return [{"name": v, "emptyDir": {"medium": "Memory"}} for v in volumes]
