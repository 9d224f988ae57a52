"""The checks of `panal doctor`: from what was read of a hub to findings. Pure.

A check that needs what could not be read has the state `unknown`, with the reason: it never passes for lack of permission.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from panal.addon import issued
from panal.api import names
from panal.client import story
from panal.kube import kinds
from panal.kube.kinds import Kind
from panal.kube.objects import Object, condition, holds
from panal.kube.times import from_time

OLDEST = (1, 30)  # of Kubernetes
SKEW = timedelta(seconds=10)  # a Lease's times tell two clocks apart to about a second
LEASE = "managed-cluster-lease"  # in the namespace of each managed cluster, renewed by its agent
STALE = timedelta(seconds=60)  # a Lease that is older than its duration and this is left over
MOST_CLAIMS, MANY_CLAIMS = 20, 18  # custom ClusterClaims of a cluster that Open Cluster Management copies to the hub
RESERVED_CLAIMS = ("id.k8s.io", *(f"{name}.open-cluster-management.io" for name in ("kubeversion", "platform", "product")))
DEFAULT_CLASS = "storageclass.kubernetes.io/is-default-class"
MIGRATE = "docs/how-to/migrate.md has the steps."

NEEDED = (kinds.MANAGED_CLUSTER, kinds.MANAGED_CLUSTER_SET_BINDING, kinds.PLACEMENT, kinds.PLACEMENT_DECISION, kinds.MANIFEST_WORK)
ADDONS = (kinds.CLUSTER_MANAGEMENT_ADDON, kinds.MANAGED_CLUSTER_ADDON)


class State(StrEnum):
    OK = "ok"
    WARNING = "warning"
    PROBLEM = "problem"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Finding:
    """`about` is the cluster or the run, or empty."""

    check: str
    state: State
    message: str
    remedy: str = ""
    about: str = ""


class Unreadable(Exception):  # noqa: N818  as the errors of panal.kube
    """Something could not be read; the message says what and why."""


@dataclass(frozen=True, slots=True)
class Reach:
    """The answer of a run's listener to this machine: `name` is in the certificate that it shows, `error` says why there is none."""

    run: str
    listener: str
    address: str
    expected: str
    names: tuple[str, ...] = ()
    error: str = ""


@dataclass(frozen=True, slots=True)
class Hub:
    """What was read. `objects` has a list, or the reason why there is none, for each kind. `served` has the kinds that the hub knows."""

    version: str
    namespace: str
    now: datetime
    served: frozenset[Kind]
    objects: Mapping[Kind, Sequence[Object] | str]
    local: bool = False
    reached: Sequence[Reach] = field(default_factory=tuple)

    def of(self, kind: Kind) -> Sequence[Object]:
        """Raises Unreadable."""
        found = self.objects.get(kind, "it was not read")
        if isinstance(found, str):
            raise Unreadable(f"{kind.plural} cannot be read: {found}")
        return found


def examine(hub: Hub) -> list[Finding]:
    """The findings of all checks, in the order in which one would mend them."""
    found: list[Finding] = []
    for name, check in CHECKS.items():
        try:
            found += [Finding(name, *each) for each in check(hub)]
        except Unreadable as error:
            found.append(Finding(name, State.UNKNOWN, str(error), "Use credentials that may read them."))
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:  # sites and users write parts of these objects
            found.append(Finding(name, State.UNKNOWN, f"an object of the hub is malformed: {type(error).__name__}: {error}", "Correct it."))
    return found


Said = tuple[State, str] | tuple[State, str, str] | tuple[State, str, str, str]


def kubernetes(hub: Hub) -> Iterator[Said]:
    number = re.match(r"v(\d+)\.(\d+)", hub.version)
    if not number:
        yield State.UNKNOWN, f"the hub has the version {hub.version!r}, which is not a version of Kubernetes"
    elif (int(number[1]), int(number[2])) < OLDEST:
        oldest = ".".join(map(str, OLDEST))
        yield State.PROBLEM, f"the hub has Kubernetes {hub.version}; panal needs {oldest} or later", "Upgrade the hub's Kubernetes."
    else:
        yield State.OK, f"Kubernetes {hub.version}"


