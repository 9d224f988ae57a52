"""`panal doctor --cluster`: a Pod on the managed cluster tries the way to a run's aggregator, and says at which hop it ends.

The Pod is like the collaborator's: the same images, volumes, account, NetworkPolicies and if possible node, but other programs
(`panal.pod.probe`). It comes to the cluster by a ManifestWork of its own, is found by its feedback, and is deleted in the end.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Mapping
from contextlib import suppress
from copy import deepcopy
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from panal.api import names
from panal.cli import output
from panal.cli.run import done
from panal.client import story
from panal.client.access import Access
from panal.client.finding import find
from panal.client.problem import Code, Problem
from panal.kube import kinds
from panal.kube.client import Client, Selector
from panal.kube.errors import NotFound
from panal.kube.objects import Object, Objects, condition, key_of, uid_of
from panal.kube.times import from_time, now_utc

PATIENCE = 60.0  # seconds for an answer from the cluster
LOOK = 0.5
DEADLINE = 120  # seconds after which the Pod ends by itself
PROBE, APP, GATEWAY = "probe", "app", "gateway"
IMAGES = {PROBE: "the pod tools", APP: "the app", GATEWAY: "the gateway"}
NOT_PULLED = ("ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull", "RegistryUnavailable")
KEPT = ("serviceAccountName", "securityContext", "nodeSelector", "tolerations", "imagePullSecrets", "dnsPolicy", "dnsConfig", "hostAliases")
BUCKET = "AWS_ENDPOINT_URL_S3"  # in the app's environment, if the site's data is in a bucket


@dataclass(frozen=True, slots=True)
class Outcome:
    """`hop` is empty if all is well."""

    passed: tuple[str, ...]
    hop: str = ""
    message: str = ""


def probe(access: Access, cluster: str, run: str | None, namespace: str | None, as_json: bool) -> Code:
    return done(_probe(access, cluster, run, namespace, as_json), access)


async def _probe(access: Access, cluster: str, run: str | None, namespace: str | None, as_json: bool) -> Code:
    async with access.open() as client:
        found, collaborator = await _collaborator(client, cluster, run, namespace)
        made = work(collaborator)
        with output.steps(f"{cluster}: a Pod tries the way to the aggregator of {'/'.join(key_of(found))}") as step:
            await _let_end(client, made)
            try:
                await client.create(made)
                outcome = await _answer(client, made, step)
            finally:
                await client.delete(kinds.MANIFEST_WORK, cluster, made["metadata"]["name"])
    if as_json:
        about = {"cluster": cluster, "run": "/".join(key_of(found)), "passed": outcome.passed}
        output.as_json(about | {"failed": outcome.hop or None, "message": outcome.message})
    else:
        for hop in outcome.passed:
            output.line(f"ok       {hop}")
        if outcome.hop:
            output.line(f"PROBLEM  {outcome.hop}: {outcome.message}")
    return Code.UNHEALTHY if outcome.hop else Code.OK


async def _collaborator(client: Client, cluster: str, name: str | None, namespace: str | None) -> tuple[Object, Object]:
    """A run in progress, and its work on the cluster. Raises Problem if there is none."""
    runs = [await find(client, name, namespace)] if name else (await client.list(kinds.FEDERATED_LEARNING, Selector(namespace or ""))).items
    for each in (each for each in runs if not story.ended(each)):
        own = key_of(each)
        identity = names.run_id(own.namespace, own.name, uid_of(each))
        with suppress(NotFound):
            return each, await client.get(kinds.MANIFEST_WORK, cluster, names.work(own.name, identity))
    with suppress(NotFound):
        await client.get(kinds.MANAGED_CLUSTER, "", cluster)
        what = f"the run {name}" if name else "no run in progress"
        told = f"{what} has {'no' if name else 'a'} collaborator on {cluster}"
        remedy = (
            "The probe tries the way to the aggregator of a run: start one that selects the cluster. `panal get NAME` says why it waits."
        )
        raise Problem(Code.NOT_FOUND, told, remedy)
    raise Problem(Code.NOT_FOUND, f"the managed cluster {cluster} does not exist", "`panal get clusters` lists them.")


async def _let_end(client: Client, made: Object) -> None:
    """Removes what an interrupted command has left. Raises Problem if the probe of another command still runs."""
    cluster, name = key_of(made)
    until = time.monotonic() + PATIENCE
    while True:
        try:
            found = await client.get(kinds.MANIFEST_WORK, cluster, name)
        except NotFound:
            return
        going, age = not found["metadata"].get("deletionTimestamp"), now_utc() - from_time(found["metadata"]["creationTimestamp"])
        if going and age < timedelta(seconds=DEADLINE):
            message = f"another probe of this run is on {cluster}, since {age.total_seconds():.0f} s"
            raise Problem(Code.REFUSED, message, f"Try again when it has ended. One that was interrupted is replaced after {DEADLINE} s.")
        if time.monotonic() > until:
            message = f"the ManifestWork {name} of an earlier probe is not deleted: {cluster} does not confirm it"
            raise Problem(Code.TIMEOUT, message, "Check the work agent on the cluster.")
        if going:
            await client.delete(kinds.MANIFEST_WORK, cluster, name)
        await asyncio.sleep(LOOK)


async def _answer(client: Client, made: Object, step: Any) -> Outcome:
    until, before = time.monotonic() + PATIENCE, ""
    while True:
        found = await client.get(kinds.MANIFEST_WORK, *key_of(made))
        values = feedback(found)
        if (outcome := judged(found, values)) is not None:
            return outcome
        if time.monotonic() > until:
            return overdue(found, values)
        if (now := _state(found, values)) != before:
            step(now)
            before = now
        await asyncio.sleep(LOOK)


def _state(found: Object, values: Mapping[str, str]) -> str:
    if values.get("phase"):
        return f"its Pod is {values['phase']}"
    return "the work is applied" if condition(found, "Applied") else "the cluster has not fetched the work yet"


# --- the work ---------------------------------------------------------------------------------------------------
def work(collaborator: Object) -> Object:
    """The ManifestWork with the Pod, from that of the collaborator. Raises Problem if that is not panal's."""
    manifests: Objects = collaborator["spec"]["workload"]["manifests"]
    stateful_set = next((m for m in manifests if m.get("kind") == "StatefulSet"), None)
    if stateful_set is None:
        raise Problem(Code.REFUSED, "the run's work has no StatefulSet", "Restart the run: somebody has changed its work.")
    namespace, name = key_of(stateful_set)
    pod = _pod(stateful_set["spec"]["template"]["spec"]) | {"affinity": _beside(stateful_set["spec"]["selector"])}
    labels = {**stateful_set["spec"]["template"]["metadata"]["labels"], names.LABEL_COMPONENT: "probe"}
    metadata = {"name": f"{name}-probe", "namespace": namespace, "labels": labels}
    config = {
        "resourceIdentifier": {"group": "", "resource": "pods", "name": metadata["name"], "namespace": namespace},
        "updateStrategy": {"type": "CreateOnly"},
        "feedbackScrapeType": "Watch",
        "feedbackRules": [{"type": "JSONPaths", "jsonPaths": [{"name": name, "path": path} for name, path in _paths().items()]}],
    }
    return {
        "apiVersion": kinds.MANIFEST_WORK.api_version,
        "kind": kinds.MANIFEST_WORK.kind,
        "metadata": {"name": f"{collaborator['metadata']['name']}-probe", "namespace": collaborator["metadata"]["namespace"]},
        "spec": {
            "workload": {"manifests": [{"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": pod}]},
            "manifestConfigs": [config],
        },
    }


