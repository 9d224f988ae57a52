"""How-to pages as scripts, their bash blocks one after the other, and as resources, as they stand."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterable
from pathlib import Path
from textwrap import dedent
from typing import Any

import yaml

from cluster import Cluster
from processes import assets

BLOCK = re.compile(r"^(<!-- (?P<where>\w+) -->\n)?```bash\n(?P<commands>.*?)^```$", re.MULTILINE | re.DOTALL)
YAML = re.compile(r"^ *```yaml\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)
CONSOLE = re.compile(r"^ *```console\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)


def resources(page: Path) -> list[dict[str, Any]]:
    """The content of each YAML block."""
    return [yaml.safe_load(dedent(block)) for block in YAML.findall(page.read_text())]


def prompts(page: Path) -> list[str]:
    """The commands of each console block, all of which are behind a prompt."""
    return [re.sub(r"^\$ ", "", dedent(block), flags=re.MULTILINE) for block in CONSOLE.findall(page.read_text())]


def say(text: str, config: Path, folder: Path) -> str:
    """What these commands print in a folder, with that kubeconfig."""
    env = os.environ | {"KUBECONFIG": str(config), "PATH": f"{assets()}:{os.environ['PATH']}"}
    shell = ["bash", "-euo", "pipefail", "-c", text]
    done = subprocess.run(shell, cwd=folder, env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


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
