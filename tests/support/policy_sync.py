"""Stands in for Open Cluster Management's governance-policy-framework-addon: carries policies to the spokes, and their compliance back.

Like the real one it makes the templates of each copy of a Policy in a cluster's namespace on the hub into objects of the namespace of that
name on the spoke, removes those that are no longer wanted, and writes the state of the templates into the status of the copy. It knows only
ConfigurationPolicies; it keeps no history, copies no Policy to the spoke, and knows no dependencies between policies.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from threading import Event, Thread
from typing import Any

from api import Api, api
from cluster import Cluster
from panal.api.names import ROOT_POLICY_LABEL
from panal.kube import kinds
from panal.kube.kinds import Kind
from panal.kube.objects import Object

CONFIGURATION_POLICY = Kind(kinds.POLICY.group, "v1", "ConfigurationPolicy", "configurationpolicies")
EVERY = 0.5  # seconds
WORST_FIRST = ("NonCompliant", "Pending", "Compliant")


@contextmanager
def synced(hub: Cluster, spokes: Sequence[Cluster]) -> Iterator[None]:
    """Goes on until the end of the block."""
    over, failed = Event(), list[BaseException]()

    def sync() -> None:
        try:
            while not over.wait(EVERY):
                for spoke in spokes:
                    _once(api(hub.kubeconfig), spoke)
        except BaseException as error:
            failed.append(error)
            raise

    thread = Thread(target=sync)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
        assert not failed, failed


def _once(hub: Api, spoke: Cluster) -> None:
    copies = hub.list(kinds.POLICY, spoke.name, ROOT_POLICY_LABEL)
    there = {obj["metadata"]["name"]: obj for obj in api(spoke.kubeconfig).list(CONFIGURATION_POLICY, spoke.name)}
    wanted = {obj["metadata"]["name"]: obj for copy in copies for obj in _templates(copy, spoke.name)}
    for name, obj in wanted.items():
        if name not in there or not _within(obj["spec"], there[name]["spec"]):
            spoke.kubectl("apply", "--server-side", "--force-conflicts", "-f", "-", stdin=json.dumps(obj))
    for name in there.keys() - wanted.keys():
        spoke.kubectl("-n", spoke.name, "delete", "configurationpolicy", name, "--wait=false")
    for copy in copies:
        _report(hub, copy, [(obj["metadata"]["name"], there.get(obj["metadata"]["name"], {})) for obj in _templates(copy, spoke.name)])


def _templates(copy: Object, namespace: str) -> Iterator[Object]:
    spec = copy["spec"]
    for each in spec.get("policy-templates") or ():
        definition = each["objectDefinition"]
        action = {"remediationAction": spec["remediationAction"]} if spec.get("remediationAction") else {}
        yield definition | {"metadata": definition["metadata"] | {"namespace": namespace}, "spec": definition["spec"] | action}


def _within(wanted: Any, found: Any) -> bool:
    """Whether what is found differs only by defaults of the API server."""
    if isinstance(wanted, dict):
        return isinstance(found, dict) and all(key in found and _within(value, found[key]) for key, value in wanted.items())
    if isinstance(wanted, list):
        return isinstance(found, list) and len(wanted) == len(found) and all(map(_within, wanted, found))
    return bool(wanted == found)


def _report(hub: Api, copy: Object, objects: list[tuple[str, Object]]) -> None:
    """The state of an object counts once its controller has seen the newest version of it."""
    states = {name: _state(obj) for name, obj in objects}
    details = [{"templateMeta": {"name": name}} | ({"compliant": state} if state else {}) for name, state in states.items()]
    worst = None if not all(states.values()) else next(state for state in WORST_FIRST if state in states.values())
    before = copy.get("status") or {}
    if (before.get("compliant"), before.get("details")) != (worst, details):
        hub.patch_status(kinds.POLICY, copy["metadata"]["namespace"], copy["metadata"]["name"], compliant=worst, details=details)


def _state(obj: Object) -> str:
    status = obj.get("status") or {}
    if not obj or status.get("lastEvaluatedGeneration") != obj["metadata"]["generation"]:
        return ""
    return str(status.get("compliant") or "")
