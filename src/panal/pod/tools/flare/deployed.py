"""Refuses an app that FLARE's server sends to a site, unless the job in the site's own image has the same files: a site runs no code that
its image does not hold. The server's part of the configuration, which the run changes, is not compared: a site does not use it. Compiled
code in the image is not expected from the server, which may not send any.
"""

from __future__ import annotations

import io
import os
import zipfile
from pathlib import Path
from typing import Any

from ..files import log_line, shown
from .job import SERVER_CONFIG, SUFFIXES

JOB = "PANAL_FLARE_JOB"  # the variable with the job's folder in the image
NOT_COMPARED = frozenset(f"config/{SERVER_CONFIG}{suffix}" for suffix in SUFFIXES)


def patch(module: Any) -> None:
    process = module.DeployProcessor.process

    def checked(self: Any, req: Any, app_ctx: Any) -> Any:
        name = str(req.get_header(module.RequestHeader.APP_NAME))
        if why := difference(req.body, Path(os.environ[JOB]), name):
            log_line(f"refused: the server sends another app than the one in this image: {why}")
            return module.error_reply(f"the image of this site has another app: {why}")
        return process(self, req, app_ctx)

    module.DeployProcessor.process = checked


def difference(sent: bytes, job: Path, name: str) -> str:
    """How the app differs from the image's; empty if it does not."""
    if name.startswith(".") or not name or Path(name).name != name or not (job / name).is_dir():
        return f"there is no app {shown(name, 100)}"
    with zipfile.ZipFile(io.BytesIO(sent)) as archive:
        files = [each for each in archive.namelist() if not each.endswith("/") and each not in NOT_COMPARED]
        found = {each: archive.read(each) for each in files}
    own = {str(file.relative_to(job / name)): file for file in (job / name).rglob("*") if file.is_file()}
    wanted = {each: file.read_bytes() for each, file in own.items() if each not in NOT_COMPARED and "__pycache__" not in Path(each).parts}
    if len(files) != len(found):
        return "two of its files have one name"
    differ = sorted(each for each in found.keys() | wanted.keys() if found.get(each) != wanted.get(each))
    return f"{shown(differ[0], 100)} differs" if differ else ""
