"""FLARE's containers: the server on the hub, the client at each site. They use gRPC without TLS on loopback, behind the gateway."""

from __future__ import annotations

from panal.api.names import ClusterName
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
    )
    main = container("server", ("flare", "server"), server.image, server, env, AGGREGATOR)
    return AggregatorContainers(sidecars=(), main=main)


def collaborator(spec: Spec, cluster: ClusterName, partition: Partition, data_path: str) -> Container:
    env = collaborator_environment(cluster, partition) + environment(
        PANAL_DATA_PATH=data_path,
    )
    return container("client", ("flare", "client"), spec.client.image, spec.client, env, COLLABORATOR)
