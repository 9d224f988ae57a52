"""Every kind of failure where everything is real."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from engine import Engine
from failure_suite import *  # noqa: F403
from fleet import Fleet
from panal.kube import kinds
from panal.lifecycle.reasons import REMEDY, Reason
from rights_suite import *  # noqa: F403
from runs import Run, apply

pytestmark = [pytest.mark.real, pytest.mark.nodes]
SMALL = {"name": "small", "namespace": "runs"}


@pytest.fixture(scope="module")
def small_volume(runs: Fleet) -> Iterator[str]:
    """The name of a volume claim whose volume has room for one file of 4 KiB."""
    runs.enter("hub", "sh", "-c", "mkdir -p /srv/small && mount -t tmpfs -o size=4k,mode=777 tmpfs /srv/small")
    node = runs.hub.kubectl("get", "nodes", "-o", "name").strip().removeprefix("node/")
    here = [{"matchExpressions": [{"key": "kubernetes.io/hostname", "operator": "In", "values": [node]}]}]
    spec: dict[str, Any] = {"capacity": {"storage": "1Mi"}, "accessModes": ["ReadWriteOnce"], "storageClassName": "small"}
    more = {"local": {"path": "/srv/small"}, "nodeAffinity": {"required": {"nodeSelectorTerms": here}}, "claimRef": SMALL}
    claim = {"accessModes": ["ReadWriteOnce"], "storageClassName": "small", "resources": {"requests": {"storage": "1Mi"}}}
    runs.hub.apply({"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": "small"}, "spec": spec | more})
    runs.hub.apply({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": SMALL, "spec": claim})
    yield "small"
    runs.hub.kubectl("-n", "runs", "delete", "pvc", "small")
    runs.hub.kubectl("delete", "pv", "small")
    runs.enter("hub", "umount", "--lazy", "/srv/small")


@pytest.fixture(scope="module", autouse=True)
def full(engine: Engine, small_volume: str) -> Run:
    """A run whose model does not fit; it begins with those that fail otherwise."""
    return apply(engine, "runs", "full", clusters=["cluster1"], server={"storage": {"type": "PersistentVolumeClaim", "name": small_volume}})


def test_a_full_volume_ends_the_run_and_is_named(engine: Engine, full: Run, small_volume: str) -> None:
    status = full.until_ended("Failed", 120)
    assert full.reason() == Reason.MODEL_NOT_STORED, full.story()
    assert "No space left on device" in status["message"]
    assert REMEDY[Reason.MODEL_NOT_STORED] in status["message"]
    assert ("Warning", Reason.CHECKPOINT_FAILED) in [e[:2] for e in full.events()], full.story()
    full.until_cleaned()
    full.delete()
    assert (engine.hub.get(kinds.PERSISTENT_VOLUME_CLAIM, "runs", small_volume) or {})["status"]["phase"] == "Bound"
