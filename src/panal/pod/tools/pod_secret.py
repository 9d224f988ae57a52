"""The Pod's secret: a server on loopback answers only requests that have it.

A gateway sends what reaches it on loopback in the site's name, and a runtime's server may run what it receives. In a container only the
Pod's processes reach loopback; on the local platform every user of the machine does. The init container writes the secret into a folder
that only this Pod's containers mount (docs/design/pods.md): one line, the value of the header HEADER.
"""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path

from .codes import Ending
from .files import RunError

HEADER = "x-panal-pod"


@cache
def secret() -> str:
    """Raises RunError if there is none: then nothing is served, and nothing sent."""
    file = Path(os.environ.get("PANAL_POD_DIR") or "/panal/pod") / "secret"
    try:
        found = file.read_text().strip()
    except OSError as error:
        raise RunError(Ending.AGGREGATOR_FAILED, f"The Pod's secret cannot be read: {error}") from error
    if not found:
        raise RunError(Ending.AGGREGATOR_FAILED, f"The Pod's secret {file} is empty")
    return found
