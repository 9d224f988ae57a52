"""The app's working directory: a folder of the Pod that it may write into, with the app's files in it, as where it was developed.

Images are read-only. The programs that start the framework copy the app's folder out of the image and start it there, and so all of the
app's processes are there. One that is too large to be copied is linked, entry by entry: its files can be read, and new ones made beside
them. What the aggregator's side of the app has made or changed by the end is listed for the reporter, which alone has the model's volume.
"""

from __future__ import annotations

import os
import shutil
import stat
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from .files import APP_FILES, COLLECTED, STORING, Json, read_json, run_dir, say, shown, write_json

FILES, SIZE = 10_000, 256 << 20  # of an app's folder that is copied
SKIPPED = frozenset({"__pycache__", ".git", ".venv", "venv", "node_modules"})
LISTED = 1000  # files for the reporter; it takes fewer
LOOKED_AT = 100_000
PATIENCE = 300.0  # seconds without a sign of the reporter
POLL = 0.2
COPIED = "copied.json"  # in the volume: the files as they were in the image


def place() -> Path | None:
    """The volume's folder; None where there is none."""
    named = os.environ.get("PANAL_WORK_DIR")
    return Path(named) if named else None


def enter(app_folder: Callable[[], Path | None]) -> None:
    """From now on this process and all that it starts are in the working directory. After a restart it is as it was left.
    `app_folder` finds the app's folder in the image. It returns None if there is none: a client's image may hold only an environment."""
    volume = place()
    if volume is None:
        return
    folder = volume / "app"
    if read_json(volume / COPIED) is None:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        write_json(volume / COPIED, _filled(folder, app_folder()))
    os.chdir(folder)


def _filled(folder: Path, source: Path | None) -> Json:
    if source is None:
        return _listed(folder)
    if _fits(source):
        _copy(source, folder)
    else:
        say(f"{source} is too large for the working directory, which links to its contents instead")
        for entry in os.scandir(source):
            if entry.name not in SKIPPED:
                (folder / entry.name).symlink_to(entry.path)
    return _listed(folder)


def _entries(folder: Path) -> Iterator[os.DirEntry[str]]:
    """All files, folders before what is in them. No link is followed."""
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
    """Files may be written, whatever they may be in the image. A link to a file becomes that file."""
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
            say(f"{entry.path} was not copied to the working directory: {error}")


def _linked(source: Path, folder: Path, where: Path) -> Path:
    return folder / where.relative_to(source) if where.is_relative_to(source) else where


def _listed(folder: Path) -> Json:
    """What is there now: size and time of each file, nothing of what is none."""
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


# At the end of the run.


def changed(folder: Path, before: Json) -> Json:
    """`files` that are new or have changed, as pairs of path and size; `left_out`, with why; how many `more` there are."""
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
    """Lists for the reporter what the app has written, and waits until it has it. What goes wrong here does not change the run's end."""
    volume = place()
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
        say(f"the working directory cannot be read: {error!r}")
        return
    _tell(_wait())


def _open_to_group(folder: Path) -> None:
    """The reporter has another user and the same group."""
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


def _tell(answer: Json | None) -> None:
    if answer is None:
        say(f"the reporter did not collect the app's files within {PATIENCE:.0f} s; see its log")
    elif answer.get("error"):
        say(f"the app's files were not collected: {answer['error']}")
    else:
        status = answer["status"]
        say(f"{status['count']} files of the app, {status['size']} bytes, are in {status['uri']}")
        for path, why in answer["left_out"].items():
            say(f"not collected: {shown(path)}: {why}")
