"""What a decision is made from: one run and everything on the hub that concerns it, as frozen values.

`hub.observe` builds a World from the watch cache, `hub.supply` adds what no object on the hub has: certificates and resolved addresses.
The policies of this package read nothing else.
Raw Kubernetes objects appear only where a policy must compare with what it wants to apply.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from panal.addon.config import NOTHING, SiteConfig
from panal.api.names import ClusterName
from panal.api.progress import Progress
from panal.api.types import Spec, Status
from panal.runtimes.base import Partition

Object = dict[str, Any]  # a Kubernetes object as JSON


@dataclass(frozen=True, slots=True)
class Run:
    name: str
    namespace: str
    uid: str
    generation: int
    created: datetime
    deleting_since: datetime | None
    finalizers: tuple[str, ...]
    spec: Spec
    status: Status
    has_status: bool  # false until the controller wrote a status for the first time


@dataclass(frozen=True, slots=True)
class PlacementView:
    """`selected` is the union of the decisions; `settled` is false while decisions and Placement status disagree, as they do for a
    moment whenever OCM rewrites them. `misconfigured` is the message of PlacementMisconfigured: OCM empties the decisions then."""

    selected: frozenset[ClusterName]
    settled: bool = True
    misconfigured: str = ""


@dataclass(frozen=True, slots=True)
class ContainerView:
    """One container's state: `waiting` (ImagePullBackOff, ...), or ended with `exit_code`, or running if neither."""

    name: str
    image: str
    running: bool = False
    waiting: str = ""
    waiting_message: str = ""
    exit_code: int | None = None
    terminated: str = ""  # Error, OOMKilled, Completed, ...
    message: str = ""  # the termination message
    ended: datetime | None = None


@dataclass(frozen=True, slots=True)
class PodView:
    reason: str  # Evicted, ...
    message: str
    scheduled: bool
    unschedulable: str  # the scheduler's message while it cannot place the Pod
    created: datetime
    containers: tuple[ContainerView, ...]  # init containers and sidecars first


@dataclass(frozen=True, slots=True)
class JobView:
    uid: str
    created: datetime
    deleting: bool
    succeeded: bool
    failed: bool
    failure: str  # reason and message of the Failed condition
    pods: tuple[PodView, ...]


@dataclass(frozen=True, slots=True)
class WorkView:
    """A ManifestWork of this run. `feedback` holds the collaborator's values by name (see `lifecycle.feedback`)."""

    cluster: ClusterName
    name: str
    uid: str
    created: datetime
    deleting_since: datetime | None
    partition: Partition | None  # None: created by a version that assigned none
    applied: bool | None  # None: the agent has not reported yet (or only for an older generation)
    applied_message: str
    pod_exists: bool
    feedback: Mapping[str, str | int | bool] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ClusterView:
    """A ManagedCluster. `available` is None while Unknown. `taints` are (key, value, effect)."""

    name: ClusterName
    accepted: bool
    available: bool | None
    labels: Mapping[str, str]
    claims: Mapping[str, str]
    cluster_set: str
    taints: tuple[tuple[str, str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class SiteView:
    """The add-on on one cluster. `revoked` since when, `denied` why its last request for a certificate was refused; `certified` until
    when it has a certificate, None if it has none."""

    certified: datetime | None
    revoked: str = ""
    denied: str = ""
    config: SiteConfig = NOTHING


@dataclass(frozen=True, slots=True)
class Credentials:
    """What the aggregator's gateway needs beside the list of participants, all of it PEM and public: the authorities of collaborators and
    their revocation lists, and the certificate for its own key, empty until the reporter has asked for one by its `request`."""

    request: str = ""
    trust: str = ""
    crl: str = ""
    certificate: str = ""


@dataclass(frozen=True, slots=True)
class Address:
    host: str
    port: int


@dataclass(frozen=True, slots=True)
class Refusal:
    """An object that the hub's API server refused when it was last applied. `invalid`: it refuses the object until it changes."""

    kind: str
    namespace: str
    name: str
    message: str
    invalid: bool


@dataclass(frozen=True, slots=True)
class Images:
    """The images of our own that pods are made of, and their pull policy (from the controller's settings)."""

    pod_tools: str
    gateway: str
    pull_policy: str = "IfNotPresent"


@dataclass(frozen=True, slots=True)
class World:
    run: Run
    images: Images
    open_shift: bool  # the hub assigns user ids and fsGroup itself
    binding_policy: bool  # our ValidatingAdmissionPolicy guards the creation of cluster set bindings
    placement: PlacementView | None  # None: the Placement does not exist or was not scheduled yet
    bound_sets: frozenset[str]  # sets bound in the run's namespace
    own_bound_sets: frozenset[str]  # those of them bound by us
    clusters: Mapping[ClusterName, ClusterView]  # every cluster of the hub
    set_members: Mapping[str, frozenset[ClusterName]]  # of every ManagedClusterSet
    job: JobView | None
    service: Object | None
    volume_claims: frozenset[str]  # the names of the PersistentVolumeClaims in the run's namespace
    node_addresses: tuple[str, ...]  # of Ready nodes: external addresses first, sorted by name
    works: Mapping[ClusterName, WorkView]
    progress: Progress | None  # of the present attempt, that is of `job`
    sites: Mapping[ClusterName, SiteView]  # clusters on which the add-on is installed
    credentials: Credentials = Credentials()
    resolved: Mapping[str, str] = field(default_factory=dict)  # names of addresses -> IP address, as far as known
    refused: tuple[Refusal, ...] = ()  # objects that the hub refused in the last pass
    blind: bool = False  # something of the run cannot be watched for now: what is not seen may be there all the same
    sets_left_to_others: frozenset[str] = frozenset()  # cluster sets that others than us bind in the run's namespace, or did
    sets_of_others: frozenset[str] = frozenset()  # cluster sets that other runs of the namespace name
    cleanup_limit: timedelta = timedelta(minutes=5)  # how long a deletion waits for a cluster's agent
    # (apiVersion, kind, name) of our objects in the namespace that an ended run does not need
    leftovers: tuple[tuple[str, str, str], ...] = ()
