"""Labels and owner references of the objects of a run on the hub."""

from __future__ import annotations

from typing import Protocol

from panal.api import names
from panal.lifecycle.world import Object


class Owner(Protocol):
    """A run, or what identifies it."""

    @property
    def namespace(self) -> str: ...
    @property
    def name(self) -> str: ...
    @property
    def uid(self) -> str: ...


def labels(run: Owner | None, component: str = "") -> dict[str, str]:
    """The labels by which the controller finds its objects. `run` is None for an object that several runs share."""
    found = dict(names.MANAGED_BY)
    if run:
        found |= {names.LABEL_RUN: run.name, names.LABEL_RUN_NAMESPACE: run.namespace, names.LABEL_RUN_UID: run.uid}
    if component:
        found[names.LABEL_COMPONENT] = component
    return found


def owned(run: Owner, api_version: str, kind: str, name: str, component: str = "") -> Object:
    """An object in the run's namespace, without content, that Kubernetes deletes with the run."""
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


def identity(run: Owner) -> str:
    return names.run_id(run.namespace, run.name, run.uid)
