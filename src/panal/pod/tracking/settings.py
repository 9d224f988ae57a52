"""Where a run is tracked, from the environment of the reporter."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Tracking:
    """Where a run is tracked. `authorities` is a file, `bundle` and `secret` say in messages where it and the credentials come from."""

    uri: str
    experiment: str
    authorities: str = ""
    bundle: str = ""
    secret: str = ""
    parameters: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def read(cls, env: Mapping[str, str]) -> Tracking | None:
        """None if the run is not tracked."""
        text = env.get("PANAL_TRACKING", "")
        return cls(**json.loads(text), authorities=env.get("PANAL_TRACKING_AUTHORITIES", "")) if text else None


@dataclass(frozen=True, slots=True)
class Telemetry:
    """Where the trace of a run goes. `created`: when the run was, in seconds since 1970."""

    endpoint: str
    created: float
    authorities: str = ""
    bundle: str = ""

    @classmethod
    def read(cls, env: Mapping[str, str]) -> Telemetry | None:
        """None if the run is not traced."""
        text = env.get("PANAL_TELEMETRY", "")
        return cls(**json.loads(text), authorities=env.get("PANAL_TELEMETRY_AUTHORITIES", "")) if text else None
