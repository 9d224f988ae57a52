"""A Pod's volumes as folders: POD/volumes/NAME, or the path of a hostPath or of the claim's PersistentVolume.

Files of ConfigMaps and Secrets are written as a kubelet writes them: into a new folder, to which the link `..data` is then switched, so
that a reader sees either all old or all new files. Programs watch that link. `readOnly` and access modes are not enforced, as there are no
mounts.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

from panal.kube.kinds import PERSISTENT_VOLUME, PERSISTENT_VOLUME_CLAIM
from panal.kube.objects import Object
from panal_local.node import content
from panal_local.node.content import Files, Tokens
from panal_local.node.environment import Lookup, Mounts, NotReadyError


def prepare(pod: Object, folder: Path, lookup: Lookup, tokens: Tokens) -> dict[str, Path]:
    """Creates or updates the volumes, and returns their folders. Raises NotReadyError."""
    return {volume["name"]: _prepare(volume, pod, folder / volume["name"], lookup, tokens) for volume in pod["spec"].get("volumes") or ()}


def mounts(container: Object, volumes: dict[str, Path]) -> Mounts:
    found = []
    for mount in container.get("volumeMounts") or ():
        if mount.get("subPathExpr"):
            raise NotReadyError("CreateContainerConfigError", f"volumeMounts {mount['name']}: subPathExpr is not supported by this node")
        folder, below = volumes[mount["name"]], mount.get("subPath", "")
        if ".." in Path(below).parts:
            raise NotReadyError("CreateContainerConfigError", f"volumeMounts {mount['name']}: subPath must not contain '..'")
        if below and not (folder / below).exists():
            (folder / below).mkdir(parents=True)
        found.append((mount["mountPath"], str(folder / below)))
    return found


def _prepare(volume: Object, pod: Object, folder: Path, lookup: Lookup, tokens: Tokens) -> Path:
    if content.made_of_objects(volume):
        write(folder, content.files(volume, pod, lookup, tokens), 0o600 if content.secret(volume) else 0o644)
        return folder
    if "hostPath" in volume:
        return _host_path(volume["hostPath"])
    if "persistentVolumeClaim" in volume:
        return _claimed(volume["persistentVolumeClaim"]["claimName"], pod, lookup)
    if "emptyDir" in volume:
        folder.mkdir(parents=True, exist_ok=True)
        return folder
    raise _failed(f'volume "{volume["name"]}": {", ".join(k for k in volume if k != "name")} is not supported by this node')


def _failed(message: str) -> NotReadyError:
    return NotReadyError("FailedMount", message)


def _host_path(source: Object) -> Path:
    path, kind = Path(source["path"]), source.get("type") or ""
    if kind == "DirectoryOrCreate":
        path.mkdir(parents=True, exist_ok=True)
    if kind == "FileOrCreate":
        path.touch(exist_ok=True)
    if kind.startswith("Directory") and not path.is_dir():
        raise _failed(f"hostPath type check failed: {path} is not a directory")
    if kind.startswith("File") and not path.is_file():
        raise _failed(f"hostPath type check failed: {path} is not a file")
    return path


def _claimed(name: str, pod: Object, lookup: Lookup) -> Path:
    claim = lookup(PERSISTENT_VOLUME_CLAIM, pod["metadata"]["namespace"], name)
    if claim is None:
        raise _failed(f'persistentvolumeclaim "{name}" not found')
    bound = claim["spec"].get("volumeName")
    volume = lookup(PERSISTENT_VOLUME, "", bound) if bound else None
    if volume is None or claim.get("status", {}).get("phase") != "Bound":
        raise _failed(f'persistentvolumeclaim "{name}" is not bound to a PersistentVolume')
    source = volume["spec"].get("hostPath") or volume["spec"].get("local")
    if not source:
        raise _failed(f'PersistentVolume "{bound}" of persistentvolumeclaim "{name}" is neither hostPath nor local, as this node needs it')
    path = Path(source["path"])
    if not path.is_dir():
        if "local" in volume["spec"] or source.get("type") == "Directory":
            raise _failed(f'PersistentVolume "{bound}": {path} does not exist')
        path.mkdir(parents=True)
    return path


# --- files of objects --------------------------------------------------------------------------------------------
def write(folder: Path, files: Files, mode: int) -> bool:
    """Writes the files. Returns whether anything changed."""
    current = folder / "..data"
    if current.exists() and _read(current) == files:
        return False
    folder.mkdir(parents=True, exist_ok=True)
    new = Path(tempfile.mkdtemp(prefix="..", dir=folder))
    new.chmod(0o755)
    for path, data in files.items():
        _write(new / path, data, mode)
    link = folder / "..data_tmp"
    link.unlink(missing_ok=True)
    link.symlink_to(new.name)
    link.replace(current)
    _link_top(folder, {Path(path).parts[0] for path in files})
    for old in folder.glob("..*"):  # also incomplete folders of a node that was killed
        if old != new and not old.is_symlink():
            shutil.rmtree(old)
    return True


def _read(folder: Path) -> Files:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def _write(path: Path, data: bytes, mode: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(handle, "wb") as file:
        file.write(data)


def _link_top(folder: Path, names: set[str]) -> None:
    """Creates the links that programs open, NAME -> ..data/NAME, and removes old ones."""
    for name in names:
        if not (folder / name).is_symlink():
            (folder / name).symlink_to(f"..data/{name}")
    for link in folder.iterdir():
        if link.is_symlink() and not link.name.startswith("..") and link.name not in names:
            link.unlink()
