"""Brings the model with which a run begins (`spec.server.initialModel`) to the aggregator, before its first round.

The file comes from a volume that only the reporter mounts, or from a bucket. Its SHA-256 is checked, and its arrays are put into the run's
folder as the programs of the runtime read them, which have no safetensors. What was read is kept beside the run's own model, so that a
reporter that is restarted says the same.
"""

from __future__ import annotations

import json
import shutil
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from pydantic import ValidationError

from panal.api.names import INITIAL_PREFIX
from panal.api.types import InitialModelStatus
from panal.pod import tensors
from panal.pod.bucket import Bucket
from panal.pod.service import SECRETS, GoneError, Service, connected
from panal.pod.shelf import DamagedError, copy_file
from panal.pod.storage_errors import Address, StorageError
from panal.pod.storing import METADATA, PLAIN
from panal.pod.tools.files import ARRAYS, INITIAL, MODEL, replace

KEPT = ".initial.json"  # in the run's folder of the storage: what was read
PATIENCE = 480.0  # seconds that a bucket may be away; the runtime waits for 600
MAX_METADATA = 64 << 20  # bytes
CREDENTIALS = tuple(f"{INITIAL_PREFIX}{name}" for name in SECRETS)


class InitialModelError(Exception):
    """The run cannot begin with this model. The message names the field."""


@dataclass(frozen=True, slots=True)
class InitialModel:
    """`mount` and `path` of a file in a volume, or `address` and `key` of an object in a bucket. `digest` may be empty."""

    run: str
    uri: str
    digest: str
    mount: Path
    path: str
    address: Address | None = None
    key: str = ""

    @classmethod
    def read(cls, env: Mapping[str, str]) -> InitialModel | None:
        """None if the run begins with the app's own arrays."""
        if not env.get("PANAL_INITIAL_MODEL"):
            return None
        found: dict[str, Any] = json.loads(env["PANAL_INITIAL_MODEL"])
        bucket = found.get("bucket")
        address = Address(
            path_style=bucket.pop("pathStyle"), authorities=env.get("PANAL_INITIAL_AUTHORITIES", ""), **bucket
        ) if bucket else None  # fmt: skip
        mount, path = Path(env.get("PANAL_INITIAL_DIR") or "/"), str(found.get("path", ""))
        return cls(found["run"], found["uri"], found["digest"], mount, path, address, str(found.get("key", "")))

    @property
    def named(self) -> str:
        return f"spec.server.initialModel.run: {self.run}: " if self.run else "spec.server.initialModel.uri: "

    def bring(self, run_dir: Path, folder: Path, credentials: Mapping[str, str], touch: Callable[[], None]) -> InitialModelStatus:
        """Puts the model into `run_dir`, and what was read into `folder`. Raises InitialModelError, OSError."""
        part = run_dir / f".{INITIAL}.part"
        shutil.rmtree(part, ignore_errors=True)
        shutil.rmtree(run_dir / INITIAL, ignore_errors=True)
        part.mkdir(parents=True)
        try:
            digest = self._fetch(part, credentials, touch)
            names = self._unpacked(part, credentials, touch)
            replace(part / MODEL, json.dumps({"arrays": names, "uri": self.uri, "digest": digest}))
            (part / "file").unlink(missing_ok=True)
            part.chmod(0o755)
            part.rename(run_dir / INITIAL)
        finally:
            shutil.rmtree(part, ignore_errors=True)
        status = InitialModelStatus(run=self.run, uri=self.uri, digest=digest)
        folder.mkdir(parents=True, exist_ok=True)
        replace(folder / KEPT, status.model_dump_json(by_alias=True), durable=True)
        return status

    def _fetch(self, part: Path, credentials: Mapping[str, str], touch: Callable[[], None]) -> str:
        """Copies the file. Returns its digest."""
        sums = self._copy(self.path or self.key, part / "file", credentials, touch)
        if sums is None:
            raise InitialModelError(f"{self.named}{self.uri or 'its model'} does not exist" + (" any more" if self.run else ""))
        digest = f"sha256:{sums}"
        if self.digest and digest != self.digest:
            raise InitialModelError(f"{self.named}{self.uri} has the digest {digest}, and not {self.digest}: it is another file")
        return digest

    def _copy(self, path: str, target: Path, credentials: Mapping[str, str], touch: Callable[[], None]) -> str | None:
        """The SHA-256 of the copy; None if there is no such file."""
        if self.address is not None:
            return self._download(self.address, path, target, credentials, touch)
        file = self.mount / path
        try:
            if not file.resolve().is_relative_to(self.mount.resolve()):
                raise InitialModelError(f"{self.named}{self.uri} is a link that leads out of the volume")
            return str(copy_file(file.resolve(), target)["sha256"]) if path else None
        except FileNotFoundError:
            return None
        except (OSError, DamagedError) as error:
            raise InitialModelError(f"{self.named}{self.uri} cannot be read: {error}") from error

    def _download(self, address: Address, key: str, target: Path, credentials: Mapping[str, str], touch: Callable[[], None]) -> str | None:
        own = {name.removeprefix(INITIAL_PREFIX): value for name, value in credentials.items() if name.startswith(INITIAL_PREFIX)}
        service = Service(address, lambda: connected(address, own), touch, patience=PATIENCE)
        folder, _, name = key.rpartition("/")
        try:
            return str(Bucket(service, folder, target.parent).get(name, target).sha256)
        except GoneError:
            return None
        except StorageError as error:
            raise InitialModelError(f"{self.named}{self.uri}: {error}") from error

    def _unpacked(self, part: Path, credentials: Mapping[str, str], touch: Callable[[], None]) -> list[str]:
        """Writes the arrays as npz. Returns their names."""
        try:
            if not self.uri.endswith(PLAIN.rpartition(".")[2]):
                return tensors.unpack(part / "file", part / ARRAYS, touch)
            (part / "file").rename(part / ARRAYS)
            beside = str(PurePosixPath(self.path or self.key).with_name(METADATA))
            if self._copy(beside, part / METADATA, credentials, touch) is None:
                raise ValueError(f"{METADATA}, which has the names of the arrays, is not beside it")
            with (part / METADATA).open("rb") as file:
                names = [str(name) for name in json.loads(file.read(MAX_METADATA))["arrays"]]
            (part / METADATA).unlink()
            tensors.check(part / ARRAYS, names)
            return names
        except (ValueError, KeyError, TypeError, zipfile.BadZipFile, MemoryError, RecursionError) as error:
            raise InitialModelError(f"{self.named}{self.uri} is not a model: {error}") from error


def kept(folder: Path) -> InitialModelStatus | None:
    """What a reporter of this Pod has read before."""
    try:
        return InitialModelStatus.model_validate_json((folder / KEPT).read_text())
    except (OSError, ValidationError):
        return None
