"""The contract of a storage type."""

from __future__ import annotations

from typing import Protocol

from panal.lifecycle.world import Object, Run, World


class StorageKind(Protocol):
    """One type of `spec.server.storage`. The reporter mounts the volume and writes the model into it. All methods are pure."""

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
