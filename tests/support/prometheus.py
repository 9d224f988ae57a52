"""Prometheus itself, of the Debian package `prometheus`: its tool for metrics and rules, and the server as a process."""

from __future__ import annotations

import functools
import json
import os
import shutil
import subprocess
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from cluster import PROJECT
from processes import free_port
from waiting import eventually

FILES = PROJECT / "charts/panal/files"
ALERTS = FILES / "alerts.yaml"
DASHBOARD: dict[str, Any] = json.loads((FILES / "grafana-dashboard.json").read_text())
PANELS = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
QUERIES = [(panel["title"], target["expr"]) for panel in PANELS for target in panel["targets"]]
PACKAGE = "the Debian package prometheus is not installed: apt-get install prometheus"


def promtool() -> str:
    """Skips the test where it is missing."""
    return program("promtool")


def program(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"{name} is missing: {PACKAGE}")
    return found


def operator_crds() -> list[Path]:
    """The CRDs of the Prometheus operator for what the chart makes. Skips the test where they are missing."""
    folder = Path(os.environ.get("PANAL_NETWORK_CRDS") or PROJECT.parent / "shared/testenv/crds")
    found = [folder / f"monitoring.coreos.com_{plural}.yaml" for plural in ("servicemonitors", "prometheusrules")]
    missing = [path.name for path in found if not path.is_file()]
    if missing:
        pytest.skip(f"no {', '.join(missing)}: set PANAL_NETWORK_CRDS to the folder of these CRDs (docs/design/testing.md)")
    return found


class Prometheus:
    def __init__(self, port: int) -> None:
        self.port = port

    def query(self, expression: str) -> list[dict[str, Any]]:
        found = self._asked("query", query=expression)
        return list(found["result"])

    def alerts(self) -> list[dict[str, Any]]:
        return list(self._asked("alerts")["alerts"])

    def dashboard(self) -> dict[tuple[str, str], list[dict[str, Any]]]:
        """The answer to each query of the dashboard, by panel and query; all runs are chosen."""
        chosen = {"$run_namespace": ".*", "$run": ".*", "$__rate_interval": "10s"}
        found = {}
        for title, query in QUERIES:
            asked = functools.reduce(lambda text, name: text.replace(name, chosen[name]), chosen, query)
            assert "$" not in asked
            found[title, query] = self.query(asked)
        return found

    def targets(self) -> dict[str, tuple[str, str]]:
        """Health and last error by job."""
        found = self._asked("targets", state="active")["activeTargets"]
        return {each["labels"]["job"]: (each["health"], each["lastError"]) for each in found}

    def rules(self) -> list[dict[str, Any]]:
        """With the health of each, after its first evaluation."""
        return [rule for group in self._asked("rules")["groups"] for rule in group["rules"]]

    def _asked(self, what: str, **arguments: str) -> dict[str, Any]:
        url = f"http://127.0.0.1:{self.port}/api/v1/{what}?{urllib.parse.urlencode(arguments)}"
        with urllib.request.urlopen(url, timeout=10) as answer:
            found: dict[str, Any] = json.load(answer)
        assert found["status"] == "success", found
        return found["data"]


@dataclass(frozen=True, slots=True)
class Target:
    """A port of this machine. `https`: with a certificate that is not verified. `token`: a file, as a Pod has it."""

    port: int
    job: str = "panal"
    https: bool = False
    token: Path | None = None

    def config(self) -> dict[str, Any]:
        found: dict[str, Any] = {
            "job_name": self.job,
            "static_configs": [{"targets": [f"127.0.0.1:{self.port}"], "labels": {"namespace": "panal-system", "pod": "panal-0"}}],
        }
        if self.https:
            found |= {"scheme": "https", "tls_config": {"insecure_skip_verify": True}}
        if self.token:
            found["authorization"] = {"credentials_file": str(self.token)}
        return found


@contextmanager
def running(folder: Path, *targets: Target) -> Iterator[Prometheus]:
    """A server that scrapes `targets` every second and evaluates the chart's alerts as often."""
    every = "1s"
    config = {
        "global": {"scrape_interval": every, "evaluation_interval": every},
        "rule_files": [str(ALERTS)],
        "scrape_configs": [target.config() for target in targets],
    }
    (folder / "prometheus.yml").write_text(json.dumps(config))
    port = free_port()
    command = [program("prometheus"), f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/data"]
    with (folder / "prometheus.log").open("wb") as log:
        process = subprocess.Popen([*command, f"--web.listen-address=127.0.0.1:{port}"], stdout=log, stderr=log)
    server = Prometheus(port)
    try:
        eventually(lambda: _answers(server), lambda: (folder / "prometheus.log").read_text(), 60)
        yield server
    finally:
        process.terminate()
        process.wait(20)


def _answers(server: Prometheus) -> bool:
    try:
        return bool(server.query("up"))
    except OSError:
        return False
