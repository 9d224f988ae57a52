"""Flower's containers: superlink and launcher on the hub, supernode at each site. They use plain HTTP on loopback, behind the gateway.

`panal.pod.tools.flower` has their programs; docs/design/pods.md describes the contract with them.
"""

from __future__ import annotations

import json
from typing import Any

from panal.api.names import SITE, ClusterName
from panal.api.quantity import in_bytes
from panal.api.run_config import as_json
from panal.api.spec import AggregationMethod
from panal.api.types import Evaluation, Mode, Spec
from panal.privacy.limits import most_updates
from panal.runtimes.base import (
    AGGREGATOR,
    COLLABORATOR,
    AggregatorContainers,
    Announced,
    Container,
    Partition,
    aggregator_environment,
    collaborator_environment,
    container,
    environment,
)

# Whether exception texts may leave the site: the site's owner sets it in a ConfigMap on the cluster. By default they may not.
_SHARE_ERRORS = {"name": "PANAL_SHARE_ERRORS", "valueFrom": {"configMapKeyRef": {"name": SITE, "key": "share-errors", "optional": True}}}

# Identifies the Pod of a SuperNode: one that restarts in the same Pod replaces the previous one at once.
_INSTANCE = {"name": "PANAL_INSTANCE", "valueFrom": {"fieldRef": {"fieldPath": "metadata.uid"}}}


def aggregator(spec: Spec) -> AggregatorContainers:
    env = aggregator_environment(spec) + environment(
        PANAL_ACCELERATION=str(spec.acceleration),
        PANAL_RESULT=str(spec.result or ""),
        PANAL_REPLY_SHAPES=str(spec.server.replies.shapes),
        PANAL_REPLY_NUMBERS=str(spec.server.replies.numbers),
    )
    if spec.mode is Mode.EVALUATE:
        env += environment(PANAL_MODE=str(spec.mode), PANAL_LOCAL_ROUNDS=str((spec.evaluation or Evaluation()).local_rounds))
    env += _privacy(spec)
    if spec.server.replies.max_size is not None:
        env += environment(PANAL_LARGEST_REPLY=str(in_bytes(spec.server.replies.max_size)))
    if spec.server.aggregation.method is not AggregationMethod.APP:
        aggregation = spec.server.aggregation
        env += environment(PANAL_AGGREGATION=str(aggregation.method), PANAL_BYZANTINE_CLIENTS=str(aggregation.byzantine_clients or 0))
    if spec.server.replies.largest_update_norm is not None:
        env += environment(PANAL_LARGEST_UPDATE_NORM=str(spec.server.replies.largest_update_norm))
    image = spec.server.image
    superlink = container("superlink", ("flower", "superlink"), image, spec.server, env, AGGREGATOR)
    if spec.server.run_config:
        env = [*env, *environment(PANAL_RUN_CONFIG=as_json(spec.server.run_config).replace("$", "$$"))]  # Kubernetes expands $(NAME)
    launcher = container("launcher", ("flower", "launcher"), image, spec.server, env, AGGREGATOR)
    return AggregatorContainers(sidecars=(superlink | {"restartPolicy": "Always"},), main=launcher)


def collaborator(spec: Spec, cluster: ClusterName, partition: Partition, data_path: str, announced: Announced) -> Container:
    env = collaborator_environment(cluster, partition) + environment(
        PANAL_APP_HASH=announced.app_hash,
        PANAL_FLOWER_VERSION=announced.version,
        PANAL_ACCELERATION=str(spec.acceleration),
    )
    env += _privacy(spec, plannedUpdates=spec.server.rounds)
    if spec.client.minimum_examples:
        env += environment(PANAL_MINIMUM_EXAMPLES=str(spec.client.minimum_examples))
    if data_path:
        env += environment(PANAL_DATA_PATH=data_path)
    own = [_INSTANCE, _SHARE_ERRORS]
    return container("supernode", ("flower", "supernode"), spec.client.image, spec.client, [*env, *own], COLLABORATOR)


def _privacy(spec: Spec, **more: int) -> list[dict[str, Any]]:
    """For both sides: sites protect their updates, and the aggregator counts them, and adds up those that are masked. `plannedUpdates`: for
    a site with a privacy budget."""
    if spec.privacy is None:
        return []
    settings: dict[str, Any] = {}
    if (wanted := spec.privacy.differential_privacy) is not None:
        settings |= {
            "clippingNorm": wanted.clipping_norm,
            "noiseMultiplier": wanted.noise_multiplier,
            "metrics": str(wanted.metrics),
            "mostUpdates": most_updates(wanted),
            **more,
        }
    if (secure := spec.privacy.secure_aggregation) is not None:
        settings["secureAggregation"] = {"threshold": secure.threshold}
    return environment(PANAL_PRIVACY=json.dumps(settings))
