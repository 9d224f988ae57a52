"""The environment of Flower's processes, and what our programs in them tell each other: the SuperLink's port, and whose a node is."""

from __future__ import annotations

import os
from pathlib import Path

from ..files import append_line, number
from .codes import SUPERLINK_PORT

NODES = "nodes.jsonl"  # in the run's folder, by the SuperLink: which node is of which cluster


def superlink_port() -> int:
    return number("PANAL_SUPERLINK_PORT", SUPERLINK_PORT)


def append_node(node: int, cluster: str) -> None:
    """Adds to nodes.jsonl that this node of Flower's is that cluster's collaborator."""
    append_line(NODES, {"node": node, "cluster": cluster})


def flower_environment(hook: str) -> dict[str, str]:
    """The environment of Flower's processes: no calls home, a writable home, and our hook (`server` or `client`) in front of the path.
    No switch of Flower's own that would open other ports, or install what an app asks for."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("FLWR_INTERNAL_")}
    env["FLWR_DISABLE_RUNTIME_DEPENDENCY_INSTALLATION"] = "1"
    tools = str(Path(__file__).resolve().parents[2])
    env["PYTHONPATH"] = os.pathsep.join(p for p in (tools, env.get("PYTHONPATH", "")) if p)
    env["PANAL_RUNTIME"], env["PANAL_HOOK"] = "flower", hook
    env["PYTHONUNBUFFERED"] = "1"
    env["FLWR_TELEMETRY_ENABLED"] = "0"
    env["FLWR_DISABLE_UPDATE_CHECK"] = "1"
    env.setdefault("FLWR_SUPEREXEC_TASK_POLL_INTERVAL", "0.2")
    tmp = os.environ.get("PANAL_TMP", "/tmp")
    env["HOME"] = tmp
    env["FLWR_HOME"] = f"{tmp}/flwr"
    Path(env["FLWR_HOME"]).mkdir(parents=True, exist_ok=True)
    return env
