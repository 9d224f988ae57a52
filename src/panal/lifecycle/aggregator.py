"""The aggregator on the hub: its Job with the gateway, the reporter and the runtime's containers.

The Job is created once and never changed, because a change would end the training. What may change during the run is in ConfigMaps, which
the reporter watches. The reporter creates the gateway's key in an in-memory volume that the two share; the key never leaves the Pod.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from panal.api import names
from panal.api.names import ClusterName
from panal.api.types import Evaluation, Mode, PodSettings
from panal.gateway import aggregator as gateway
from panal.lifecycle import initial_model, pods, privacy, tracking
from panal.lifecycle.metadata import identity, labels, owned
from panal.lifecycle.participants import gateway as gateway_config
from panal.lifecycle.runtime import runtime_of
from panal.lifecycle.storage import storage
from panal.lifecycle.storage.kind import ReporterNeeds
from panal.lifecycle.world import Object, Run, World
from panal.runtimes import AggregatorContainers, GatewayRules, Runtime

GATEWAY_RESOURCES = {"requests": {"cpu": "50m", "memory": "96Mi"}}
GATEWAY_MOUNT = {"name": "gateway", "mountPath": names.GATEWAY_DIR}
POD_IP = {"name": "POD_IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}
SKIPPED = "eks.amazonaws.com/skip-containers"  # of a Pod: the containers that Amazon EKS gives no credentials of the ServiceAccount
TOKEN_DIR = "/var/run/secrets/kubernetes.io/serviceaccount"


def objects(world: World, participants: Iterable[ClusterName]) -> list[Object]:
    """The aggregator's objects on the hub except its Service (see `exposure`), in the order in which they are needed."""
    run, runtime = world.run, runtime_of(world)
    found = [_progress(run), _history(run), gateway_config(world, participants), *_reporter_permissions(run), *storage(run).objects(world)]
    if world.job is None:
        found.append(_job(world, runtime))
    return found


def _progress(run: Run) -> Object:
    """The ConfigMap `<run>-progress`. Only `data.rounds`, the current spec.server.rounds, is set here; the reporter writes the rest."""
    return owned(run, "v1", "ConfigMap", names.progress(run.name), "aggregator") | {"data": {names.KEY_ROUNDS: str(run.spec.server.rounds)}}


def _history(run: Run) -> Object:
    """The ConfigMap `<run>-history`, whose content is the reporter's."""
    return owned(run, "v1", "ConfigMap", names.history(run.name), "history")


def _reporter_permissions(run: Run) -> list[Object]:
    name = names.reporter(run.name)
    rbac = "rbac.authorization.k8s.io"
    written = [names.progress(run.name), names.history(run.name)]
    rules = [
        {"apiGroups": [""], "resources": ["configmaps"], "resourceNames": written, "verbs": ["get", "patch"]},
        {"apiGroups": [""], "resources": ["configmaps"], "resourceNames": [names.gateway(run.name)], "verbs": ["get", "list", "watch"]},
    ]
    subject = {"kind": "ServiceAccount", "name": name, "namespace": run.namespace}
    return [
        owned(run, "v1", "ServiceAccount", name, "aggregator") | {"automountServiceAccountToken": False},
        owned(run, f"{rbac}/v1", "Role", name, "aggregator") | {"rules": rules},
        owned(run, f"{rbac}/v1", "RoleBinding", name, "aggregator")
        | {"roleRef": {"apiGroup": rbac, "kind": "Role", "name": name}, "subjects": [subject]},
    ]


def _job(world: World, runtime: Runtime) -> Object:
    run = world.run
    frame = owned(run, "batch/v1", "Job", names.aggregator(run.name), "aggregator")
    pod, metadata = _pod(world, runtime), {"labels": labels(run, "aggregator")}
    if any(each.identity for each in _reporter_needs(world)):
        others = [c["name"] for c in (*pod["initContainers"], *pod["containers"]) if c["name"] != pods.REPORTER]
        metadata |= {"annotations": {SKIPPED: ",".join(others)}}
    template = {"metadata": metadata, "spec": pod}
    return frame | {"spec": {"backoffLimit": 0, "completions": 1, "parallelism": 1, "template": template}}


def _pod(world: World, runtime: Runtime) -> dict[str, Any]:
    run, server = world.run, world.run.spec.server
    containers = runtime.aggregator(run.spec)
    sidecars = [pods.with_settings(c, server) for c in containers.sidecars]
    return {
        "restartPolicy": "Never",
        "serviceAccountName": names.reporter(run.name),
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": 30,
        "securityContext": pods.security(world.open_shift),
        "initContainers": [_tools(world), _reporter(world, runtime), _gateway(world, runtime), *sidecars],
        "containers": [pods.with_settings(containers.main, _main_settings(server, containers))],
        "volumes": _volumes(world),
        **pods.scheduling(server),
    }


def _main_settings(server: PodSettings, containers: AggregatorContainers) -> PodSettings:
    """The user's resources are meant for the training. Where a sidecar does it, the main container only watches."""
    return server.model_copy(update={"resources": pods.OUR_RESOURCES}) if containers.sidecars else server


