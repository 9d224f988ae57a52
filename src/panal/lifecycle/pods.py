"""What all Pods of a run have in common, independent of the runtime: security context, volumes, the init container with the pod tools, and
the user's settings.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from panal.api import names
from panal.api.types import PodSettings
from panal.lifecycle.world import Images

FS_GROUP = 65532  # the group of panal's images; on OpenShift the namespace sets it
TOOLS, GATEWAY = "tools", "gateway"  # containers of both kinds of Pods
REPORTER = "reporter"  # a container of the aggregator's Pod
HOME = {"name": "HOME", "value": "/tmp"}
EMPTY: dict[str, Any] = {}
POD_ENV = {"name": "PANAL_POD_DIR", "value": names.POD_DIR}
POD_MOUNT = {"name": "pod", "mountPath": names.POD_DIR, "readOnly": True}
WORK_LIMIT = "8Gi"  # of the working directory; Kubernetes evicts a Pod that writes more
OUR_RESOURCES = {"requests": {"cpu": "20m", "memory": "64Mi"}}


def security(open_shift: bool) -> dict[str, Any]:
    """The Pod's security context, which satisfies Pod Security `restricted`. The user id comes from the image or from OpenShift. The group
    may write to volumes and read the key; OpenShift sets its own."""
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


def tools_container(images: Images, program: str = "panal.pod.tools.install") -> dict[str, Any]:
    """The init container that copies the pod tools to a volume and creates the Pod's secret."""
    return secured(
        {
            "name": TOOLS,
            "image": images.pod_tools,
            "imagePullPolicy": images.pull_policy,
            "command": ["python3", "-m", program, names.TOOLS_DIR],
            "env": [POD_ENV],
            "volumeMounts": [{"name": "tools", "mountPath": names.TOOLS_DIR}, {"name": "pod", "mountPath": names.POD_DIR}],
            "resources": OUR_RESOURCES,
        }
    )


def gateway_container(images: Images, arguments: Sequence[str], *mounts: dict[str, Any]) -> dict[str, Any]:
    """Envoy. Its working directory is the gateway's folder, whose files refer to each other by relative paths. Kubernetes replaces $(NAME)
    in `arguments` by the variable in `env`."""
    return secured(
        {
            "name": GATEWAY,
            "image": images.gateway,
            "imagePullPolicy": images.pull_policy,
            "restartPolicy": "Always",
            "workingDir": names.GATEWAY_DIR,
            "command": ["envoy"],
            "args": list(arguments),
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
    """In-memory volumes for secrets."""
    return [{"name": v, "emptyDir": {"medium": "Memory"}} for v in volumes]
