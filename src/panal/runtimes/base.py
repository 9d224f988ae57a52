"""What a runtime must tell lifecycle, and nothing more: which containers, with which environment, behind which paths.

A runtime is pure. It returns containers as Kubernetes JSON without security context, resources or the user's environment: lifecycle adds
those, the pod's volumes (by the names of VOLUMES below), the gateway and the reporter, so that all runtimes get the same security.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

from panal.api.names import POD_DIR, RUN_DIR, TOOLS_DIR, WORK_DIR, ClusterName
from panal.api.types import Spec

Container = dict[str, Any]  # a Kubernetes Container as JSON

# The volumes that containers here mount; lifecycle puts volumes of these names into the pod.
TMP_DIR = "/tmp"  # HOME lies in it
VOLUMES = {"tools": TOOLS_DIR, "run": RUN_DIR, "tmp": TMP_DIR, "work": WORK_DIR, "pod": POD_DIR}
_READ_ONLY = ("tools", "pod")


@dataclass(frozen=True, slots=True)
class AggregatorContainers:
    """`sidecars` start first and live as long as the pod (init containers with restartPolicy Always); the Job ends as `main` ends."""

    sidecars: tuple[Container, ...]
    main: Container


@dataclass(frozen=True, slots=True)
class Partition:
    """Which part of a data set is a collaborator's, if the app divides one: `index` of 0 … `count` - 1. No other collaborator has it."""

    index: int
    count: int


@dataclass(frozen=True, slots=True)
class Announced:
    """What the launcher has said of the aggregator. `app_hash` is the SHA-256 of the app bundle: a collaborator runs no other that the
    aggregator sends it. `version` is the framework's, empty if it did not say: a collaborator whose own does not go with it ends."""

    app_hash: str
    version: str


class Runtime(Protocol):
    """One FL framework: what an entry point of the group `panal.runtimes` makes."""

    @property
    def port(self) -> int:
        """Where the runtime's server listens on loopback, in the aggregator's pod."""
        ...

    @property
    def gateway_paths(self) -> tuple[str, ...]:
        """Path prefixes that collaborators need; the gateway lets POST on these through and nothing else."""
        ...

    @property
    def largest_request(self) -> int:
        """Bytes of the largest body that a collaborator needs to send in one request; the gateway refuses what is longer."""
        ...

    def aggregator(self, spec: Spec) -> AggregatorContainers: ...

    def collaborator(self, spec: Spec, cluster: ClusterName, partition: Partition, data_path: str, announced: Announced) -> Container:
        """`data_path` is where lifecycle mounts the site's data in this container, empty if the run uses none. It finds the aggregator
        at the pod's own gateway: plain HTTP on loopback, port COLLABORATOR_PORT."""
        ...


def mounts(*names: str) -> list[dict[str, Any]]:
    """The mounts of these volumes at their usual places; `tools` and `pod` are read-only."""
    return [{"name": n, "mountPath": VOLUMES[n]} | ({"readOnly": True} if n in _READ_ONLY else {}) for n in names]


def environment(**values: str) -> list[dict[str, Any]]:
    """Names and values as a container's `env`, in the order given."""
    return [{"name": name, "value": value} for name, value in values.items()]
