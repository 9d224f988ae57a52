"""Where the user's app is in the image."""

from __future__ import annotations

import os
from pathlib import Path

from .files import Record, RunError


def read_toml(path: Path) -> Record:
    try:
        import tomllib
    except ImportError:  # Python 3.10; Flower brings tomli
        import tomli as tomllib  # type: ignore[no-redef,import-not-found,unused-ignore]
    content: Record = tomllib.loads(path.read_text())
    return content


def find_app() -> tuple[Path, Record]:
    """The app's folder and its pyproject.toml: PANAL_APP_DIR if set, else the working directory, else /app."""
    named = os.environ.get("PANAL_APP_DIR")
    folders = [Path(named)] if named else [Path.cwd(), Path("/app")]
    for folder in folders:
        file = folder / "pyproject.toml"
        if not file.is_file():
            continue
        try:
            project = read_toml(file)
        except ValueError as error:
            raise RunError("AppInvalid", f"{file} cannot be read: {error}") from error
        if "app" in project.get("tool", {}).get("flwr", {}):
            return folder, project
    tried = " and ".join(str(f) for f in folders)
    raise RunError("AppInvalid", f"spec.server.image holds no Flower app: no pyproject.toml with [tool.flwr.app] in {tried}")
