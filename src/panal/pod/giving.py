"""Writes a file of a run's storage to its output: `python3 -m panal.pod.giving NAME`, in the Pod of `panal models download`.

The Pod has the reporter's variables and volumes. NAME is relative to the run's folder, such as model.safetensors or files/log.txt.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from panal.pod.bucket import Bucket
from panal.pod.service import GoneError, Service, connected
from panal.pod.storage_errors import Address, StorageError
from panal.pod.storing import Place

PIECE = 1 << 20


def give(name: str, env: Mapping[str, str]) -> None:
    """Raises OSError, StorageError, GoneError, and ValueError if `name` leads out of the run's folder."""
    if not name or ".." in PurePosixPath(name).parts or name.startswith("/"):
        raise ValueError(f"{name!r} is not a file of the run")
    place, address = Place.read(env), Address.read(env)
    if address is None:
        _copy(place.folder / name)
        return
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "file"
        service = Service(address, lambda: connected(address, env), patience=60)
        Bucket(service, place.key(address.bucket), file).get(name, file)
        _copy(file)


def _copy(file: Path) -> None:
    with file.open("rb") as source:
        shutil.copyfileobj(source, sys.stdout.buffer, PIECE)
    sys.stdout.buffer.flush()


def main() -> None:
    try:
        give(sys.argv[1], os.environ)
    except (GoneError, FileNotFoundError):
        sys.exit(f"the storage has no {sys.argv[1]} of this run")
    except (OSError, StorageError, ValueError) as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
