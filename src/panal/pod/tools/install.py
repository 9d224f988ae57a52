"""`python -m panal.pod.tools.install [FOLDER [FILE TEXT] ...]`: the init container hands our programs to the user's image by way of a
shared folder, and writes the files that other containers of the Pod must find when they start.

Sources only: the user's Python may be of another version, and the folder is read-only for it. Done again, it comes to the same.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

TOP = ("run.py", "sitecustomize.py")  # found by path; the others are the package `panal_tools`


def install(folder: Path) -> None:
    here = Path(__file__).parent
    package = folder / "panal_tools"
    package.mkdir(parents=True, exist_ok=True)
    for source in sorted(here.glob("*.py")):
        shutil.copyfile(source, (folder if source.name in TOP else package) / source.name)


def write_new(file: Path, text: str) -> None:
    """A file that is there stays: the container may have been started again."""
    if not file.exists():
        file.write_text(text)


def main(arguments: list[str]) -> None:
    folder, *files = arguments or ["/panal/tools"]
    install(Path(folder))
    for name, text in zip(files[::2], files[1::2]):
        write_new(Path(name), text)


if __name__ == "__main__":
    main(sys.argv[1:])
