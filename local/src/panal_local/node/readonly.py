"""Images are read-only, as on a real node: what an app writes into one would be seen by later runs, and by other sites of the same image.

There are no mounts here, so it is done by the modes of files and folders. They do not bind root, who may write regardless of them: the shim
takes that right from every container (see `shim`), and nothing else.
"""

from __future__ import annotations

import os
import shutil
import stat
from pathlib import Path

WRITE = stat.S_IWUSR | stat.S_IWGRP | stat.S_IWOTH


def protect(folder: Path) -> None:
    """The folder itself comes last: where it cannot be written, nothing in it can. Links are not followed. A file that has other names is
    left alone: an installer shares it with its cache."""
    for where, _, names in os.walk(folder, topdown=False):
        for name in names:
            path = os.path.join(where, name)  # noqa: PTH118  there are tens of thousands of them
            about = os.lstat(path)
            if stat.S_ISREG(about.st_mode) and about.st_nlink == 1:
                os.chmod(path, stat.S_IMODE(about.st_mode) & ~WRITE)  # noqa: PTH101
        os.chmod(where, stat.S_IMODE(os.stat(where).st_mode) & ~WRITE)  # noqa: PTH101, PTH116


def protected(folder: Path) -> bool:
    return not folder.stat().st_mode & WRITE


def remove(folder: Path) -> None:
    """If it is there."""
    for where, _, _ in os.walk(folder):
        os.chmod(where, stat.S_IMODE(os.stat(where).st_mode) | stat.S_IRWXU)  # noqa: PTH101, PTH116
    if folder.exists():
        shutil.rmtree(folder)
