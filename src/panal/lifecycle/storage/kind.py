"""The contract of a storage type."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from panal.api.types import Storage
from panal.lifecycle.world import Object, Run, World


@dataclass(frozen=True, slots=True)
class ReporterNeeds:
    """What only the reporter's container gets, and no container with a user's image: variables, and the Pod's volumes by name with the
    path where the reporter mounts each, read-only. `identity`: the reporter uses the identity that the cloud gives the Pod."""

    env: tuple[Object, ...] = ()
    volumes: Mapping[str, tuple[Object, str]] = field(default_factory=dict)
    identity: bool = False


NOTHING = ReporterNeeds()


class StorageKind(Protocol):
    """One type of `spec.server.storage`. The reporter mounts the volume and writes the model into it. All methods are pure."""

    def problem(self, storage: Storage) -> str:
        """What is wrong with the field, with its path; empty if nothing is. The API server has checked a resource of this CRD."""
        ...

    def objects(self, world: World) -> list[Object]:
        """What the hub needs before the aggregator starts."""
        ...

    def volume(self, run: Run) -> Object:
        """The source of the Pod's volume `storage`, such as `{"persistentVolumeClaim": {...}}`."""
        ...

    def uri(self, run: Run) -> str:
        """What `status.model.uri` begins with."""
        ...

    def folder(self, run: Run) -> str:
        """The folder in the volume, without slashes at its ends; empty for the volume's root."""
        ...

    def reporter(self, run: Run) -> ReporterNeeds: ...

    def without_pod(self, run: Run) -> str:
        """Why Kubernetes may create no Pod with this storage; empty if the storage is no reason."""
        ...


def environment(**values: Any) -> tuple[Object, ...]:
    return tuple({"name": name, "value": value} for name, value in values.items())
