"""The site controller's settings, from environment variables that its Deployment sets."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from panal.api.names import SITE_CONTROLLER, SITE_PORT

LEDGER_DIR, LEDGER_VARIABLE = "/ledger", "PANAL_LEDGER_DIR"
HEALTH_PORT = 8081
LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR")


class SettingsError(ValueError):
    """An environment variable is invalid. The message names it."""


@dataclass(frozen=True, slots=True)
class Settings:
    """`namespace`: the site controller's own. `port`: where gateways ask. `health_port`: of the probes."""

    namespace: str = SITE_CONTROLLER
    ledger: Path = Path(LEDGER_DIR)
    port: int = SITE_PORT
    health_port: int = HEALTH_PORT
    log_level: str = "INFO"


def load(env: Mapping[str, str] = os.environ) -> Settings:
    """Raises SettingsError."""
    level = (env.get("PANAL_LOG_LEVEL") or "INFO").upper()
    if level not in LEVELS:
        raise SettingsError(f"the environment variable PANAL_LOG_LEVEL is {level!r}: set it to one of {', '.join(LEVELS)}")
    return Settings(
        namespace=env.get("POD_NAMESPACE") or SITE_CONTROLLER,
        ledger=Path(env.get(LEDGER_VARIABLE) or LEDGER_DIR),
        port=_port(env, "PANAL_SITE_PORT", SITE_PORT),
        health_port=_port(env, "PANAL_PORT", HEALTH_PORT),
        log_level=level,
    )


def _port(env: Mapping[str, str], name: str, default: int) -> int:
    text = env.get(name) or str(default)
    if not text.isdecimal() or not 0 < int(text) < 1 << 16:
        raise SettingsError(f"the environment variable {name} is {text!r}: set it to the number of a port")
    return int(text)