def _tools(world: World) -> dict[str, Any]:
    """The init container, which also writes the gateway's empty files: Envoy does not start without them."""
    tools = pods.tools_container(world.images)
    empty = [word for file, content in gateway.EMPTY.items() for word in (f"{names.GATEWAY_DIR}/{file}", json.dumps(content))]
    return {**tools, "command": [*tools["command"], *empty], "volumeMounts": [*tools["volumeMounts"], GATEWAY_MOUNT]}


def _gateway(world: World, runtime: Runtime) -> dict[str, Any]:
    rules = runtime.gateway(world.run.spec)
    static = gateway.bootstrap(rules.port, protocol=rules.protocol, listen_health="$(POD_IP)", loopback="$(PANAL_LOOPBACK)")
    container = pods.gateway_container(world.images, [*gateway.ARGUMENTS, "--config-yaml", json.dumps(static)], GATEWAY_MOUNT)
    probe = {"httpGet": {"path": "/ready", "port": names.GATEWAY_HEALTH_PORT}}
    return {
        **container,
        "env": [POD_IP, *container["env"]],
        "ports": [{"name": "fleet", "containerPort": names.GATEWAY_PORT}],
        "startupProbe": probe | {"periodSeconds": 1, "failureThreshold": 60},
        "readinessProbe": probe | {"periodSeconds": 5},
        "resources": GATEWAY_RESOURCES,
    }


def _gateway_rules(rules: GatewayRules) -> dict[str, str]:
    """For the reporter, which writes the gateway's files (`pod.gatekeeper`)."""
    return {
        "PANAL_GATEWAY_PATHS": " ".join(rules.paths),
        "PANAL_GATEWAY_METHODS": " ".join(rules.methods),
        "PANAL_GATEWAY_LARGEST_REQUEST": "" if rules.largest_request is None else str(rules.largest_request),
    }


def _reporter(world: World, runtime: Runtime) -> dict[str, Any]:
    run, stored, needs = world.run, storage(world.run), _reporter_needs(world)
    attempt = "metadata.labels['batch.kubernetes.io/controller-uid']"
    env = {
        "PANAL_NAMESPACE": run.namespace,
        "PANAL_RUN": run.name,
        "PANAL_RUN_UID": run.uid,
        "PANAL_RUN_DIR": names.RUN_DIR,
        "PANAL_POD_DIR": names.POD_DIR,
        "PANAL_WORK_DIR": names.WORK_DIR,
        "PANAL_STORAGE_DIR": names.STORAGE_DIR,
        "PANAL_STORAGE_URI": stored.uri(run),
        "PANAL_STORAGE_PATH": stored.folder(run),
        "PANAL_GATEWAY_DIR": names.GATEWAY_DIR,
        **_gateway_rules(runtime.gateway(run.spec)),
        "PANAL_RUN_ID": identity(run),
    }
    if privacy.wanted(run.spec):
        env["PANAL_PRIVATE"] = "true"
    if run.spec.mode is Mode.EVALUATE:
        env["PANAL_EVALUATION"] = (run.spec.evaluation or Evaluation()).model_dump_json(by_alias=True)
    return pods.secured(
        {
            "name": pods.REPORTER,
            "image": world.images.pod_tools,
            "imagePullPolicy": world.images.pull_policy,
            "restartPolicy": "Always",
            "command": ["panal-reporter"],
            "env": [
                *({"name": k, "value": v} for k, v in env.items()),
                *(variable for each in needs for variable in each.env),
                {"name": "PANAL_ATTEMPT", "valueFrom": {"fieldRef": {"fieldPath": attempt}}},
                POD_IP,
                {"name": "HOME", "value": "/"},  # libraries read settings there, so the user's containers must not be able to write to it
            ],
            "volumeMounts": [
                {"name": "run", "mountPath": names.RUN_DIR},
                {"name": "work", "mountPath": names.WORK_DIR, "readOnly": True},
                {"name": "storage", "mountPath": names.STORAGE_DIR},
                GATEWAY_MOUNT,
                pods.POD_MOUNT,
                {"name": "token", "mountPath": TOKEN_DIR, "readOnly": True},
                *({"name": name, "mountPath": path, "readOnly": True} for each in needs for name, (_, path) in each.volumes.items()),
            ],
            "resources": pods.OUR_RESOURCES,
        }
    )


def _reporter_needs(world: World) -> list[ReporterNeeds]:
    run = world.run
    return [storage(run).reporter(run), tracking.reporter(run), initial_model.reporter(world)]


def _volumes(world: World) -> list[dict[str, Any]]:
    run = world.run
    token = [
        {"serviceAccountToken": {"path": "token", "expirationSeconds": 3600}},
        {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
        {"downwardAPI": {"items": [{"path": "namespace", "fieldRef": {"fieldPath": "metadata.namespace"}}]}},
    ]
    return [
        *pods.empty_dirs("tools", "run", "tmp"),
        pods.work_dir(),
        *pods.memory_dirs("gateway", "pod"),
        {"name": "storage", **storage(run).volume(run)},
        *({"name": name, **source} for needs in _reporter_needs(world) for name, (source, _) in needs.volumes.items()),
        {"name": "token", "projected": {"sources": token}},
    ]
