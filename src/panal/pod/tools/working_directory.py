"""The app's working directory: a writable volume with a copy of the app's files.

Images are read-only, so the programs that start the framework copy the app's folder from the image and change to the copy. If the folder is
too large, its entries are linked instead. At the end of a run, the files that the server app created or changed are listed for the
reporter, which is the only one that mounts the storage volume.
"""

from __future__ import annotations

import os
import shutil
import stat
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from .files import APP_FILES, COLLECTED, STORING, Json, log_line, read_json, run_dir, shown, write_json

FILES, SIZE = 10_000, 256 << 20  # number and bytes of the files that are copied at most
SKIPPED = frozenset({"__pycache__", ".git", ".venv", "venv", "node_modules"})
LISTED = 1000  # files listed for the reporter, which collects fewer
LOOKED_AT = 100_000  # files examined for changes
PATIENCE = 300.0  # seconds without a sign of progress of the reporter
POLL = 0.2
COPIED = "copied.json"  # in the volume: the files after the copy


def volume_dir() -> Path | None:
    """The volume's mount point; None if there is none."""
    named = os.environ.get("PANAL_WORK_DIR")
    return Path(named) if named else None


def enter(app_folder: Callable[[], Path | None], *, linked: bool = False) -> None:
    """Changes to the working directory, and fills it first unless an earlier start of the container did.

    `app_folder` returns the app's folder in the image, or None: the image of a collaborator may contain only an environment. `linked`: what
    is not copied (SKIPPED) is linked if it is directly in that folder.
    """
    volume = volume_dir()
    if volume is None:
        return
    folder = volume / "app"
    if read_json(volume / COPIED) is None:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        source = app_folder()
        filled = _filled(folder, source)
        if linked and source is not None:
            _link_skipped(source, folder)
        write_json(volume / COPIED, filled)
    os.chdir(folder)


def _filled(folder: Path, source: Path | None) -> Json:
    if source is None:
        return _listed(folder)
    if _fits(source):
        _copy(source, folder)
    else:
        log_line(f"{source} is too large for the working directory, which links to its contents instead")
        for entry in os.scandir(source):
            if entry.name not in SKIPPED:
                (folder / entry.name).symlink_to(entry.path)
    return _listed(folder)


def _entries(folder: Path) -> Iterator[os.DirEntry[str]]:
    """All entries below `folder`, each folder before its contents. Links are not followed."""
    try:
        found = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError:
        return
    for entry in found:
        if entry.name in SKIPPED:
            continue
        yield entry
        if entry.is_dir(follow_symlinks=False):
            yield from _entries(Path(entry.path))


def _fits(source: Path) -> bool:
    size = 0
    for number, entry in enumerate(_entries(source), 1):
        try:
            size += entry.stat().st_size if entry.is_file() else 0
        except OSError:
            continue
        if number > FILES or size > SIZE:
            return False
    return True


def _copy(source: Path, folder: Path) -> None:
    """Copies the files and makes them writable. A link to a file is replaced by a copy of the file."""
    for entry in _entries(source):
        target = folder / Path(entry.path).relative_to(source)
        try:
            if entry.is_dir(follow_symlinks=False):
                target.mkdir()
            elif entry.is_file():
                shutil.copyfile(entry.path, target)
                target.chmod(stat.S_IMODE(entry.stat().st_mode) | 0o600)
            elif entry.is_dir():
                target.symlink_to(_linked(source.resolve(), folder, Path(entry.path).resolve()))
        except OSError as error:
            log_line(f"{entry.path} was not copied to the working directory: {error}")


def _linked(source: Path, folder: Path, where: Path) -> Path:
    return folder / where.relative_to(source) if where.is_relative_to(source) else where


def _link_skipped(source: Path, folder: Path) -> None:
    for entry in os.scandir(source):
        if entry.name in SKIPPED:
            (folder / entry.name).symlink_to(entry.path)


def _listed(folder: Path) -> Json:
    """Size and modification time of each regular file now; None for other entries."""
    return {"files": {path: _mark(entry) for path, entry in _relative(folder)}}


def _relative(folder: Path) -> Iterator[tuple[str, os.DirEntry[str]]]:
    for number, entry in enumerate(_entries(folder)):
        if number >= LOOKED_AT:
            return
        if not entry.is_dir(follow_symlinks=False):
            yield os.path.relpath(entry.path, folder), entry


def _mark(entry: os.DirEntry[str]) -> list[int] | None:
    if not entry.is_file(follow_symlinks=False):
        return None
    about = entry.stat(follow_symlinks=False)
    return [about.st_size, about.st_mtime_ns]


# At the end of the run:


def changed(folder: Path, before: Json) -> Json:
    """The entries that differ from `before`: `files` as pairs of path and size, `left_out` with the reason, and the number of `more`."""
    known, more = before["files"], 0
    files: list[tuple[str, int]] = []
    left_out: dict[str, str] = {}
    for path, entry in _relative(folder):
        mark = _mark(entry)
        if path in known and known[path] == mark:
            continue
        if len(files) + len(left_out) >= LISTED:
            more += 1
        elif mark is None:
            left_out[path] = "it is a link" if entry.is_symlink() else "it is not a regular file"
        else:
            files.append((path, mark[0]))
    return {"files": files, "left_out": left_out, "more": more}


def hand_over() -> None:
    """Lists the app's files for the reporter and waits until it has collected them. A failure does not change the outcome of the run."""
    volume = volume_dir()
    before = read_json(volume / COPIED) if volume else None
    if volume is None or before is None:
        return
    try:
        found = changed(volume / "app", before)
        if not any(found.values()):
            return
        _open_to_group(volume / "app")
        write_json(run_dir() / APP_FILES, found)
    except (OSError, KeyError, TypeError) as error:
        log_line(f"the working directory cannot be read: {error!r}")
        return
    _log_result(_wait())


def _open_to_group(folder: Path) -> None:
    """Makes the files readable by the group: the reporter runs as another user of the same group."""
    for entry in _entries(folder):
        if not entry.is_symlink():
            needed = 0o050 if entry.is_dir() else 0o040
            mode = stat.S_IMODE(entry.stat(follow_symlinks=False).st_mode)
            if mode & needed != needed:
                Path(entry.path).chmod(mode | needed)


def _wait() -> Json | None:
    since, touched = time.monotonic(), 0.0
    while time.monotonic() - since < PATIENCE:
        if (answer := read_json(run_dir() / COLLECTED)) is not None:
            return answer
        mark = run_dir() / STORING
        if mark.exists() and mark.stat().st_mtime != touched:
            touched, since = mark.stat().st_mtime, time.monotonic()
        time.sleep(POLL)
    return None


def _log_result(answer: Json | None) -> None:
    if answer is None:
        log_line(f"the reporter did not collect the app's files within {PATIENCE:.0f} s; see its log")
    elif answer.get("error"):
        log_line(f"the app's files were not collected: {answer['error']}")
    else:
        status = answer["status"]
        log_line(f"{status['count']} files of the app, {status['size']} bytes, are in {status['uri']}")
        for path, why in answer["left_out"].items():
            log_line(f"not collected: {shown(path)}: {why}")
