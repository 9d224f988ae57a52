"""Starts the parts of the local platform and installs panal on it, as on any hub: the CRD, the controller, the images.

Everything here is idempotent: `up` of a platform that is up changes nothing.
"""

from __future__ import annotations

import asyncio
import base64
import time
from collections.abc import Callable, Mapping
from importlib.metadata import version

from panal.api import names
from panal.api.crd import crd
from panal.client.tasks import together
from panal.kube import kinds
from panal.kube.client import Client
from panal.kube.errors import NotFound
from panal.kube.objects import Object
from panal.kube.times import from_time, now_utc
from panal_local.commands.addons import install_everywhere
from panal_local.commands.images import build_own
from panal_local.supervisor import ready
from panal_local.supervisor.folder import HUB, Folder, write
from panal_local.supervisor.ready import Waiter
from panal_local.supervisor.starting import begin
from panal_local.supervisor.state import Program, State, kubeconfig

CLUSTERS = 3  # default number of managed clusters
LIMIT = 180.0  # seconds for everything to be up
POLICY_DELAY = 1  # seconds; this API server applies a policy from its creation on
POLICY_AGE = POLICY_DELAY + 1  # when the controller relies on it; times are whole seconds
Claims = Mapping[str, Mapping[str, str]]
Tell = Callable[[str], None]


def controller() -> Program:
    env = {
        "PANAL_POD_TOOLS_IMAGE": f"panal/pod-tools:{version('panal')}",
        "PANAL_GATEWAY_IMAGE": f"panal/gateway:{version('panal')}",
        "PANAL_IMAGE_PULL_POLICY": "Never",
        "POD_NAMESPACE": names.SYSTEM_NAMESPACE,
        "PANAL_POLICY_DELAY_SECONDS": str(POLICY_DELAY),
        "PANAL_PORT": "0",  # health is not checked here, and every user of the machine could read the metrics
    }
    return Program("controller", "panal.hub.main:main", env)


async def bring_up(folder: Folder, clusters: int, claims: Claims, tell: Tell, limit: float = LIMIT) -> State:
    """Returns when every cluster is Available on the hub, has a Ready node and can take part. Raises PlatformError or BuildError."""
    state = begin(folder, clusters, claims, [controller()])
    tell(f"{folder.root}: {len(state.spokes)} managed clusters and a hub")
    waiter = Waiter(folder, time.monotonic() + limit)
    images = asyncio.create_task(_images(folder, tell))
    try:
        await _api(folder, state, waiter, tell)
    finally:
        await images  # a thread, which cannot be cancelled
    return state


async def _images(folder: Folder, tell: Tell) -> None:
    began = time.monotonic()
    making = asyncio.create_task(asyncio.to_thread(build_own, folder.images))
    if not (await asyncio.wait({making}, timeout=1))[0]:
        tell("building panal's images; the first time this downloads packages and takes about half a minute")
    await making
    if (took := time.monotonic() - began) > 1:
        tell(f"panal's images are built ({took:.0f} s)")


async def _api(folder: Folder, state: State, waiter: Waiter, tell: Tell) -> None:
    async with await ready.answers(waiter, HUB) as hub:
        await _install(hub)
        tell("hub: its API server answers, panal is installed")
        addon = install_everywhere(waiter, hub, state.spokes, tell)
        await together(_hub(waiter, hub, tell), addon, *(_spoke(state, waiter, hub, cluster, tell) for cluster in state.spokes))
        _write_kubeconfig(folder, state)


async def _hub(waiter: Waiter, hub: Client, tell: Tell) -> None:
    await ready.node_ready(waiter, hub, HUB)
    tell("hub: its node is Ready")

    async def leads() -> bool:
        lease = await hub.get(kinds.LEASE, names.SYSTEM_NAMESPACE, names.CONTROLLER_LEASE)
        return bool(lease["spec"].get("holderIdentity")) and await _policy_age(hub) >= POLICY_AGE

    await waiter.wait("hub-controller", "panal's controller runs", leads)
    tell("hub: panal's controller runs")


async def _spoke(state: State, waiter: Waiter, hub: Client, cluster: str, tell: Tell) -> None:
    async with await ready.answers(waiter, cluster) as client:

        async def claimed() -> bool:
            for name, value in state.claims.get(cluster, {}).items():
                await client.apply(claim(name, value))
            return True

        await waiter.wait(cluster, f"ClusterClaims can be created on {cluster}", claimed)
        await ready.node_ready(waiter, client, cluster)
    await ready.joined(waiter, hub, cluster)
    tell(f"{cluster}: Available, its node is Ready")


def claim(name: str, value: str) -> Object:
    return {"apiVersion": kinds.CLUSTER_CLAIM.api_version, "kind": "ClusterClaim", "metadata": {"name": name}, "spec": {"value": value}}


# --- what is installed on the hub --------------------------------------------------------------------------------
async def _install(hub: Client) -> None:
    await hub.apply(crd())
    await hub.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": names.SYSTEM_NAMESPACE}})
    for obj in _policy():
        await hub.apply(obj)


def _policy() -> list[Object]:
    """Replaces the chart's policy, which the controller needs to bind the cluster sets of runs. It lets every user bind any set."""
    rules = [{"apiGroups": [names.GROUP], "apiVersions": ["*"], "operations": ["CREATE", "UPDATE"], "resources": [names.PLURAL]}]
    api, metadata = kinds.VALIDATING_ADMISSION_POLICY.api_version, {"name": names.BINDING_POLICY}
    spec = {"failurePolicy": "Fail", "matchConstraints": {"resourceRules": rules}, "validations": [{"expression": "true"}]}
    binding = {"policyName": names.BINDING_POLICY, "validationActions": ["Deny"]}
    return [
        {"apiVersion": api, "kind": "ValidatingAdmissionPolicy", "metadata": metadata, "spec": spec},
        {"apiVersion": api, "kind": "ValidatingAdmissionPolicyBinding", "metadata": metadata, "spec": binding},
    ]


async def _policy_age(hub: Client) -> float:
    try:
        made = await hub.get(kinds.VALIDATING_ADMISSION_POLICY_BINDING, "", names.BINDING_POLICY)
    except NotFound:
        return 0.0
    return (now_utc() - from_time(made["metadata"]["creationTimestamp"])).total_seconds()


def _write_kubeconfig(folder: Folder, state: State) -> None:
    """One kubeconfig with all clusters and their credentials."""
    found = {}
    for cluster in state.tokens:
        authority = base64.b64encode(folder.authority(cluster).read_bytes()).decode()
        token = (folder.apiserver(cluster) / "admin.token").read_text().strip()
        found[cluster] = ({"server": state.server(cluster), "certificate-authority-data": authority}, token)
    write(folder.kubeconfig, kubeconfig(found))