def open_cluster_management(hub: Hub) -> Iterator[Said]:
    if missing := [str(kind) for kind in NEEDED if kind not in hub.served]:
        yield State.PROBLEM, f"the hub does not have {', '.join(missing)}", "Install Open Cluster Management on the hub: `clusteradm init`."
        return
    if missing := [str(kind) for kind in ADDONS if kind not in hub.served]:
        remedy = "Enable the feature gate AddonManagement of the ClusterManager's add-on manager."
        yield State.PROBLEM, f"the hub does not have {', '.join(missing)}, so no cluster gets a certificate", remedy
        return
    if kinds.CLUSTER_MANAGER not in hub.served:
        yield State.OK, "Open Cluster Management is installed; its operator is not, so its version is not known"
        return
    for manager in hub.of(kinds.CLUSTER_MANAGER):
        spec = manager.get("spec") or {}
        image = str(spec.get("registrationImagePullSpec") or "an unknown image")
        yield State.OK, f"Open Cluster Management is installed by its operator, with {image}"
        if "AddonManagement" in _disabled(spec.get("addOnManagerConfiguration")):
            remedy = "Enable it in spec.addOnManagerConfiguration of the ClusterManager."
            yield State.PROBLEM, "the feature gate AddonManagement is disabled, so no cluster gets the add-on", remedy


def _disabled(configuration: Any) -> set[str]:
    gates = (configuration or {}).get("featureGates") or []
    return {str(gate.get("feature")) for gate in gates if gate.get("mode") == "Disable"}


def controller(hub: Hub) -> Iterator[Said]:
    if kinds.FEDERATED_LEARNING not in hub.served:
        yield (
            State.PROBLEM,
            f"the hub does not have {kinds.FEDERATED_LEARNING}",
            "Install panal: kubectl apply --server-side -f deploy/panal.yaml",
        )
        return
    lease = next((each for each in _controllers(hub) if each["metadata"]["namespace"] == hub.namespace), None)
    elsewhere = [each["metadata"]["namespace"] for each in _controllers(hub) if _is_held(each, hub.now)]
    if lease is None and elsewhere:
        where = elsewhere[0]
        yield State.PROBLEM, f"no controller is in the namespace {hub.namespace}, and one runs in {where}", f"Give that with -n {where}."
        return
    if lease is None or not (holder := _holder(lease)):
        why = "the Lease has no holder" if lease else f"the Lease {names.CONTROLLER_LEASE} does not exist in the namespace {hub.namespace}"
        yield State.PROBLEM, f"no controller is the leader: {why}", _look_at(hub)
    elif not _is_held(lease, hub.now):
        yield State.PROBLEM, f"the controller {holder} has not renewed its Lease since {lease['spec'].get('renewTime')}", _look_at(hub)
    else:
        yield State.OK, f"the controller {holder} is the leader"
    if not hub.local:
        yield from _deployment(hub)


def _look_at(hub: Hub) -> str:
    if hub.local:
        return "Run `panal status`, and `panal up`."
    return f"Run kubectl -n {hub.namespace} get pods, and read the controller's log. If it is in another namespace, give that with -n."


def _deployment(hub: Hub) -> Iterator[Said]:
    for each in hub.of(kinds.DEPLOYMENT):
        wanted, ready = (each.get("spec") or {}).get("replicas", 1), (each.get("status") or {}).get("readyReplicas") or 0
        name = each["metadata"]["name"]
        if ready < wanted:
            told = condition(each, "Available").get("message") or "some of its Pods are not ready"
            yield State.PROBLEM, f"the Deployment {name} has {ready} of {wanted} Pods ready: {told}", _look_at(hub)
        else:
            images = sorted({c["image"] for c in each["spec"]["template"]["spec"]["containers"]})
            yield State.OK, f"the Deployment {name} has {ready} of {wanted} Pods ready, with {', '.join(images)}"


def second_controller(hub: Hub) -> Iterator[Said]:
    own = [each for each in _controllers(hub) if each["metadata"]["namespace"] == hub.namespace]
    others = [each for each in _controllers(hub) if each not in own] if own else []  # else -n names the wrong namespace
    others += [each for each in hub.of(kinds.LEASE) if each["metadata"]["name"] == names.FORMER_LEASE]
    running = [each for each in others if _is_held(each, hub.now)]
    for each in running:
        what, where = names.other_controller(each["metadata"]["name"]), each["metadata"]["namespace"]
        yield State.PROBLEM, f"{what} ({_holder(each)}) runs in the namespace {where} and handles the same runs", f"Remove one. {MIGRATE}"
    if not running:
        yield State.OK, "no other controller handles these runs"


def _controllers(hub: Hub) -> list[Object]:
    return [each for each in hub.of(kinds.LEASE) if each["metadata"]["name"] == names.CONTROLLER_LEASE]


def _holder(lease: Object) -> str:
    return str((lease.get("spec") or {}).get("holderIdentity") or "")


def _is_held(lease: Object, now: datetime) -> bool:
    spec = lease.get("spec") or {}
    if not _holder(lease) or not spec.get("renewTime"):
        return False
    return now - from_time(spec["renewTime"]) < timedelta(seconds=spec.get("leaseDurationSeconds") or 30) + STALE


