"""Runs as tests on real clusters handle them: apply, wait, look, tell."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from cluster import Cluster
from fleet import Fleet

Status = dict[str, Any]
T = TypeVar("T")

APP_IMAGE = "panal/test-app:1"
DONE = ("Completed", "Failed")


def eventually(question: Callable[[], T | None], what: str, seconds: float) -> T:
    """The first answer that is true; asks twice a second."""
    end = time.monotonic() + seconds
    while True:
        if answer := question():
            return answer
        assert time.monotonic() < end, f"not within {seconds:.0f} s: {what}"
        time.sleep(0.5)


@dataclass(frozen=True)
class Run:
    """One FederatedLearning on the hub."""

    hub: Cluster
    namespace: str
    name: str
    uid: str

    def status(self) -> Status:
        text = self.hub.kubectl("-n", self.namespace, "get", "fl", self.name, "-o", "json", check=False)
        found: Status = json.loads(text).get("status") or {} if text else {}
        return found

    def reason(self) -> str:
        return next((c["reason"] for c in self.status().get("conditions", []) if c["type"] == "Progressing"), "")

    def until(self, wanted: Callable[[Status], bool], what: str, seconds: float = 180) -> Status:
        """The status as soon as it is as wanted; a run that ended differently meanwhile fails the test at once."""

        def question() -> Status | None:
            status = self.status()
            if wanted(status):
                return status
            assert status.get("phase") not in DONE, f"{self.name} ended while the test waits for {what}: {status.get('message')}"
            return None

        try:
            return eventually(question, f"{self.name}: {what}", seconds)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.story()}") from None

    def until_round(self, number: int, seconds: float = 180) -> Status:
        return self.until(lambda s: s.get("rounds", {}).get("completed", 0) >= number, f"round {number} completed", seconds)

    def until_running(self, seconds: float = 180) -> Status:
        return self.until(lambda s: s.get("phase") == "Running", "Running", seconds)

    def until_ended(self, phase: str, seconds: float = 300) -> Status:
        status = self.until(lambda s: s.get("phase") in DONE, phase, seconds)
        assert status["phase"] == phase, f"{self.name} is {status['phase']}: {status.get('message')}\n{self.story()}"
        return status

    def until_cleaned(self, seconds: float = 90) -> None:
        eventually(lambda: not self.works(), f"{self.name}: the works are gone", seconds)

    def works(self) -> list[str]:
        """The clusters that have a work of this run."""
        selector = f"fl.panal/run={self.name},fl.panal/run-namespace={self.namespace}"
        items = json.loads(self.hub.kubectl("get", "manifestworks", "-A", "-l", selector, "-o", "json"))["items"]
        return sorted(i["metadata"]["namespace"] for i in items)

    def events(self) -> list[tuple[str, str, str]]:
        """(type, reason, message) of the run's events, oldest first."""
        selector = f"involvedObject.uid={self.uid}"
        items = json.loads(self.hub.kubectl("-n", self.namespace, "get", "events", "--field-selector", selector, "-o", "json"))["items"]
        items.sort(key=lambda i: str(i["eventTime"]))
        return [(i["type"], i["reason"], i["message"]) for i in items]

    def story(self) -> str:
        """All that helps to understand a test that failed."""
        job = f"job/{self.name}-aggregator"
        logs = self.hub.kubectl("-n", self.namespace, "logs", job, "--all-containers", "--tail=40", "--prefix", check=False)
        events = "\n".join(" ".join(e) for e in self.events())
        return f"--- events\n{events}\n--- status\n{json.dumps(self.status(), indent=1)}\n--- logs\n{logs}"

    def patch(self, **spec: Any) -> None:
        self.hub.kubectl("-n", self.namespace, "patch", "fl", self.name, "--type=merge", "-p", json.dumps({"spec": spec}))

    def delete(self, wait: bool = True, seconds: int = 60) -> None:
        self.hub.kubectl("-n", self.namespace, "delete", "fl", self.name, f"--wait={str(wait).lower()}", f"--timeout={seconds}s")

    def aggregator_pod(self) -> str:
        selector = f"fl.panal/run={self.name},fl.panal/component=aggregator"
        query = ("-n", self.namespace, "get", "pods", "-l", selector, "-o", "jsonpath={.items[0].metadata.name}")
        return self.hub.kubectl(*query)


def apply(
    hub: Cluster,
    namespace: str,
    name: str,
    *,
    clusters: list[str],
    minimum: int | None = None,
    server: dict[str, Any] | None = None,
    client: dict[str, Any] | None = None,
    **spec: Any,
) -> Run:
    """A run over the clusters named, all of which it needs unless `minimum` is given."""
    names = [{"key": "name", "operator": "In", "values": clusters}]
    placement = {"clusterSets": ["default"], "predicates": [{"requiredClusterSelector": {"labelSelector": {"matchExpressions": names}}}]}
    storage = {"type": "PersistentVolumeClaim", "name": "models", "size": "1Gi"}
    body = {
        "apiVersion": "federation-ai.open-cluster-management.io/v1alpha1",
        "kind": "FederatedLearning",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {
            "framework": "flower",
            "server": {
                "image": APP_IMAGE,
                "rounds": 2,
                "minAvailableClients": len(clusters) if minimum is None else minimum,
                "quorumTimeoutSeconds": 60,
                "storage": storage,
            }
            | (server or {}),
            "client": {"image": APP_IMAGE, "placement": placement} | (client or {}),
        }
        | spec,
    }
    hub.kubectl("apply", "-f", "-", stdin=json.dumps(body))
    uid = hub.kubectl("-n", namespace, "get", "fl", name, "-o", "jsonpath={.metadata.uid}")
    return Run(hub, namespace, name, uid)


def label_clusters(fleet: Fleet) -> None:
    """So that a run can name the clusters it wants."""
    for spoke in fleet.spokes:
        fleet.hub.kubectl("label", "managedcluster", spoke.name, f"name={spoke.name}", "--overwrite")
