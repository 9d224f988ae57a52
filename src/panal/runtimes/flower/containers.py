"""Flower's containers: superlink and launcher on the hub, supernode at each site. They use plain HTTP on loopback, behind the gateway.

`panal.pod.tools.flower` has their programs; docs/design/pods.md describes the contract with them.
"""

from __future__ import annotations

from typing import Any

from panal.api.names import COLLABORATOR_PORT, POD_DIR, RUN_DIR, SITE, TOOLS_DIR, WORK_DIR, ClusterName
from panal.api.quantity import in_bytes
from panal.api.run_config import as_json
from panal.api.types import PodSettings, Spec
from panal.runtimes.base import AggregatorContainers, Announced, Container, Partition, environment, mounts

# Whether exception texts may leave the site: the site's owner sets it in a ConfigMap on the cluster. By default they may not.
_SHARE_ERRORS = {"name": "PANAL_SHARE_ERRORS", "valueFrom": {"configMapKeyRef": {"name": SITE, "key": "share-errors", "optional": True}}}

# Identifies the Pod of a SuperNode: one that restarts in the same Pod replaces the previous one at once.
_INSTANCE = {"name": "PANAL_INSTANCE", "valueFrom": {"fieldRef": {"fieldPath": "metadata.uid"}}}


def aggregator(spec: Spec) -> AggregatorContainers:
    env = environment(
        PANAL_RUN_DIR=RUN_DIR,
        PANAL_POD_DIR=POD_DIR,
        PANAL_WORK_DIR=WORK_DIR,
        PANAL_ROUNDS=str(spec.server.rounds),
        PANAL_MIN_CLIENTS=str(spec.server.min_available_clients),
        PANAL_QUORUM_TIMEOUT=str(spec.server.quorum_timeout_seconds),
        PANAL_ROUND_TIMEOUT=str(spec.server.round_timeout_seconds),
        PANAL_ACCELERATION=str(spec.acceleration),
        PANAL_RESULT=str(spec.result or ""),
        PANAL_REPLY_SHAPES=str(spec.server.replies.shapes),
        PANAL_REPLY_NUMBERS=str(spec.server.replies.numbers),
    )
    if spec.server.replies.max_size is not None:
        env += environment(PANAL_LARGEST_REPLY=str(in_bytes(spec.server.replies.max_size)))
    image = spec.server.image
    superlink = _container("superlink", image, spec.server, env, mounts("tools", "run", "tmp", "work", "pod"))
    if spec.server.run_config:
        env = [*env, *environment(PANAL_RUN_CONFIG=as_json(spec.server.run_config).replace("$", "$$"))]  # Kubernetes expands $(NAME)
    launcher = _container("launcher", image, spec.server, env, mounts("tools", "run", "tmp", "work", "pod"))
    return AggregatorContainers(sidecars=(superlink | {"restartPolicy": "Always"},), main=launcher)


def collaborator(spec: Spec, cluster: ClusterName, partition: Partition, data_path: str, announced: Announced) -> Container:
    env = environment(
        PANAL_CLUSTER=cluster,
        PANAL_PARTITION_ID=str(partition.index),
        PANAL_NUM_PARTITIONS=str(partition.count),
        PANAL_POD_DIR=POD_DIR,
        PANAL_WORK_DIR=WORK_DIR,
        PANAL_GATEWAY_PORT=str(COLLABORATOR_PORT),
        PANAL_APP_HASH=announced.app_hash,
        PANAL_FLOWER_VERSION=announced.version,
        PANAL_ACCELERATION=str(spec.acceleration),
    )
    if data_path:
        env += environment(PANAL_DATA_PATH=data_path)
    volumes = mounts("tools", "tmp", "work", "pod")
    return _container("supernode", spec.client.image, spec.client, [*env, _INSTANCE, _SHARE_ERRORS], volumes)


def _container(name: str, image: str, settings: PodSettings, env: list[dict[str, Any]], volume_mounts: list[dict[str, Any]]) -> Container:
    container: Container = {
        "name": name,
        "image": image,
        "command": ["python3", f"{TOOLS_DIR}/run.py", "flower", name],
        "env": env,
        "volumeMounts": volume_mounts,
    }
    if settings.image_pull_policy is not None:
        container["imagePullPolicy"] = settings.image_pull_policy
    return container
