"""Finds the user's app in the image."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from ..codes import Ending
from ..files import Json, RunError

BUNDLED = (".py", ".toml", ".md", ".yaml", ".yml", ".json", ".jsonl")  # files that Flower bundles


def read_toml(path: Path) -> Json:
    try:
        import tomllib
    except ImportError:  # Python 3.10; Flower brings tomli
        import tomli as tomllib  # type: ignore[no-redef,import-not-found,unused-ignore]
    content: Json = tomllib.loads(path.read_text())
    return content


def find_app() -> tuple[Path, Json]:
    """The app's folder and its parsed pyproject.toml: in PANAL_APP_DIR if set, else in the working directory or /app. Raises RunError."""
    named = os.environ.get("PANAL_APP_DIR")
    folders = [Path(named)] if named else [Path.cwd(), Path("/app")]
    for folder in folders:
        file = folder / "pyproject.toml"
        if not file.is_file():
            continue
        try:
            project = read_toml(file)
        except ValueError as error:
            raise RunError(Ending.APP_INVALID, f"{file} cannot be read: {error}") from error
        if "app" in project.get("tool", {}).get("flwr", {}):
            return folder, project
    tried = " and ".join(str(f) for f in folders)
    raise RunError(Ending.APP_INVALID, f"spec.server.image holds no Flower app: no pyproject.toml with [tool.flwr.app] in {tried}")


def app_folder() -> Path | None:
    """The app's folder; None if the image has no app."""
    try:
        return find_app()[0]
    except RunError:
        return None


def refuse_unfit(folder: Path) -> None:
    """Raises RunError for files that Flower cannot bundle: it would block on a FIFO, for example. Flower ignores links."""
    for where, _, names in os.walk(folder):
        for path in (Path(where, name) for name in names if name.endswith(BUNDLED)):
            mode = path.lstat().st_mode
            if not (stat.S_ISREG(mode) or stat.S_ISLNK(mode)):
                raise RunError(
                    Ending.APP_INVALID, f"{path} in the image is no file but a pipe, socket or device: leave it out of the image"
                )
            if str(path) != str(path).encode(errors="replace").decode():
                raise RunError(Ending.APP_INVALID, f"{str(path)!a} in the image has a name that is not UTF-8: rename it")
