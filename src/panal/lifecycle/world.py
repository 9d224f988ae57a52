"""The input of a decision: one run and everything on the hub that concerns it, as frozen values.

`hub.observe` builds a World from the watch cache; `hub.supply` adds certificates and resolved addresses, which are not in an object. The
policies of this package read nothing else. Raw Kubernetes objects appear only where a policy compares them with what it applies.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from panal.addon.config import NOTHING, SiteConfig
from panal.addon.issued import Issued
from panal.api.names import ClusterName
from panal.api.progress import Progress
from panal.api.types import Spec, Status
from panal.evidence.receipt import StoredReceipt
from panal.gateway.traffic import Traffic
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
    has_status: bool  # false until the controller has written a status


@dataclass(frozen=True, slots=True)
class PlacementView:
    """`selected` is the union of the decisions. `settled` is false while the decisions and the Placement's status differ, because OCM is
    rewriting them. `misconfigured` is the message of the condition PlacementMisconfigured, in which case OCM empties the decisions."""

    selected: frozenset[ClusterName]
    settled: bool = True
    misconfigured: str = ""


@dataclass(frozen=True, slots=True)
class ContainerView:
    """One container's state: `waiting` (ImagePullBackOff, ...), or ended with `exit_code`, or running if neither."""

    name: str
    image: str
    image_id: str = ""  # as the node has it, with its digest
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
    """A ManagedCluster. `available` is None while Unknown. `taints` are (key, value, effect); `untimed`: one of them has no time."""

    name: ClusterName
    accepted: bool
    available: bool | None
    labels: Mapping[str, str]
    claims: Mapping[str, str]
    cluster_set: str
    taints: tuple[tuple[str, str, str], ...] = ()
    untimed: bool = False


@dataclass(frozen=True, slots=True)
class SiteView:
    """The add-on on one cluster. `certified` is the expiry of its certificate, None if it has none; `revoked` is the time of a revocation;
    `denied` is why its last certificate request was denied; `issued` are the certificates that were issued to it and have not expired."""

    certified: datetime | None
    revoked: str = ""
    denied: str = ""
    config: SiteConfig = NOTHING
    issued: tuple[Issued, ...] = ()


# The state of a policy on each cluster (Compliant, NonCompliant, Pending, or empty: none yet), by `names.replicated_policy`. Policies that
# the run does not require are absent, and those that no cluster has.
Compliance = Mapping[str, Mapping[ClusterName, str]]


@dataclass(frozen=True, slots=True)
class OtherRun:
    """Another run of the namespace that has neither ended nor is suspended. `reason` is why it waits, or what it does."""

    name: str
    created: datetime
    started: bool
    reason: str


@dataclass(frozen=True, slots=True)
class Credentials:
    """Public PEM data for the aggregator's gateway: its certificate request and certificate (empty until requested), the collaborator
    authorities and their revocation lists."""

    request: str = ""
    trust: str = ""
    crl: str = ""
    certificate: str = ""


@dataclass(frozen=True, slots=True)
class Address:
    """`sni`: the name to send in the TLS handshake, if a router needs it; empty where any will do."""

    host: str
    port: int
    sni: str = ""


@dataclass(frozen=True, slots=True)
class IngressClassView:
    controller: str
    default: bool = False


@dataclass(frozen=True, slots=True)
class Networks:
    """What the hub has for listeners that share an address. `served`: the API version of Route, TLSRoute and Ingress, by kind, as far as
    the hub serves them. `gateways` by namespace and name; `gateway_classes`: the controller by the name of the class."""

    served: Mapping[str, str] = field(default_factory=dict)
    gateways: Mapping[tuple[str, str], Object] = field(default_factory=dict)
    gateway_classes: Mapping[str, str] = field(default_factory=dict)
    ingress_classes: Mapping[str, IngressClassView] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Refusal:
    """An object that the hub's API server refused in the last reconcile. `invalid`: a retry cannot help until the object changes."""

    kind: str
    namespace: str
    name: str
    message: str
    invalid: bool


@dataclass(frozen=True, slots=True)
class Images:
    """panal's own images and their pull policy, from the controller's settings."""

    pod_tools: str
    gateway: str
    pull_policy: str = "IfNotPresent"


