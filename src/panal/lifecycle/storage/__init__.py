"""Where the model is stored. Each storage type has a file and an entry in KINDS."""

from __future__ import annotations

from collections.abc import Mapping

from panal.api.types import StorageType
from panal.lifecycle.storage.bucket import Bucket
from panal.lifecycle.storage.claim import Claim
from panal.lifecycle.storage.host_path import HostPath
from panal.lifecycle.storage.kind import StorageKind
from panal.lifecycle.world import Run

KINDS: Mapping[StorageType, StorageKind] = {
    StorageType.PERSISTENT_VOLUME_CLAIM: Claim(),
    StorageType.HOST_PATH: HostPath(),
    StorageType.S3_BUCKET: Bucket(),
}


def storage(run: Run) -> StorageKind:
    return KINDS[run.spec.server.storage.type]
