"""OpenFL's containers: the aggregator on the hub, the collaborator at each site. They use gRPC without TLS on loopback, behind the gateway.

`panal.pod.tools.openfl` has their programs; docs/design/pods.md describes the contract with them.
"""

from __future__ import annotations

from panal.api.names import ClusterName
from panal.api.quantity import in_bytes
from panal.api.types import Spec
from panal.runtimes.base import (
    AGGREGATOR,
    COLLABORATOR,
    AggregatorContainers,
    Container,
    Partition,
    aggregator_environment,
    collaborator_environment,
    container,
    environment,
)


def aggregator(spec: Spec) -> AggregatorContainers:
    server = spec.server
    env = aggregator_environment(spec) + environment(
        PANAL_RESULT=str(spec.result or ""),
        PANAL_REPLY_SHAPES=str(server.replies.shapes),
        PANAL_REPLY_NUMBERS=str(server.replies.numbers),
    )
    if server.replies.max_size is not None:
        env += environment(PANAL_LARGEST_REPLY=str(in_bytes(server.replies.max_size)))
    main = container("aggregator", ("openfl", "aggregator"), server.image, server, env, AGGREGATOR)
    return AggregatorContainers(sidecars=(), main=main)


def collaborator(spec: Spec, cluster: ClusterName, partition: Partition, data_path: str) -> Container:
    env = collaborator_environment(cluster, partition)
    if data_path:
        env += environment(PANAL_DATA_PATH=data_path)
    return container("collaborator", ("openfl", "collaborator"), spec.client.image, spec.client, env, COLLABORATOR)
