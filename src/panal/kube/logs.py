"""How processes log that talk to an API server: lines on stdout, none for each single request."""

from __future__ import annotations

import logging
import sys


def log_to_stdout(level: int | str = logging.INFO) -> None:
    logging.basicConfig(level=level, stream=sys.stdout, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    logging.getLogger("httpx2").setLevel(logging.WARNING)
