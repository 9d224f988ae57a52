"""Runs as tests handle them, on any engine: apply, wait, look, tell."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from api import Api
from engine import HUB, Engine
from panal.api import names
from panal.api.history import FILE, History, of_config_map
from panal.api.history import read as read_history
from panal.kube import kinds
from panal.kube.objects import Object, holds
from waiting import eventually

Status = dict[str, Any]

APP_IMAGE = "panal/test-app:1"
SPOKES = ("cluster1", "cluster2", "cluster3", "cluster4")
MADE_ON_THE_HUB = (
    kinds.JOB,
    kinds.POD,
    kinds.SERVICE,
    kinds.CONFIG_MAP,
    kinds.SERVICE_ACCOUNT,
    kinds.ROLE,
    kinds.ROLE_BINDING,
    kinds.PLACEMENT,
    kinds.MANIFEST_WORK,
)
DONE = ("Completed", "Failed")
LAPSES = ("ClusterUnreachable", "ClusterUnavailable")  # on a busy machine OCM may doubt a cluster for a moment, which costs a run nothing
AHEAD = 3  # rounds that a run which is kept going has to do still: more take some seconds to reach the server app


@dataclass(frozen=True)
class Run:
    """One FederatedLearning on the hub."""

    engine: Engine
    namespace: str
    name: str
    uid: str

    @property
    def hub(self) -> Api:
        return self.engine.hub

    def status(self) -> Status:
        """Empty while there is none."""
        found = self.hub.get(kinds.FEDERATED_LEARNING, self.namespace, self.name)
        return (found or {}).get("status") or {}

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

    def until_every_round_counted(self, clusters: list[str], seconds: float = 300) -> None:
        """The run ends well, and each of these clusters and no other took part in each round, at the first try."""
        self.until_no_round_is_lost(clusters, seconds)
        assert not [e for e in self.events() if e[0] == "Warning" and e[1] not in LAPSES], self.story()

    def until_no_round_is_lost(self, clusters: list[str], seconds: float = 300) -> None:
        """The same, after as many tries as it needs."""
        status = self.until_ended("Completed", seconds)
        rounds = status["rounds"]
        assert (rounds["failures"], rounds["completed"]) == (0, rounds["total"]), self.story()
        assert self.metadata()["clusters"] == {c: list(range(1, rounds["total"] + 1)) for c in clusters}
        self.check_history(clusters)

    def check_history(self, clusters: list[str]) -> None:
        """It has each round once, with each of these clusters, also after an aggregator was lost. The ConfigMap has the same."""
        rows = self.history().rounds
        assert [row.round for row in rows] == list(range(1, self.status()["rounds"]["total"] + 1)), rows
        assert all(row.complete and row.seconds is not None and list(row.clusters or ()) == sorted(clusters) for row in rows), rows
        config_map = self.hub.get(kinds.CONFIG_MAP, self.namespace, names.history(self.name)) or {}
        assert of_config_map(config_map) == self.history()

    def history(self) -> History:
        """The file beside the model."""
        path = str(self.status()["model"]["uri"]).removeprefix("pvc://models/").replace("model.safetensors", FILE)
        return read_history(self.engine.read(self.namespace, "models", path))

    def metadata(self) -> Status:
        """What is stored about the run beside its model."""
        path = str(self.status()["model"]["uri"]).removeprefix("pvc://models/").replace("model.safetensors", "metadata.json")
        found: Status = json.loads(self.engine.read(self.namespace, "models", path))
        return found

    def rounds_of(self, cluster: str) -> list[int]:
        """The rounds to which the cluster has contributed."""
        return list(map(int, self.metadata()["clusters"][cluster]))

    @contextmanager
    def kept_going(self) -> Iterator[None]:
        """Until the end of the block it has rounds to do, however long that takes. It must have AHEAD rounds to do at the beginning."""
        over = threading.Event()

        def keep() -> None:
            while not over.wait(0.5):
                rounds = self.status().get("rounds") or {}
                if rounds and rounds["total"] - rounds["completed"] < AHEAD:
                    self.patch(server={"rounds": rounds["completed"] + AHEAD})

        keeper = threading.Thread(target=keep)
        keeper.start()
        try:
            yield
        finally:
            over.set()
            keeper.join()

    def until_cleaned(self, seconds: float = 90) -> None:
        eventually(lambda: not self.works(), f"{self.name}: the works are gone", seconds)

    def next_rounds(self, number: int) -> Status:
        """As soon as so many more are completed."""
        return self.until_round(self.status()["rounds"]["completed"] + number)

    def works(self) -> list[str]:
        """The clusters that have a work of this run."""
        selector = f"fl.panal/run={self.name},fl.panal/run-namespace={self.namespace}"
        return sorted(w["metadata"]["namespace"] for w in self.hub.list(kinds.MANIFEST_WORK, labels=selector))

    def collaborators(self, cluster: str) -> list[str]:
        """The Pods of this run on that cluster."""
        pods = self.engine.spoke(cluster).list(kinds.POD, "panal-collaborator", f"fl.panal/run-uid={self.uid}")
        return [p["metadata"]["name"] for p in pods]

    def aggregators(self) -> list[str]:
        """The Pods of this run on the hub."""
        return [p["metadata"]["name"] for p in self.of_the_run(kinds.POD)]

    def kill(self, cluster: str, program: str) -> None:
        """kill -9 of a program of this run on that cluster, as soon as there is one."""
        pods = self.aggregators if cluster == HUB else lambda: self.collaborators(cluster)
        eventually(lambda: any(self.engine.kill(cluster, pod, program) for pod in pods()), f"{program} is killed on {cluster}", 60)

    def events(self) -> list[tuple[str, str, str]]:
        """(type, reason, message) of the run's events, oldest first."""
        items = self.hub.list(kinds.EVENT, self.namespace, fields=f"involvedObject.uid={self.uid}")
        items.sort(key=lambda i: str(i["eventTime"]))
        return [(i["type"], i["reason"], i["message"]) for i in items]

    def event(self, reason: str) -> Object:
        """The latest of that reason, as it is kept."""
        items = self.hub.list(kinds.EVENT, self.namespace, fields=f"involvedObject.uid={self.uid},reason={reason}")
        return max(items, key=lambda i: str(i["eventTime"]))

    def story(self) -> str:
        """All that helps to understand a test that failed."""
        pods = self.hub.list(kinds.POD, self.namespace, f"fl.panal/run-uid={self.uid}")
        logs = "\n".join(self.engine.logs(self.namespace, p["metadata"]["name"]) for p in pods)
        events = "\n".join(" ".join(e) for e in self.events())
        return f"--- events\n{events}\n--- status\n{json.dumps(self.status(), indent=1)}\n--- logs\n{logs}"

    def patch(self, **spec: Any) -> None:
        self.hub.patch(kinds.FEDERATED_LEARNING, self.namespace, self.name, spec=spec)

    def delete(self, seconds: float = 60) -> None:
        """Returns when it is gone."""
        self.hub.delete(kinds.FEDERATED_LEARNING, self.namespace, self.name)
        gone = lambda: self.hub.get(kinds.FEDERATED_LEARNING, self.namespace, self.name) is None  # noqa: E731
        eventually(gone, f"{self.name} is gone", seconds)

    def of_the_run(self, *found: kinds.Kind) -> list[Object]:
        """Everything of these kinds on the hub that carries the run's uid."""
        return [obj for kind in found for obj in self.hub.list(kind, labels=f"fl.panal/run-uid={self.uid}")]

    def until_nothing_is_left(self, seconds: float = 60) -> None:
        """On the hub, after its deletion."""

        def left() -> list[str]:
            return [f"{o['kind']} {o['metadata']}" for o in self.of_the_run(*MADE_ON_THE_HUB)]

        try:
            eventually(lambda: not left(), f"nothing is left of {self.name}", seconds)
        except AssertionError as error:
            raise AssertionError(f"{error}; there is {left()}") from None


