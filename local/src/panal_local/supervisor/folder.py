"""The paths in a platform's folder, which belongs to one user.

state.json   addresses, ports and tokens    kubeconfig   a context for each cluster
run/         the supervisor's lock, its parts     log/         a log for each part
images/      the image store                hub/, cluster1/, ...   each with apiserver/, node/, volumes/
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from panal_local import files

HUB = "hub"
SUPERVISOR = "supervisor"
DEFAULT = Path("~/.local/share/panal")


class PlatformError(Exception):
    """The platform cannot do what was requested. `remedy` says what to do."""

    def __init__(self, message: str, remedy: str = "") -> None:
        super().__init__(message)
        self.remedy = remedy


@dataclass(frozen=True, slots=True)
class Folder:
    root: Path

    @classmethod
    def chosen(cls, given: Path | None = None) -> Folder:
        """The given folder, else that of PANAL_HOME, else ~/.local/share/panal."""
        named = os.environ.get("PANAL_HOME")
        return cls((given or (Path(named) if named else DEFAULT)).expanduser().resolve())

    @property
    def state(self) -> Path:
        return self.root / "state.json"

    @property
    def kubeconfig(self) -> Path:
        return self.root / "kubeconfig"

    @property
    def images(self) -> Path:
        return self.root / "images"

    @property
    def lock(self) -> Path:
        """The file that the supervisor locks while it runs."""
        return self.root / "run" / "supervisor.lock"

    @property
    def parts(self) -> Path:
        """The file with the processes of the parts."""
        return self.root / "run" / "parts.json"

    def log(self, part: str) -> Path:
        return self.root / "log" / f"{part}.log"

    def apiserver(self, cluster: str) -> Path:
        return self.root / cluster / "apiserver"

    def admin(self, cluster: str) -> Path:
        """The cluster's kubeconfig, which its API server writes."""
        return self.apiserver(cluster) / "admin.kubeconfig"

    def authority(self, cluster: str) -> Path:
        """The CA certificate of the cluster's API server."""
        return self.apiserver(cluster) / "ca.crt"

    def node(self, cluster: str) -> Path:
        return self.root / cluster / "node"

    def volumes(self, cluster: str) -> Path:
        return self.root / cluster / "volumes"

    def node_token(self, cluster: str) -> Path:
        return self.root / cluster / "node.token"

    def hub_access(self, cluster: str) -> Path:
        """The kubeconfig of a managed cluster's agent for the hub."""
        return self.root / cluster / "hub.kubeconfig"

    @property
    def agent_tokens(self) -> Path:
        return self.root / HUB / "tokens.csv"

    def make(self) -> None:
        try:
            self.root.mkdir(parents=True, exist_ok=True, mode=0o700)
            for name in ("run", "log", "images"):
                (self.root / name).mkdir(exist_ok=True)
        except OSError as error:
            raise PlatformError(f"the folder {self.root} cannot be created: {error.strerror}", "Choose another with --folder.") from error

    @contextmanager
    def one_at_a_time(self) -> Iterator[None]:
        """Holds a lock, so that `panal up` and `panal down` of one folder run one at a time."""
        with (self.root / "run" / "command.lock").open("w") as handle:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield


def write(path: Path, text: str) -> None:
    """Writes a file atomically and durably, readable by its owner only. Does not touch a file that has this content."""
    with contextlib.suppress(FileNotFoundError):
        if path.read_text() == text:
            return
    path.parent.mkdir(parents=True, exist_ok=True)
    files.write(path, text, durable=True)
