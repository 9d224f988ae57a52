"""Starts the user's command in the app's working directory."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from .. import working_directory
from ..child import Child
from ..codes import Ending
from ..files import RunError, log_line


def start(words: list[str], field: str, address: str, more: Mapping[str, str] | None = None) -> Child:
    """`field` is the command's field in the spec, `address` what the command gets as PANAL_ADDRESS; `more` are further variables. Raises
    RunError."""
    if not words:
        raise RunError(Ending.INVALID_SPEC, f"{field} is empty")
    working_directory.enter(_folder, linked=True)
    log_line(f"starting {words[0]} with {len(words) - 1} arguments")  # which may contain the values of Secrets
    try:
        return Child(words, {**os.environ, "PANAL_ADDRESS": address, **(more or {})})
    except OSError as error:
        raise RunError(Ending.APP_INVALID, f"{field}: {words[0]} cannot be started: {error.strerror}") from error


def _folder() -> Path | None:
    """The image's working directory, unless that is the root of its files."""
    here = Path.cwd()
    return None if here == Path(here.anchor) else here
