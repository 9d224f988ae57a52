"""ManifestWorks and what is to be said of them: one list (ocm_contract.yaml), for Open Cluster Management itself and for the stand-in.

A case has steps: the work as it is made and then changed, each with what its status says in the end. What the namespace holds when
it begins: ConfigMaps `theirs` and `kept`, made by somebody else. In the end the work is deleted; `left` and `gone` are ConfigMaps.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from api import Api
from panal.kube import kinds
from panal.kube.objects import Object
from runs import eventually

FILE = Path(__file__).with_suffix(".yaml")


def load(text: str = "") -> list[dict[str, Any]]:
    return yaml.safe_load(text or FILE.read_text())


@dataclass
class Runner:
    """`cluster` is the ManagedCluster's name; `spoke` may be the same server as `hub`."""

    hub: Api
    spoke: Api
    cluster: str
    seconds: float = 40

    def run(self, case: dict[str, Any], check: Callable[[dict[str, Any], dict[str, Any]], None]) -> None:
        """`check` gets a step and what was said of it."""
        name = case["name"].replace(" ", "-").replace(",", "")
        self._begin(name)
        for step in case["steps"]:
            self.hub.apply(self._work(name, case, step))
            self._settle(name, step, check)
        self.hub.delete(kinds.MANIFEST_WORK, self.cluster, name)
        eventually(lambda: self.hub.get(kinds.MANIFEST_WORK, self.cluster, name) is None, f"{name}: the work is gone", self.seconds)
        for each in case.get("gone") or ():  # some by the work agent, some by Kubernetes' garbage collection
            eventually(lambda each=each: self.spoke.get(kinds.CONFIG_MAP, name, each) is None, f"{name}: {each} is gone", self.seconds)
        for each in case.get("left") or ():
            assert self.spoke.get(kinds.CONFIG_MAP, name, each), f"{name}: {each} is left"

    def _begin(self, namespace: str) -> None:
        self.spoke.make_namespace(namespace)
        for name in ("theirs", "kept"):
            metadata = {"name": name, "namespace": namespace}
            self.spoke.apply({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"whose": "theirs"}})

    def _work(self, name: str, case: dict[str, Any], step: dict[str, Any]) -> Object:
        spec = {"workload": {"manifests": step["manifests"]}, "manifestConfigs": step.get("configs") or []}
        if "deleteOption" in case:
            spec["deleteOption"] = case["deleteOption"]
        metadata = {"name": name, "namespace": self.cluster}
        work = {"apiVersion": "work.open-cluster-management.io/v1", "kind": "ManifestWork", "metadata": metadata, "spec": spec}
        return yaml.safe_load(yaml.safe_dump(work).replace("NS", name))

    def _settle(self, name: str, step: dict[str, Any], check: Callable[[dict[str, Any], dict[str, Any]], None]) -> None:
        """A status may be of an earlier moment: it is looked at until it is as expected, or time is over."""
        failure: list[AssertionError] = []

        def right() -> bool:
            failure.clear()
            try:
                check(step, said(self.hub.get(kinds.MANIFEST_WORK, self.cluster, name) or {}))
            except AssertionError as error:
                failure.append(error)
            return not failure

        try:
            eventually(right, name, self.seconds)
        except BaseException:
            if failure:
                raise failure[0] from None
            raise


def said(work: Object) -> dict[str, Any]:
    """The work's status without times and words, but with what the hub has to be up to date with."""
    status, generation = work.get("status") or {}, work.get("metadata", {}).get("generation")
    manifests = (status.get("resourceStatus") or {}).get("manifests") or []
    return {
        "work": _conditions(status.get("conditions") or [], generation),
        "manifests": [_conditions(m["conditions"], generation) | _values(m) for m in manifests],
    }


def _conditions(conditions: list[dict[str, Any]], generation: int | None) -> dict[str, str]:
    """A condition of an earlier generation is marked."""
    old = {c["type"] for c in conditions if c.get("observedGeneration", generation) != generation}
    return {c["type"]: f"{c['status']} {c['reason']}{' (old)' if c['type'] in old else ''}" for c in conditions}


def _values(manifest: dict[str, Any]) -> dict[str, Any]:
    values = (manifest.get("statusFeedback") or {}).get("values") or []
    found = {v["name"]: next(x for k, x in v["fieldValue"].items() if k != "type") for v in values}
    return {"values": found} if found else {}


def expected(step: dict[str, Any], found: dict[str, Any]) -> None:
    assert found == step["expect"]