@dataclass(frozen=True, slots=True)
class Evidence:
    """The run's record and what sites say about it. `key`: the public key of the hub, PEM. `software`: versions by name.

    `record`: the SHA-256 of the stored record, empty if there is none. `recorded`: its time. `asked`: the clusters that are to countersign
    it. `blocked`: the ConfigMap that somebody else has made, so that there is no record or no entry. `entry`: that of the hub's ledger.
    `receipts`: those that are stored, while there is no `closing`. `closing`: what the hub has sealed about them, with `receipts` and
    `missing`; None while receipts are awaited.

    `working`: a Pod of the aggregator has not ended, so that its reporter may write more. `admitted`: the clusters that the gateway
    admitted last. `traffic`: what it counted of each cluster. `progress`: what the run's last
    reporter has written, also if its Job is gone."""

    key: str
    software: Mapping[str, str] = field(default_factory=dict)
    record: str = ""
    recorded: datetime | None = None
    asked: tuple[ClusterName, ...] = ()
    blocked: str = ""
    entry: Mapping[str, Any] | None = None
    receipts: Mapping[ClusterName, StoredReceipt] = field(default_factory=dict)
    closing: Mapping[str, Any] | None = None
    working: bool = False
    admitted: tuple[ClusterName, ...] = ()
    traffic: Mapping[str, Traffic] = field(default_factory=dict)
    progress: Progress | None = None


@dataclass(frozen=True, slots=True)
class World:
    run: Run
    images: Images
    open_shift: bool  # the hub assigns user ids and fsGroup itself
    binding_policy: bool  # panal's ValidatingAdmissionPolicy for cluster sets is installed
    placement: PlacementView | None  # None: the Placement does not exist or was not scheduled yet
    bound_sets: frozenset[str]  # sets bound in the run's namespace
    own_bound_sets: frozenset[str]  # those of them bound by panal
    clusters: Mapping[ClusterName, ClusterView]  # every cluster of the hub
    set_members: Mapping[str, frozenset[ClusterName]]  # of every ManagedClusterSet
    job: JobView | None
    exposed: tuple[Object, ...]  # the run's Services, Routes, TLSRoutes and Ingresses
    volume_claims: frozenset[str]  # the names of the PersistentVolumeClaims in the run's namespace
    node_addresses: tuple[str, ...]  # of Ready nodes: external addresses first, sorted by name
    works: Mapping[ClusterName, WorkView]
    progress: Progress | None  # of the current attempt, that is of `job`
    sites: Mapping[ClusterName, SiteView]  # clusters on which the add-on is installed
    compliance: Compliance = field(default_factory=dict)
    run_limit: str | None = None  # how many runs of the namespace may be active, as its annotation says
    active_runs: tuple[OtherRun, ...] = ()  # the others of the namespace, if there is such a limit
    networks: Networks = Networks()
    credentials: Credentials = Credentials()
    resolved: Mapping[str, str] = field(default_factory=dict)  # host name -> IP address, as far as known
    refused: tuple[Refusal, ...] = ()  # objects that the hub refused in the last reconcile
    blind: bool = False  # a watch of the run's objects is broken: an object that is not in the cache may exist
    sets_left_to_others: frozenset[str] = frozenset()  # cluster sets that others bind in the run's namespace, or did
    sets_of_others: frozenset[str] = frozenset()  # cluster sets that other runs of the namespace name
    cleanup_limit: timedelta = timedelta(minutes=5)  # how long a deletion waits for a cluster's agent
    # (apiVersion, kind, name) of panal's objects in the namespace that an ended run does not need
    leftovers: tuple[tuple[str, str, str], ...] = ()
    parent: Run | None = None  # the run that spec.server.initialModel names
    export: JobView | None = None  # the Jobs that export, validate and publish the model
    validation: JobView | None = None
    publication: JobView | None = None
    asking: Mapping[ClusterName, WorkView] = field(default_factory=dict)  # the works by which sites are asked to countersign the record
    evidence: Evidence | None = None  # None while the hub has no key to sign records with