def clusters(hub: Hub) -> Iterator[Said]:
    found = hub.of(kinds.MANAGED_CLUSTER)
    if not found:
        yield State.PROBLEM, "the hub has no managed clusters", "Join one: `clusteradm join`, then `clusteradm accept`."
    well = 0
    for each in found:
        name = each["metadata"]["name"]
        available = condition(each, "ManagedClusterConditionAvailable")
        if not (each.get("spec") or {}).get("hubAcceptsClient"):
            yield State.WARNING, "it is not accepted", f"clusteradm accept --clusters {name}", name
        elif not holds(each, "ManagedClusterJoined"):
            yield State.WARNING, "it has not joined", "Check the registration agent on the cluster.", name
        elif available.get("status") == "True":
            well += 1
        else:
            remedy = "Check the cluster's connection to the hub, and the registration agent on the cluster."
            yield State.WARNING, f"it is not available: {available.get('message') or 'its agent has not reported yet'}", remedy, name
    if found:
        yield State.OK if well else State.PROBLEM, f"{well} of {len(found)} managed clusters are available"


def add_on(hub: Hub) -> Iterator[Said]:
    if not any(each["metadata"]["name"] == names.ADDON for each in hub.of(kinds.CLUSTER_MANAGEMENT_ADDON)):
        yield State.PROBLEM, f"the ClusterManagementAddOn {names.ADDON} does not exist", "Apply deploy/panal.yaml again."
        return
    addons, well = hub.of(kinds.MANAGED_CLUSTER_ADDON), 0
    for each in addons:
        available = condition(each, "Available")
        if available.get("status") == "True":
            well += 1
            continue
        told = available.get("message") or "its status is not known yet"
        yield State.WARNING, f"the add-on is not available: {told}", "Run `panal certs`.", each["metadata"]["namespace"]
    if addons:
        yield State.OK if well else State.PROBLEM, f"the add-on {names.ADDON} is available on {well} of {len(addons)} clusters that have it"
    else:
        remedy = "Select clusters: docs/how-to/certificates.md#let-clusters-take-part"
        yield State.PROBLEM, f"no cluster has the add-on {names.ADDON}, so none can take part", remedy


def certificates(hub: Hub) -> Iterator[Said]:
    first, well = None, 0
    for each in hub.of(kinds.MANAGED_CLUSTER_ADDON):
        cluster = each["metadata"]["namespace"]
        if issued.revoked(each):
            yield State.WARNING, "it is revoked", f"To let it take part again: `panal certs restore {cluster}`.", cluster
            continue
        valid = issued.valid(issued.issued(each), hub.now)
        if not valid:
            remedy = "Check the registration agent on the cluster, and its requests: kubectl get csr"
            yield State.WARNING, "it has no valid certificate", remedy, cluster
            continue
        well += 1
        newest = max(valid, key=lambda one: one.ends)
        first = min(first or newest.ends, newest.ends)
        if hub.now > issued.overdue_from(newest):
            remedy = "It should have been renewed. Check the registration agent on the cluster."
            yield State.WARNING, f"its certificate expires at {newest.ends:%Y-%m-%d %H:%MZ}", remedy, cluster
    if first:
        yield State.OK, f"{well} clusters have a valid certificate; the first expires at {first:%Y-%m-%d %H:%MZ}"


def clocks(hub: Hub) -> Iterator[Said]:
    """An agent writes `renewTime` by its own clock, the hub's API server the time in `managedFields` by the hub's."""
    if hub.local:
        return
    seen = 0
    for each in hub.of(kinds.LEASE):
        if each["metadata"]["name"] != LEASE:
            continue
        renewed = (each.get("spec") or {}).get("renewTime")
        written = [entry["time"] for entry in each["metadata"].get("managedFields") or () if entry.get("time") and _renews(entry)]
        if not renewed or not written:
            continue
        seen += 1
        ahead = from_time(renewed) - max(map(from_time, written))
        if abs(ahead) > SKEW:
            side = "ahead of" if ahead > timedelta(0) else "behind"
            remedy = "Synchronize it (NTP): certificates are valid from a time on the hub's clock."
            yield State.PROBLEM, f"its clock is {abs(ahead).total_seconds():.0f} s {side} the hub's", remedy, each["metadata"]["namespace"]
    if seen:
        yield State.OK, f"the clocks of {seen} clusters were compared with the hub's"


def _renews(entry: Object) -> bool:
    return "f:renewTime" in ((entry.get("fieldsV1") or {}).get("f:spec") or {})


