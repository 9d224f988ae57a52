"""The function that the app's pyproject.toml names: `[tool.panal] export = "module:function"`.

The aggregator's main program finds it before the training and leaves it in the run's folder; whoever hands a model over says it with the
model, so that the controller knows it.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from ..codes import FUNCTION, Ending
from ..files import RunError, replace, run_dir

FILE = "export"  # in the run's folder
LONGEST = 256


def app_folders() -> list[Path]:
    named = os.environ.get("PANAL_APP_DIR")
    return [Path(named)] if named else [Path.cwd(), Path("/app")]


def announce() -> None:
    """Leaves the function's name for `announced`. Raises RunError if it is none."""
    for folder in app_folders():
        if found := _named(folder / "pyproject.toml"):
            replace(run_dir() / FILE, found)
            return


def announced() -> str:
    """Empty if the app exports nothing."""
    try:
        return (run_dir() / FILE).read_text()
    except OSError:
        return ""


def _named(file: Path) -> str:
    try:
        import tomllib
    except ImportError:  # Python 3.10
        try:
            import tomli as tomllib  # type: ignore[no-redef,import-not-found,unused-ignore]
        except ImportError:
            return ""
    try:
        content = tomllib.loads(file.read_text())
    except (OSError, ValueError):  # a runtime that needs the file says what is wrong
        return ""
    tool = content.get("tool")
    panal = tool.get("panal") if isinstance(tool, dict) else None
    found = panal.get("export", "") if isinstance(panal, dict) else ""
    if found and not (isinstance(found, str) and re.fullmatch(FUNCTION, found, re.ASCII) and len(found) <= LONGEST):
        message = f"{file}: [tool.panal] export is {str(found)[:100]!r}; it must be of the form module:function"
        raise RunError(Ending.APP_INVALID, message)
    return str(found)
