"""The log of the platform's processes: lines on stdout, from INFO."""

from __future__ import annotations

import logging

from panal.kube import logs


def log_to_stdout() -> None:
    """Logs panal and the platform from INFO, and libraries from WARNING."""
    logs.log_to_stdout()
    logging.getLogger("panal_local").setLevel(logging.INFO)
