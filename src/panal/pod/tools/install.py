"""`python -m panal.pod.tools.install [FOLDER]`: the init container hands our programs to the user's image by way of a shared folder.

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


if __name__ == "__main__":
    install(Path(sys.argv[1] if len(sys.argv) > 1 else "/panal/tools"))
