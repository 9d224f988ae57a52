"""Makes images read-only, so that an app cannot write into the image of later runs and other sites.

There are no mounts, so this uses the modes of files and folders. Modes do not restrict root; therefore the shim drops the capability to
ignore them from every container (see `shim`).
"""

from __future__ import annotations

import os
import shutil
import stat
from pathlib import Path

WRITE = stat.S_IWUSR | stat.S_IWGRP | stat.S_IWOTH


def protect(folder: Path) -> None:
    """Removes write permission from all files and folders, from `folder` last. Does not follow links. Skips files with several hard links,
    which an installer shares with its cache."""
    for where, _, names in os.walk(folder, topdown=False):
        for name in names:
            path = os.path.join(where, name)  # noqa: PTH118  faster, for tens of thousands of files
            about = os.lstat(path)
            if stat.S_ISREG(about.st_mode) and about.st_nlink == 1:
                os.chmod(path, stat.S_IMODE(about.st_mode) & ~WRITE)  # noqa: PTH101
        os.chmod(where, stat.S_IMODE(os.stat(where).st_mode) & ~WRITE)  # noqa: PTH101, PTH116


def protected(folder: Path) -> bool:
    return not folder.stat().st_mode & WRITE


def remove(folder: Path) -> None:
    """Removes a read-only folder if it exists."""
    for where, _, _ in os.walk(folder):
        os.chmod(where, stat.S_IMODE(os.stat(where).st_mode) | stat.S_IRWXU)  # noqa: PTH101, PTH116
    if folder.exists():
        shutil.rmtree(folder)