def apply(
    engine: Engine,
    namespace: str,
    name: str,
    *,
    clusters: list[str],
    label: str = "name",
    minimum: int | None = None,
    server: dict[str, Any] | None = None,
    client: dict[str, Any] | None = None,
    **spec: Any,
) -> Run:
    """A run over the clusters whose label has one of these values, all of which it needs unless `minimum` is given."""
    names = [{"key": label, "operator": "In", "values": clusters}]
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
            "client": {"image": APP_IMAGE, "placement": placement, "dataClaim": "None"} | (client or {}),
        }
        | spec,
    }
    made = engine.hub.apply(body)
    return Run(engine, namespace, name, made["metadata"]["uid"])


def until_all_take_part(engine: Engine, clusters: Sequence[str] = SPOKES) -> None:
    """Every cluster has the add-on, and with it its certificate."""

    def missing() -> list[str]:
        found = {a["metadata"]["namespace"]: a for a in engine.hub.list(kinds.MANAGED_CLUSTER_ADDON)}
        return [c for c in clusters if not holds(found.get(c, {}), "Available")]

    eventually(lambda: not missing(), "all clusters can take part", 120)


def label_clusters(engine: Engine, label: str = "name", clusters: Sequence[str] = SPOKES) -> None:
    """So that a run can name the clusters it wants."""
    for name in clusters:
        engine.hub.label(kinds.MANAGED_CLUSTER, name, **{label: name})
