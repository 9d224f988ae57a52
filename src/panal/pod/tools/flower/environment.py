"""The environment of Flower's processes, and what our programs in them share: the SuperLink's port and the clusters of nodes."""

from __future__ import annotations

import os
from pathlib import Path

from ..files import append_line, number
from .codes import SUPERLINK_PORT
from .spool import temporary_folder

NODES = "nodes.jsonl"  # in the run's folder, written in the SuperLink: the cluster of each node

# In a poll of the server app: before the name of a message whose reply it no longer waits for. The SuperLink's guard drops the message.
GIVEN_UP = "panal-given-up:"


def superlink_port() -> int:
    return number("PANAL_SUPERLINK_PORT", SUPERLINK_PORT)


def accelerated() -> bool:
    """Whether panal may change how Flower's processes start and wait (spec.acceleration)."""
    return os.environ.get("PANAL_ACCELERATION", "").lower() != "off"


def append_node(node: int, cluster: str) -> None:
    """Appends to nodes.jsonl that `node` belongs to `cluster`."""
    append_line(NODES, {"node": node, "cluster": cluster})


def flower_environment(hook: str) -> dict[str, str]:
    """The environment of Flower's processes with the hooks of `server` or `client`: no telemetry, a writable home, no installation of
    dependencies, and no internal settings of Flower, which could open further ports."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("FLWR_INTERNAL_")}
    env["FLWR_DISABLE_RUNTIME_DEPENDENCY_INSTALLATION"] = "1"
    tools = str(Path(__file__).resolve().parents[2])
    env["PYTHONPATH"] = os.pathsep.join(p for p in (tools, env.get("PYTHONPATH", "")) if p)
    env["PANAL_RUNTIME"], env["PANAL_HOOK"] = "flower", hook
    env["PYTHONUNBUFFERED"] = "1"
    env["FLWR_TELEMETRY_ENABLED"] = "0"
    env["FLWR_DISABLE_UPDATE_CHECK"] = "1"
    env.setdefault("FLWR_SUPEREXEC_TASK_POLL_INTERVAL", "0.2")
    tmp = temporary_folder()
    env["HOME"] = tmp
    env["FLWR_HOME"] = f"{tmp}/flwr"
    Path(env["FLWR_HOME"]).mkdir(parents=True, exist_ok=True)
    return env
