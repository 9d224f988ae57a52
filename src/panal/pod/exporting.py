"""The last step of an export: `python3 -m panal.pod.exporting`, in the Job `<run>-export`.

It stores what the app's function has written in the folder `export` beside the model, with export.json as the last file, and writes the
result as the termination message. What the app's container left is not trusted: there may only be regular files with plain names, their
number and size are limited, and what it says about them is bounded and escaped.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from panal.api.export import LIST, LONGEST, MOST, PATH, Entry, Listing, Result
from panal.api.names import EXPORT_FOLDER
from panal.api.status import MAX_EXPORTED, ExportedFile
from panal.api.text import shown
from panal.pod.run_folder import ResultError, Store, digest_of, program, regular
from panal.pod.tools.export import FILES, REPORT
from panal.pod.tools.export.checks import REMEDY, is_pickle

LARGEST = 8 << 30  # bytes of all files
REPORT_SIZE = 1 << 20  # bytes
UNCHECKED = "Unchecked: nothing is known about it"


def collect(store: Store, results: Path, scratch: Path) -> Result:
    """Stores the files. Raises ResultError, OSError, StorageError."""
    said = _report(results / REPORT)
    checks = said.get("checks")
    checked: Mapping[str, Any] = checks if isinstance(checks, dict) else {}
    names = files_in(results / FILES)
    if pickles := [name for name in names if is_pickle(results / FILES / name)]:  # the app may have changed what its own check says
        raise ResultError(f"{pickles[0]} is a pickle, which runs code when it is loaded: {REMEDY}")
    entries = [_entry(results / FILES, name, checked) for name in names]
    try:
        about = {key: said[key] for key in ("function", "inputs", "outputs", "versions") if key in said}
        listing = Listing.model_validate({"function": "", **about, "files": entries})
    except ValidationError as error:
        raise ResultError(f"what the export says about its files cannot be used: {_first(error)}") from error
    (scratch / LIST).write_text(json.dumps(listing.model_dump(by_alias=True), indent=1) + "\n")
    for name in names:
        store.put(f"{EXPORT_FOLDER}/{name}", results / FILES / name)
    store.put(f"{EXPORT_FOLDER}/{LIST}", scratch / LIST)
    shown_first = [ExportedFile(name=e.name, size=e.size, digest=e.digest, check=_brief(e.check)) for e in entries[:MAX_EXPORTED]]
    return Result(files=shown_first, count=len(entries), size=sum(e.size for e in entries), digest=digest_of(scratch / LIST))


def files_in(folder: Path) -> list[str]:
    """The paths of the files, sorted. Raises ResultError for what cannot be stored."""
    if folder.is_symlink() or not folder.is_dir():  # os.walk follows a link at the top
        raise ResultError(f"the export has replaced its folder, {folder.name}: write files into the folder that the function gets")
    found: list[str] = []
    for here, folders, files in os.walk(folder):
        for name in (*files, *(each for each in folders if (Path(here) / each).is_symlink())):
            path = str((Path(here) / name).relative_to(folder))
            if not PATH.fullmatch(path) or len(path) > LONGEST:
                allowed = "use letters, digits, _, - and dots, in at most three folders"
                raise ResultError(f"the export has written {shown(path, LONGEST)}, whose name cannot be stored: {allowed}")
            if path == LIST:
                raise ResultError(f"the export has written {LIST}, which panal writes: give the file another name")
            found.append(path)
    if not found:
        raise ResultError("the export has written no file into its folder")
    if len(found) > MOST:
        raise ResultError(f"the export has written {len(found)} files, and {MOST} is the limit: pack them into an archive")
    for path in found:
        regular(folder / path).close()
    if (size := sum((folder / path).stat().st_size for path in found)) > LARGEST:
        raise ResultError(f"the export has written {size} bytes, and {LARGEST} ({LARGEST >> 30} GiB) is the limit")
    return sorted(found)


def _entry(folder: Path, name: str, checks: Mapping[str, Any]) -> Entry:
    check = shown(str(checks.get(name, UNCHECKED)), 2 * LONGEST)
    return Entry(name=name, size=(folder / name).stat().st_size, digest=digest_of(folder / name), check=check)


def _brief(check: str) -> str:
    """Short, and in ASCII, so that its length in bytes is known."""
    return shown(check.encode("ascii", "replace").decode(), LONGEST)


def _report(file: Path) -> dict[str, Any]:
    with regular(file) as opened:
        text = opened.read(REPORT_SIZE + 1)
    try:
        found = json.loads(text) if len(text) <= REPORT_SIZE else None
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise ResultError(f"the report of the export, {file.name}, is malformed")
    return found


def _first(error: ValidationError) -> str:
    found = error.errors(include_url=False, include_input=False)[0]
    return shown(f"{'.'.join(map(str, found['loc']))}: {found['msg']}", 200)


def step(store: Store, env: Mapping[str, str], scratch: Path) -> str:
    return collect(store, Path(env["PANAL_RESULTS_DIR"]), scratch).message()


if __name__ == "__main__":
    program(step)
