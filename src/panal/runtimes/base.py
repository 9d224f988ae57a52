"""The interface of a runtime.

A runtime is pure. It returns containers as Kubernetes JSON without security context, resources or the user's environment. `lifecycle` adds
those, the Pod's volumes (VOLUMES), the gateway and the reporter, so that all runtimes have the same security.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from panal.api.names import COLLABORATOR_PORT, POD_DIR, RUN_DIR, TOOLS_DIR, WORK_DIR, ClusterName
from panal.api.progress import Progress
from panal.api.types import PodSettings, Spec
from panal.runtimes.app import App
from panal.runtimes.logs import Logs

Container = dict[str, Any]  # a Kubernetes Container as JSON

# The volumes that a runtime's containers can mount; `lifecycle` adds them to the Pod.
TMP_DIR = "/tmp"  # also HOME
VOLUMES = {"tools": TOOLS_DIR, "run": RUN_DIR, "tmp": TMP_DIR, "work": WORK_DIR, "pod": POD_DIR}
_READ_ONLY = ("tools", "pod")
AGGREGATOR, COLLABORATOR = ("tools", "run", "tmp", "work", "pod"), ("tools", "tmp", "work", "pod")  # what programs of the pod tools need


@dataclass(frozen=True, slots=True)
class AggregatorContainers:
    """`sidecars` start first and run as long as the Pod (init containers with restartPolicy Always). The exit code of `main` decides the
    outcome of the Job. The user's resources apply to the sidecars, or to `main` if there are none."""

    sidecars: tuple[Container, ...]
    main: Container


@dataclass(frozen=True, slots=True)
class Partition:
    """A collaborator's share of a data set that the app divides: `index` is in 0 … `count` - 1, and unique among the collaborators."""

    index: int
    count: int


@dataclass(frozen=True, slots=True)
class Announced:
    """What the aggregator has announced to collaborators. `app_hash` is the SHA-256 of the app that the aggregator sends, the only one that
    collaborators run; empty if the app is in their image. `version` is the framework's: a collaborator with an incompatible version ends;
    empty if unknown."""

    app_hash: str = ""
    version: str = ""


@dataclass(frozen=True, slots=True)
class GatewayRules:
    """The requests that collaborators may send to the runtime's server: those with one of `methods` and a path that begins with one of
    `paths` (each begins and ends with a slash). The aggregator's gateway refuses all others.

    The server listens on loopback at `port` and speaks `protocol` without TLS; gRPC is HTTP/2. A request must declare the length of its
    body, at most `largest_request` bytes. None: any length, declared or not, as gRPC and GET require; the server must then limit it itself.
    """

    port: int
    paths: tuple[str, ...]
    largest_request: int | None
    methods: tuple[str, ...] = ("POST",)
    protocol: Literal["HTTP/1.1", "HTTP/2"] = "HTTP/1.1"


class Runtime(Protocol):
    """One federated learning framework. Derive from this class. Members with a body are optional; the body is the default."""

    def gateway(self, spec: Spec) -> GatewayRules: ...

    def aggregator(self, spec: Spec) -> AggregatorContainers: ...

    def collaborator(self, spec: Spec, cluster: ClusterName, partition: Partition, data_path: str, announced: Announced) -> Container:
        """The main container of a collaborator. `data_path` is the mount path of the site's data, or its s3:// URI; it is empty
        if the run uses none. The container reaches the aggregator through the Pod's gateway: plain HTTP on loopback, port
        COLLABORATOR_PORT."""
        ...

    def announced(self, progress: Progress | None) -> Announced | None:
        """What the aggregator has announced to collaborators; None while it is not ready for them. `progress` is None until it exists."""
        return Announced()

    def problem(self, spec: Spec) -> str:
        """Why this runtime cannot run `spec`: the field and the remedy. Empty if it can."""
        return ""

    @property
    def examines_updates(self) -> bool:
        """Whether the aggregator applies `spec.server.aggregation` and `spec.server.replies.largestUpdateNorm`."""
        return False

    @property
    def warm_start(self) -> bool:
        """Whether a run may begin with the model of `spec.server.initialModel`."""
        return False

    @property
    def protects_updates(self) -> bool:
        """Whether its collaborators can clip updates and add noise to them, and mask them (`spec.privacy`)."""
        return False

    def ignored_fields(self, spec: Spec) -> Sequence[str]:
        """The fields that are set in `spec`, such as `spec.server.superlink`, and have no effect with this runtime."""
        return ()

    @property
    def remedies(self) -> Mapping[str, str]:
        """The remedy for each reason of the runtime's own, and for reasons of `lifecycle.reasons` where the runtime's is more specific."""
        return {}

    @property
    def notices(self) -> Sequence[str]:
        """The runtime's own reasons that do not end a run. Each is a condition of the run, with a remedy in `remedies`."""
        return ()

    @property
    def logs(self) -> Logs:
        """The containers that run the app, and how `panal logs` filters their output."""
        return Logs()

    def app(self, project: Mapping[str, Any]) -> App | None:
        """The app that a folder's pyproject.toml declares. None if the runtime does not run apps from a folder. Raises AppError if the file
        declares no app of this framework."""
        return None


def container(
    name: str, program: Sequence[str], image: str, settings: PodSettings, env: list[dict[str, Any]], volumes: Sequence[str]
) -> Container:
    """A container that runs a program of the pod tools, such as `flower launcher`, in the user's image. `volumes` are names of VOLUMES."""
    found: Container = {
        "name": name,
        "image": image,
        "command": ["python3", f"{TOOLS_DIR}/run.py", *program],
        "env": env,
        "volumeMounts": mounts(*volumes),
    }
    if settings.image_pull_policy is not None:
        found["imagePullPolicy"] = settings.image_pull_policy
    return found


def aggregator_environment(spec: Spec) -> list[dict[str, Any]]:
    """What the main program of every aggregator reads."""
    grace = spec.server.straggler_grace_seconds
    return environment(
        PANAL_RUN_DIR=RUN_DIR,
        PANAL_POD_DIR=POD_DIR,
        PANAL_WORK_DIR=WORK_DIR,
        PANAL_ROUNDS=str(spec.server.rounds),
        PANAL_MIN_CLIENTS=str(spec.server.min_available_clients),
        PANAL_QUORUM_TIMEOUT=str(spec.server.quorum_timeout_seconds),
        PANAL_ROUND_TIMEOUT=str(spec.server.round_timeout_seconds),
        **({} if grace is None else {"PANAL_STRAGGLER_GRACE": str(grace)}),
        **({"PANAL_WARM_START": "true"} if spec.server.initial_model else {}),
    )


def collaborator_environment(cluster: ClusterName, partition: Partition) -> list[dict[str, Any]]:
    """What the main program of every collaborator reads."""
    return environment(
        PANAL_CLUSTER=cluster,
        PANAL_PARTITION_ID=str(partition.index),
        PANAL_NUM_PARTITIONS=str(partition.count),
        PANAL_POD_DIR=POD_DIR,
        PANAL_WORK_DIR=WORK_DIR,
        PANAL_GATEWAY_PORT=str(COLLABORATOR_PORT),
    )


def mounts(*names: str) -> list[dict[str, Any]]:
    """Volume mounts for these names of VOLUMES; `tools` and `pod` are read-only."""
    return [{"name": n, "mountPath": VOLUMES[n]} | ({"readOnly": True} if n in _READ_ONLY else {}) for n in names]


def environment(**values: str) -> list[dict[str, Any]]:
    """A container's `env`, in the given order."""
    return [{"name": name, "value": value} for name, value in values.items()]
