"""Labels, owner references and the frame of every object that a run makes on the hub."""

from __future__ import annotations

from panal.api import names
from panal.lifecycle.world import Object, Run


def labels(run: Run | None, component: str = "") -> dict[str, str]:
    """The labels by which the controller finds an object again; without a run those of an object shared by several runs."""
    found = dict(names.MANAGED_BY)
    if run:
        found |= {names.LABEL_RUN: run.name, names.LABEL_RUN_NAMESPACE: run.namespace, names.LABEL_RUN_UID: run.uid}
    if component:
        found[names.LABEL_COMPONENT] = component
    return found


def owned(run: Run, api_version: str, kind: str, name: str, component: str = "") -> Object:
    """The frame of an object in the run's namespace that goes with the run."""
    owner = {
        "apiVersion": names.API_VERSION,
        "kind": names.KIND,
        "name": run.name,
        "uid": run.uid,
        "controller": True,
        "blockOwnerDeletion": True,
    }
    return {
        "apiVersion": api_version,
        "kind": kind,
        "metadata": {"name": name, "namespace": run.namespace, "labels": labels(run, component), "ownerReferences": [owner]},
    }


def identity(run: Run) -> str:
    return names.run_id(run.namespace, run.name, run.uid)