def claims(hub: Hub) -> Iterator[Said]:
    for each in hub.of(kinds.MANAGED_CLUSTER):
        own = [c["name"] for c in (each.get("status") or {}).get("clusterClaims") or () if c.get("name") not in RESERVED_CLAIMS]
        if len(own) >= MANY_CLAIMS:
            told = (
                f"it announces {len(own)} ClusterClaims; of more than {MOST_CLAIMS}, in alphabetical order, the hub does not see the rest"
            )
            yield State.WARNING, told, "Announce groups of datasets with one claim, and remove claims.", each["metadata"]["name"]


def cluster_sets(hub: Hub) -> Iterator[Said]:
    bound = {
        (each["metadata"]["namespace"], (each.get("spec") or {}).get("clusterSet"))
        for each in hub.of(kinds.MANAGED_CLUSTER_SET_BINDING)
        if holds(each, "Bound")
    }
    for each in _in_progress(hub):
        namespace, placement = each["metadata"]["namespace"], (each["spec"].get("client") or {}).get("placement") or {}
        for one in placement.get("clusterSets") or ():
            if (namespace, one) not in bound:
                remedy = f"Create a ManagedClusterSetBinding for it in the namespace {namespace}."
                yield State.WARNING, f"the cluster set {one} is not bound in its namespace", remedy, _run(each)
    yield State.OK, f"cluster sets are bound in {len({namespace for namespace, _ in bound})} namespaces"


def runs(hub: Hub) -> Iterator[Said]:
    waiting, found = 0, _in_progress(hub)
    for each in found:
        status = each.get("status") or {}
        if status.get("phase") in (None, "Waiting"):
            waiting += 1
            yield State.WARNING, f"it waits: {status.get('message') or 'the controller has not looked at it yet'}", "", _run(each)
    yield State.OK, f"{len(found)} runs are in progress, of which {waiting} wait" if found else "no run is in progress"


def storage(hub: Hub) -> Iterator[Said]:
    found = hub.of(kinds.STORAGE_CLASS)
    default = [c["metadata"]["name"] for c in found if (c["metadata"].get("annotations") or {}).get(DEFAULT_CLASS) == "true"]
    if default:
        yield State.OK, f"the default StorageClass is {', '.join(default)}"
    elif not hub.local:
        remedy = "Mark one as the default, or name an existing PersistentVolumeClaim or a bucket in spec.server.storage."
        yield State.WARNING, "the hub has no default StorageClass, so a new volume for models is not bound", remedy


def listeners(hub: Hub) -> Iterator[Said]:
    for each in hub.reached:
        where = f"the listener {each.listener} ({each.address})"
        if each.error:
            remedy = "Check the Service, router or load balancer and the firewall in front of it."
            yield State.PROBLEM, f"{where} cannot be reached from this machine: {each.error}", remedy, each.run
        elif each.expected not in each.names:
            shown = ", ".join(each.names) or "no name"
            remedy = "What is in front of the aggregator must pass TLS through, and select by the name in the TLS handshake (SNI)."
            yield State.PROBLEM, f"{where} shows a certificate for {shown} instead of {each.expected}", remedy, each.run
        else:
            yield State.OK, f"{where} answers with its own certificate", "", each.run


def _in_progress(hub: Hub) -> list[Object]:
    return [each for each in hub.of(kinds.FEDERATED_LEARNING) if not story.ended(each)]


def _run(obj: Object) -> str:
    return f"{obj['metadata']['namespace']}/{obj['metadata']['name']}"


CHECKS: Mapping[str, Callable[[Hub], Iterable[Said]]] = {
    "kubernetes": kubernetes,
    "open cluster management": open_cluster_management,
    "controller": controller,
    "second controller": second_controller,
    "clusters": clusters,
    "add-on": add_on,
    "certificates": certificates,
    "clocks": clocks,
    "claims": claims,
    "cluster sets": cluster_sets,
    "storage": storage,
    "runs": runs,
    "listeners": listeners,
}


def shortened(found: Sequence[Finding], most: int) -> list[Finding]:
    """At most `most` findings of each check and state, then one that counts the rest."""
    count: Counter[tuple[str, State]] = Counter()
    kept = []
    for each in found:
        count[each.check, each.state] += 1
        if count[each.check, each.state] <= most:
            kept.append(each)
    kept += [Finding(check, state, f"and {number - most} more: see -o json") for (check, state), number in count.items() if number > most]
    order = {name: number for number, name in enumerate(CHECKS)}
    return sorted(kept, key=lambda each: order[each.check])


def as_json(found: Iterable[Finding]) -> list[dict[str, str]]:
    return [{"check": f.check, "state": f.state, "about": f.about, "message": f.message, "remedy": f.remedy} for f in found]
