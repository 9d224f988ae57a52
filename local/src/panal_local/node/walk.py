"""The files of an app's folder that become part of its image.

Links to files and folders are followed. Left out and reported are: broken links, links to a folder that contains them, sockets, named
pipes, devices, names that are not UTF-8, and virtual environments. A file that cannot be read is an error, because the image would be
incomplete.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

LEFT_OUT = ("__pycache__", "venv", "build", "dist", "node_modules")
MOST = 100_000  # files and folders
FILE, FOLDER = "file", "folder"
KINDS = ((stat.S_ISSOCK, "is a socket"), (stat.S_ISFIFO, "is a named pipe"), (stat.S_ISCHR, "is a device"), (stat.S_ISBLK, "is a device"))

Tell = Callable[[str], None]


class WalkError(Exception):
    """The folder cannot become an image. The message says why and what to do."""


def files(folder: Path, tell: Tell = lambda _: None) -> Iterator[Path]:
    """The files in order, without hidden files and those of tools. `tell` receives a message for each other entry that is left out. Raises
    WalkError."""
    waiting = [folder]
    seen = 0
    while waiting:
        path = waiting.pop()
        kind = _kind(path)
        found = _entries(path) if kind == FOLDER else []
        if path != folder and any(each.name == "pyvenv.cfg" for each in found):
            kind, found = "is a virtual environment", []
        seen += len(found)
        if seen > MOST:
            raise WalkError(
                f"{folder} has more than {MOST:,} files, at {path}: keep data outside of the app's folder, and name it with --data"
            )
        waiting += reversed(found)
        if kind == FILE:
            yield path
        elif kind != FOLDER:
            tell(f"{path} is left out: it {kind}")


def _entries(folder: Path) -> list[Path]:
    try:
        return [path for path in sorted(folder.iterdir()) if not _of_tools(path.name)]
    except OSError as error:
        raise _unreadable(folder, error) from error


def _of_tools(name: str) -> bool:
    return name.startswith(".") or name in LEFT_OUT or name.endswith(".pyc")


def _kind(path: Path) -> str:
    """FILE, FOLDER, or the reason why the entry is left out."""
    if not _utf8(path.name):
        return "has a name that is not UTF-8"
    try:
        mode = path.stat().st_mode
    except OSError as error:
        if path.is_symlink():
            return f"is a link that leads nowhere ({error.strerror})"
        raise _unreadable(path, error) from error
    if stat.S_ISREG(mode):
        return _readable(path)
    if not stat.S_ISDIR(mode):
        return next((what for is_one, what in KINDS if is_one(mode)), "is no file")
    return "is a link to a folder that it is in" if path.is_symlink() and _within_itself(path) else FOLDER


def _utf8(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def _within_itself(path: Path) -> bool:
    """Whether the link points to a folder that contains it, so that the walk would not end."""
    target = os.path.realpath(path)
    return any(os.path.commonpath((os.path.realpath(each), target)) == target for each in path.parents)


def _readable(path: Path) -> str:
    try:
        path.open("rb").close()
    except OSError as error:
        raise _unreadable(path, error) from error
    return FILE


def _unreadable(path: Path, error: OSError) -> WalkError:
    return WalkError(f"{path} cannot be read: {error.strerror}. Change its permissions, or move it out of the app's folder")