def _beside(collaborator: Object) -> Object:
    """A volume may be mounted on one node alone."""
    term = {"labelSelector": collaborator, "topologyKey": "kubernetes.io/hostname"}
    return {"podAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [{"weight": 100, "podAffinityTerm": term}]}}


def _pod(spec: Mapping[str, Any]) -> dict[str, Any]:
    tools, gateway = (next(c for c in spec["initContainers"] if c["name"] == name) for name in ("tools", "gateway"))
    (main,) = spec["containers"]
    volumes = {volume["name"]: deepcopy(volume) for volume in spec["volumes"] if volume["name"] in ("gateway", "data")}
    for source in volumes["gateway"]["projected"]["sources"]:  # what is not there is named by the probe, instead of holding up the Pod
        (source.get("secret") or source["configMap"])["optional"] = True
    mounts = [mount for mount in (*gateway["volumeMounts"], *main["volumeMounts"]) if mount["name"] in volumes]
    data = next((mount["mountPath"] for mount in mounts if mount["name"] == "data"), None)
    env = [{"name": "PANAL_DATA_DIR", "value": data}] if data else []
    env += [{"name": "PANAL_DATA_ENDPOINT", "value": each["value"]} for each in main.get("env") or () if each["name"] == BUCKET]
    small = {"resources": tools.get("resources") or {}}
    nothing = {"command": ["true"]} | small  # the image is pulled, and that is all
    secrets = {"envFrom": main["envFrom"]} if "envFrom" in main else {}  # for an image of panal: the app's might do more with them
    probing = {
        "command": ["python3", "-m", "panal.pod.probe"],
        "env": env,
        "volumeMounts": mounts,
        **small,
    }
    kept = {name: spec[name] for name in KEPT if name in spec}
    return {
        **kept,
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "restartPolicy": "Never",
        "activeDeadlineSeconds": DEADLINE,
        "terminationGracePeriodSeconds": 1,
        "containers": [
            _container(PROBE, tools) | probing,
            _container(APP, main) | nothing,
            _container(GATEWAY, gateway) | nothing | secrets,
        ],
        "volumes": list(volumes.values()),
    }


def _container(name: str, like: Mapping[str, Any]) -> dict[str, Any]:
    return {"name": name, **{field: like[field] for field in ("image", "imagePullPolicy", "securityContext") if field in like}}


def _paths() -> dict[str, str]:
    found = {"phase": ".status.phase", "unschedulable": '.status.conditions[?(@.type=="PodScheduled")].message'}
    for name in IMAGES:
        state = f'.status.containerStatuses[?(@.name=="{name}")].state'
        found |= {f"{name}Waiting": f"{state}.waiting.reason", f"{name}WaitingMessage": f"{state}.waiting.message"}
        found[f"{name}Ended"] = f"{state}.terminated.reason"
    return found | {"result": f'.status.containerStatuses[?(@.name=="{PROBE}")].state.terminated.message'}


# --- what it says -----------------------------------------------------------------------------------------------
def feedback(found: Object) -> dict[str, str]:
    manifests = ((found.get("status") or {}).get("resourceStatus") or {}).get("manifests") or [{}]
    values = (manifests[0].get("statusFeedback") or {}).get("values") or ()
    return {each["name"]: str((each.get("fieldValue") or {}).get("string") or "") for each in values}


def judged(found: Object, values: Mapping[str, str]) -> Outcome | None:
    """None as long as the answer is not complete."""
    applied = condition(found, "Applied")
    if applied.get("status") == "False":
        manifests = ((found.get("status") or {}).get("resourceStatus") or {}).get("manifests") or [{}]
        why = condition({"status": manifests[0]}, "Applied").get("message") or applied.get("message") or "no reason is given"
        return Outcome((), "work", f"the cluster does not accept the Pod: {why}")
    for name, what in IMAGES.items():
        if values.get(f"{name}Waiting") in NOT_PULLED:
            why = values.get(f"{name}WaitingMessage") or values[f"{name}Waiting"]
            return Outcome(("work",), "image", f"the image of {what} is not pulled: {why}")
        if values.get(f"{name}Waiting") == "CreateContainerConfigError":
            return Outcome(("work", "scheduling"), "configuration", f"a container is not created: {values.get(f'{name}WaitingMessage')}")
    if (text := values.get("result")) and all(values.get(f"{name}Ended") for name in IMAGES):
        return _read(text)
    if values.get("phase") == "Failed" and not text:
        return Outcome(("work",), "Pod", "the Pod ended without an answer: it was evicted, or its deadline was over")
    return None


def _read(text: str) -> Outcome:
    before = ("work", "scheduling", "image", "volumes")
    try:
        told = json.loads(text)
        return Outcome((*before, *map(str, told["passed"])), str(told.get("failed") or ""), str(told.get("message") or ""))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return Outcome(before, "Pod", f"the probe's answer cannot be read: {text[:200]}")


def overdue(found: Object, values: Mapping[str, str]) -> Outcome:
    """The hop at which the Pod is, when there is no answer in time."""
    if not condition(found, "Applied"):
        return Outcome((), "work", f"the cluster has not fetched the work within {PATIENCE:.0f} s. Check the work agent on the cluster.")
    if why := values.get("unschedulable"):
        claim = "data claim" if "persistentvolumeclaim" in why.lower() else "scheduling"
        return Outcome(("work",), claim, f"the Pod has no node: {why}")
    creating = [name for name in IMAGES if values.get(f"{name}Waiting") == "ContainerCreating"]
    if len(creating) < len(IMAGES) and creating:
        what = ", ".join(IMAGES[name] for name in creating)
        return Outcome(("work", "scheduling"), "image", f"the image of {what} has not been pulled within {PATIENCE:.0f} s. Try again.")
    if creating:
        hint = "a volume is not mounted, such as that of the data, or images are still being pulled. Its Events on the cluster say which"
        return Outcome(("work", "scheduling"), "volumes", f"the containers are not created: {hint}.")
    waiting = next((values[f"{name}Waiting"] for name in IMAGES if values.get(f"{name}Waiting")), values.get("phase") or "not created")
    return Outcome(("work",), "Pod", f"there is no answer within {PATIENCE:.0f} s; the Pod is {waiting}")
