"""How-to pages as scripts: their bash blocks one after the other, as they stand."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml

from cluster import Cluster

BLOCK = re.compile(r"^(<!-- (?P<where>\w+) -->\n)?```bash\n(?P<commands>.*?)^```$", re.MULTILINE | re.DOTALL)


def commands(page: Path, *where: str) -> list[str]:
    """The blocks behind one of these marks; "" is no mark."""
    return [found["commands"] for found in BLOCK.finditer(page.read_text()) if (found["where"] or "") in where]


def script(blocks: list[str]) -> str:
    """Says which block it is at."""
    return "".join(f"echo '### {number}'\n{block}" for number, block in enumerate(blocks, 1))


def kubeconfig(clusters: Iterable[Cluster], folder: Path) -> Path:
    """One file with a context for every cluster; the first is the current one."""
    merged: dict[str, Any] = {"apiVersion": "v1", "kind": "Config", "clusters": [], "users": [], "contexts": []}
    for cluster in clusters:
        own = yaml.safe_load(cluster.kubeconfig.read_text())
        merged.setdefault("current-context", cluster.name)
        merged["clusters"].append({"name": cluster.name, "cluster": own["clusters"][0]["cluster"]})
        merged["users"].append({"name": cluster.name, "user": own["users"][0]["user"]})
        merged["contexts"].append({"name": cluster.name, "context": {"cluster": cluster.name, "user": cluster.name}})
    file = folder / "kubeconfig"
    file.write_text(yaml.safe_dump(merged))
    return file
