"""Checks the site's data before a collaborator starts."""

from __future__ import annotations

import os
from pathlib import Path

from .codes import Ending
from .files import RunError

BUCKET = "s3://"


def check_data(path: str) -> None:
    """Raises RunError unless `path` is readable and not an empty folder: a missing volume must not look like an empty data set. An empty
    `path` means that the run uses no data. A bucket is read by the app alone."""
    if not path or path.startswith(BUCKET):
        return
    try:
        empty = Path(path).is_dir() and not any(Path(path).iterdir())
        readable = os.access(path, os.R_OK)
        exists = Path(path).exists()
    except OSError as error:
        raise RunError(Ending.DATA_NOT_FOUND, f"The data cannot be read: {error}") from error
    if not exists or not readable or empty:
        what = "does not exist" if not exists else "is empty" if empty else "cannot be read by this user id"
        raise RunError(Ending.DATA_NOT_FOUND, f"The data at {path} {what}")
