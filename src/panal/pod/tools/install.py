"""`python -m panal.pod.tools.install [FOLDER [FILE TEXT] ...]`, the init container: copies the pod tools to FOLDER, which the user's
containers mount, writes each FILE that other containers need at their start, and creates the Pod's secret. Idempotent.

It copies only sources, because the user's Python may be of another version.

The secret protects the Pod's ports on loopback. It is written to the folder PANAL_POD_DIR, if set: `secret` is the value of a header that
every request must have, and `users` is the same secret as an htpasswd file for Envoy.
"""

from __future__ import annotations

import base64
import hashlib
import os
import secrets
import shutil
import sys
from pathlib import Path

from .files import replace

TOP = ("run.py", "sitecustomize.py")  # found by path; the others are the package `panal_tools`
USER = "panal"
GROUP_READS = 0o440  # the Pod's containers have different users and one group


def install(folder: Path) -> None:
    here = Path(__file__).parent
    for source in sorted(here.rglob("*.py")):
        name = source.relative_to(here)
        target = folder / name if str(name) in TOP else folder / "panal_tools" / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)


def write_new(file: Path, text: str) -> None:
    """Keeps an existing file: the container may have been restarted."""
    if not file.exists():
        file.write_text(text)


def create_secret(folder: Path) -> None:
    """Keeps an existing secret, which other containers may have read. `users` is derived from `secret`."""
    _write_protected(folder / "secret", f"Basic {_encoded(f'{USER}:{secrets.token_urlsafe(32)}'.encode())}\n")
    password = base64.b64decode((folder / "secret").read_text().split()[1]).partition(b":")[2]
    _write_protected(folder / "users", f"{USER}:{{SHA}}{_encoded(hashlib.sha1(password).digest())}\n")


def _encoded(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _write_protected(file: Path, text: str) -> None:
    """Creates the file with its final mode, so that it is never readable by others."""
    if not file.exists():
        replace(file, text, mode=GROUP_READS)


def main(arguments: list[str]) -> None:
    folder, *files = arguments or ["/panal/tools"]
    install(Path(folder))
    for name, text in zip(files[::2], files[1::2]):
        write_new(Path(name), text)
    if pod := os.environ.get("PANAL_POD_DIR"):
        create_secret(Path(pod))


if __name__ == "__main__":
    main(sys.argv[1:])
