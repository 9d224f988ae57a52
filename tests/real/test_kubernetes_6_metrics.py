"""A real Prometheus watches a real run: on real API servers and real Open Cluster Management, with panal's own nodes."""

from __future__ import annotations

import subprocess
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from kubernetes import Kubernetes
from prometheus import Prometheus, promtool, running
from runs import apply
from waiting import eventually

pytestmark = [pytest.mark.real, pytest.mark.flower]

CLUSTERS = ["cluster1", "cluster2"]
SLOW = {"env": [{"name": "STEPS_SECONDS", "value": "1"}]}
OF_RUN = 'run_namespace="runs", run="watched"'


def scrape(engine: Kubernetes) -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{engine.port}/metrics", timeout=10) as answer:
        return str(answer.read().decode())


def by_cluster(found: list[dict[str, Any]]) -> dict[str, float]:
    return {each["metric"]["managed_cluster"]: float(each["value"][1]) for each in found}


def test_a_run_is_seen_while_it_goes_on_and_no_alert_fires(kubernetes: Kubernetes, tmp_path: Path) -> None:
    with running(tmp_path, kubernetes.port) as server:
        run = apply(kubernetes, "runs", "watched", clusters=CLUSTERS, server={"rounds": 6}, client=SLOW)
        run.until_round(2)
        with run.kept_going():
            eventually(lambda: answered(server), lambda: f"every query has data, but: {unanswered(server)}", 60)
            text = scrape(kubernetes)
            received = by_cluster(server.query(f"panal_run_cluster_received_bytes_total{{{OF_RUN}}}"))
            certified = by_cluster(server.query("panal_cluster_certificate_expiry_timestamp_seconds - time()"))
        assert sorted(received) == CLUSTERS
        assert min(received.values()) > 1000
        assert set(certified) >= set(CLUSTERS)
        assert min(certified.values()) > 0
        assert [alert for alert in server.alerts() if alert["state"] == "firing"] == []
        done = subprocess.run([promtool(), "check", "metrics"], input=text, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
        run.until_ended("Completed")
        eventually(lambda: series_of(kubernetes) == ["panal_run_status"], lambda: f"the status is left: {series_of(kubernetes)}", 60)
        run.delete()
        eventually(lambda: series_of(kubernetes) == [], "nothing is left of it", 60)


def unanswered(server: Prometheus) -> list[tuple[str, str]]:
    return [query for query, found in server.dashboard().items() if not found]


def answered(server: Prometheus) -> bool:
    return not unanswered(server)


def series_of(engine: Kubernetes) -> list[str]:
    return sorted({line.partition("{")[0] for line in scrape(engine).splitlines() if 'run="watched"' in line})
