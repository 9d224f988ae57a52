"""What a runtime answers, one question each.

A runtime is pure. It returns containers as Kubernetes JSON without security context, resources or the user's environment: lifecycle adds
those, the pod's volumes (by the names of VOLUMES below), the gateway and the reporter, so that all runtimes get the same security.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from panal.api.names import POD_DIR, RUN_DIR, TOOLS_DIR, WORK_DIR, ClusterName
from panal.api.progress import Progress
from panal.api.types import Spec
from panal.runtimes.app import App
from panal.runtimes.logs import Logs

Container = dict[str, Any]  # a Kubernetes Container as JSON

# The volumes that containers here mount; lifecycle puts volumes of these names into the pod.
TMP_DIR = "/tmp"  # HOME lies in it
VOLUMES = {"tools": TOOLS_DIR, "run": RUN_DIR, "tmp": TMP_DIR, "work": WORK_DIR, "pod": POD_DIR}
_READ_ONLY = ("tools", "pod")


@dataclass(frozen=True, slots=True)
class AggregatorContainers:
    """`sidecars` start first and live as long as the pod (init containers with restartPolicy Always); the Job ends as `main` ends. The
    user's resources are for the sidecars; for `main` where there are none."""

    sidecars: tuple[Container, ...]
    main: Container


@dataclass(frozen=True, slots=True)
class Partition:
    """Which part of a data set is a collaborator's, if the app divides one: `index` of 0 … `count` - 1. No other collaborator has it."""

    index: int
    count: int


@dataclass(frozen=True, slots=True)
class Announced:
    """What the aggregator has announced. `app_hash` is the SHA-256 of the app: a collaborator runs no other that the aggregator sends it;
    empty if the app does not come from the aggregator. `version` is the framework's, empty if the aggregator did not say: a collaborator
    whose own does not go with it ends."""

    app_hash: str = ""
    version: str = ""


@dataclass(frozen=True, slots=True)
class GatewayRules:
    """What collaborators may ask of the runtime's server: requests of these `methods` whose path begins with one of `paths` (each begins
    and ends with a slash). The aggregator's gateway refuses everything else.

    The server listens on loopback at `port`, and speaks `protocol` without TLS; gRPC is HTTP/2. A request declares the length of its body,
    of at most `largest_request` bytes. None: any length, declared or not, as gRPC and GET need it; the server has a limit of its own then.
    """

    port: int
    paths: tuple[str, ...]
    largest_request: int | None
    methods: tuple[str, ...] = ("POST",)
    protocol: Literal["HTTP/1.1", "HTTP/2"] = "HTTP/1.1"


class Runtime(Protocol):
    """One federated learning framework. A runtime derives from this class; what has a body here has that default, the rest is required."""

    @property
    def gateway(self) -> GatewayRules: ...

    def aggregator(self, spec: Spec) -> AggregatorContainers: ...

    def collaborator(self, spec: Spec, cluster: ClusterName, partition: Partition, data_path: str, announced: Announced) -> Container:
        """`data_path` is where lifecycle mounts the site's data in this container, empty if the run uses none. It finds the aggregator
        at the pod's own gateway: plain HTTP on loopback, port COLLABORATOR_PORT."""
        ...

    def announced(self, progress: Progress | None) -> Announced | None:
        """What collaborators are created with; None while the aggregator is not ready for any. `progress` is None before there is any."""
        return Announced()

    def ignored_fields(self, spec: Spec) -> Sequence[str]:
        """The fields of this spec, such as `spec.server.superlink`, that are set and have no effect with this runtime."""
        return ()

    @property
    def remedies(self) -> Mapping[str, str]:
        """By reason: what a person can do. Reasons of the runtime's own, and those of `lifecycle.reasons` where it knows better."""
        return {}

    @property
    def notices(self) -> Sequence[str]:
        """Reasons of the runtime's own that do not end a run, each a condition of it. `remedies` has them as well."""
        return ()

    @property
    def logs(self) -> Logs:
        """Which containers run the app, and how `panal logs` filters their output."""
        return Logs()

    def app(self, project: Mapping[str, Any]) -> App | None:
        """The app that a folder's pyproject.toml declares. Raises AppError if it declares none of this framework. None if the framework
        has no apps that are run from a folder."""
        return None


def mounts(*names: str) -> list[dict[str, Any]]:
    """The mounts of these volumes at their usual places; `tools` and `pod` are read-only."""
    return [{"name": n, "mountPath": VOLUMES[n]} | ({"readOnly": True} if n in _READ_ONLY else {}) for n in names]


def environment(**values: str) -> list[dict[str, Any]]:
    """Names and values as a container's `env`, in the order given."""
    return [{"name": name, "value": value} for name, value in values.items()]
