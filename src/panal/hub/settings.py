"""The controller's settings, from environment variables that its Deployment sets."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

from panal.addon.authority import Times
from panal.api.names import BINDING_POLICY_WORKS_AFTER, SYSTEM_NAMESPACE
from panal.lifecycle.world import Images

RESYNC = timedelta(minutes=15)
SERVICE_ACCOUNT = re.compile(r"system:serviceaccount:[a-z0-9]([-a-z0-9]*[a-z0-9])?:[a-z0-9]([-.a-z0-9]*[a-z0-9])?")
METRICS_TLS = "PANAL_METRICS_TLS"
LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR")


class SettingsError(ValueError):
    """An environment variable is missing or invalid. The message names it."""


@dataclass(frozen=True, slots=True)
class Metrics:
    """How readers of the metrics are served who have shown that they may: at `port` by HTTPS, with the certificate of the folder `tls`, or
    one that the process makes itself."""

    port: int = 8443
    tls: Path | None = None


@dataclass(frozen=True, slots=True)
class Settings:
    """`identity`: the name of this process in the leader Lease. `port`: for health (None: neither health nor metrics are served).
    `metrics`: see there; None: at `port`, to everybody. `times`: lifetimes of
    certificates and authorities. `policy_delay`: how long after its creation the admission policy is effective. `resync`: how often the
    watch cache lists each kind again. `grpc_server`: the user of OCM's gRPC server, or empty."""

    images: Images
    namespace: str
    identity: str
    port: int | None
    log_level: str
    cleanup_limit: timedelta
    times: Times = field(default_factory=Times)
    policy_delay: timedelta = BINDING_POLICY_WORKS_AFTER
    resync: timedelta = RESYNC
    grpc_server: str = ""
    metrics: Metrics | None = field(default_factory=Metrics)


def load(env: Mapping[str, str] = os.environ) -> Settings:
    """Raises SettingsError."""
    return Settings(
        images=Images(
            pod_tools=_required(env, "PANAL_POD_TOOLS_IMAGE"),
            gateway=_required(env, "PANAL_GATEWAY_IMAGE"),
            pull_policy=env.get("PANAL_IMAGE_PULL_POLICY", "IfNotPresent"),
        ),
        namespace=env.get("POD_NAMESPACE", SYSTEM_NAMESPACE),
        identity=env.get("POD_NAME") or f"{os.uname().nodename}-{os.getpid()}",
        port=None if env.get("PANAL_PORT") == "0" else _number(env, "PANAL_PORT", 8080),
        log_level=_level(env.get("PANAL_LOG_LEVEL") or "INFO"),
        cleanup_limit=timedelta(seconds=_number(env, "PANAL_CLEANUP_LIMIT_SECONDS", 300)),
        times=_times(env),
        policy_delay=_seconds(env, "PANAL_POLICY_DELAY_SECONDS", BINDING_POLICY_WORKS_AFTER),
        resync=_seconds(env, "PANAL_RESYNC_SECONDS", RESYNC),
        grpc_server=_service_account(env, "PANAL_GRPC_SERVER_ACCOUNT"),
        metrics=_metrics(env) if _is_on(env, "PANAL_METRICS_AUTHENTICATION") else None,
    )


def _times(env: Mapping[str, str]) -> Times:
    defaults = Times()
    return Times(
        life=_seconds(env, "PANAL_AUTHORITY_LIFE_SECONDS", defaults.life),
        leaf=_seconds(env, "PANAL_CERTIFICATE_LIFE_SECONDS", defaults.leaf),
        spread=_seconds(env, "PANAL_AUTHORITY_SPREAD_SECONDS", defaults.spread),
    )


def _metrics(env: Mapping[str, str]) -> Metrics:
    folder = env.get(METRICS_TLS)
    return Metrics(_number(env, "PANAL_METRICS_PORT", Metrics().port), Path(folder) if folder else None)


def _is_on(env: Mapping[str, str], name: str) -> bool:
    """Unless it is turned off."""
    text = env.get(name) or "true"
    if text not in ("true", "false"):
        raise SettingsError(f"the environment variable {name} is {text!r}: set it to true or false")
    return text == "true"


def _seconds(env: Mapping[str, str], name: str, default: timedelta) -> timedelta:
    return timedelta(seconds=_number(env, name, int(default.total_seconds())))


def _level(text: str) -> str:
    if text.upper() not in LEVELS:
        raise SettingsError(f"the environment variable PANAL_LOG_LEVEL is {text!r}: set it to one of {', '.join(LEVELS)}")
    return text.upper()


def _service_account(env: Mapping[str, str], name: str) -> str:
    text = env.get(name) or ""
    if text and not SERVICE_ACCOUNT.fullmatch(text):
        raise SettingsError(f"the environment variable {name} is {text!r}: set it to system:serviceaccount:NAMESPACE:NAME")
    return text


def _required(env: Mapping[str, str], name: str) -> str:
    value = env.get(name)
    if not value:
        raise SettingsError(f"the environment variable {name} is not set: set it to the name of the image")
    return value


def _number(env: Mapping[str, str], name: str, default: int) -> int:
    text = env.get(name) or str(default)
    if not text.isdecimal() or int(text) == 0:
        raise SettingsError(f"the environment variable {name} is {text!r}: set it to a positive integer")
    return int(text)
