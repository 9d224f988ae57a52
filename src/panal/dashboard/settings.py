"""The settings of `panal-dashboard`, from environment variables; the chart sets them.

PANAL_DASHBOARD_ADDRESS  what it listens on (0.0.0.0)      PANAL_DASHBOARD_HOSTS  the Host headers that are answered, with commas (all)
PANAL_DASHBOARD_PORT     the port (8080)                   PANAL_DASHBOARD_TLS    a folder with tls.crt and tls.key: HTTPS (HTTP without)
PANAL_LOG_LEVEL          (INFO)
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

TLS = "PANAL_DASHBOARD_TLS"
LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR")


class SettingsError(ValueError):
    """A variable is wrong. The message names it."""


@dataclass(frozen=True, slots=True)
class Settings:
    address: str = "0.0.0.0"
    port: int = 8080
    hosts: tuple[str, ...] = ()
    tls: Path | None = None
    log_level: str = "INFO"


def load(environment: Mapping[str, str]) -> Settings:
    """Raises SettingsError."""
    port, level = environment.get("PANAL_DASHBOARD_PORT", "8080"), environment.get("PANAL_LOG_LEVEL", "INFO")
    if not (port.isascii() and port.isdigit() and int(port) < 65536):
        raise SettingsError(f"PANAL_DASHBOARD_PORT must be a port, not {port!r}")
    if level not in LEVELS:
        raise SettingsError(f"PANAL_LOG_LEVEL must be one of {', '.join(LEVELS)}, not {level!r}")
    hosts = environment.get("PANAL_DASHBOARD_HOSTS", "").lower().split(",")
    folder = environment.get(TLS, "")
    return Settings(
        address=environment.get("PANAL_DASHBOARD_ADDRESS") or "0.0.0.0",
        port=int(port),
        hosts=tuple(each.strip() for each in hosts if each.strip()),
        tls=Path(folder) if folder else None,
        log_level=level,
    )
