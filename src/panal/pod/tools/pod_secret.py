"""The Pod's secret: servers on loopback answer only requests that carry it.

A gateway forwards requests with the site's identity, and a runtime's server may run code that it receives. On a cluster only the Pod's
processes reach its loopback; on the local platform every user of the machine does. The init container writes the secret to a volume that
only this Pod mounts (docs/design/pods.md). It is one line, the value of the header HEADER.
"""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path

from .codes import Ending
from .files import RunError

HEADER = "x-panal-pod"
CLUSTER = "x-panal-cluster"  # set by the aggregator's gateway: the cluster of the client's certificate


@cache
def secret() -> str:
    """The secret. Raises RunError if it is missing or empty."""
    file = Path(os.environ.get("PANAL_POD_DIR") or "/panal/pod") / "secret"
    try:
        found = file.read_text().strip()
    except OSError as error:
        raise RunError(Ending.AGGREGATOR_FAILED, f"The Pod's secret cannot be read: {error}") from error
    if not found:
        raise RunError(Ending.AGGREGATOR_FAILED, f"The Pod's secret {file} is empty")
    return found
