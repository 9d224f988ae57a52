"""The containers of the runtime `other`: one on each side, in which `panal.pod.tools.other` starts the user's command."""

from __future__ import annotations

from panal.api.names import POD_DIR, POD_SECRET, RUN_DIR, WORK_DIR, ClusterName
from panal.api.run_config import as_json
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

SECRET_FILE = f"{POD_DIR}/{POD_SECRET}"


def aggregator(spec: Spec) -> AggregatorContainers:
    env = aggregator_environment(spec) + environment(
        PANAL_SECRET_FILE=SECRET_FILE,
        PANAL_RESULT=str(spec.result or ""),
        PANAL_MODEL=f"{WORK_DIR}/model.npz",
        PANAL_PROGRESS=f"{RUN_DIR}/progress.jsonl",
        PANAL_PARTICIPANTS=f"{RUN_DIR}/participants.json",
        PANAL_CHECKPOINTS=f"{RUN_DIR}/checkpoints-of-the-server",
    )
    if spec.server.run_config:
        env += environment(PANAL_RUN_CONFIG=as_json(spec.server.run_config).replace("$", "$$"))  # Kubernetes expands $(NAME)
    program = ("other", "aggregator", *spec.server.command)
    main = container("server", program, spec.server.image, spec.server, env, AGGREGATOR)
    return AggregatorContainers(sidecars=(), main=main)


def collaborator(spec: Spec, cluster: ClusterName, partition: Partition, data_path: str) -> Container:
    env = collaborator_environment(cluster, partition) + environment(PANAL_SECRET_FILE=SECRET_FILE, PANAL_DATA_PATH=data_path)
    program = ("other", "collaborator", *spec.client.command)
    return container("client", program, spec.client.image, spec.client, env, COLLABORATOR)
