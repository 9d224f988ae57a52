"""Builds a World from the watch cache: everything on the hub that concerns one run. Reads memory only.

The next step, `supply`, adds signed certificates and resolved addresses.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Generic, TypeVar

from pydantic import ValidationError

from panal.addon.config import site_config
from panal.api import names
from panal.api.names import ClusterName
from panal.api.parse import FederatedLearning, Metadata, ParseError, parse
from panal.api.progress import Progress
from panal.api.status import ENDED
from panal.api.types import Phase
from panal.evidence.maps import RECEIPTS
from panal.hub import evidence, views, works
from panal.hub.bound_sets import BoundSets
from panal.hub.records import Records
from panal.hub.settings import Settings
from panal.hub.watched import ADDON_KINDS, BY_NAME, BY_PLACEMENT, BY_RUN, ENTRANCES, RunKey
from panal.kube import kinds
from panal.kube.cache import Cache
from panal.kube.kinds import Kind
from panal.kube.objects import Object, labels_of, version_of
from panal.lifecycle import policies
from panal.lifecycle.world import (
    ClusterView,
    Compliance,
    Credentials,
    Evidence,
    JobView,
    Networks,
    OtherRun,
    PlacementView,
    Run,
    SiteView,
    WorkView,
    World,
)

log = logging.getLogger(__name__)

T = TypeVar("T")

OF_A_RUN = (kinds.JOB, kinds.POD, kinds.CONFIG_MAP)  # decisions conclude from these kinds that an object does not exist
MAX_PROGRESS = 100  # runs whose parsed progress is kept: that of thousands of clusters takes long to parse
POLICY = (kinds.VALIDATING_ADMISSION_POLICY, kinds.VALIDATING_ADMISSION_POLICY_BINDING)
# The objects that a run no longer needs once it has ended. Its Job and its progress stay.
NOT_NEEDED_AFTER_END = (kinds.SERVICE, kinds.PLACEMENT, kinds.ROLE_BINDING, kinds.ROLE, kinds.SERVICE_ACCOUNT)


class _Kept(Generic[T]):
    """What `read` returns, kept until an object of `kinds` changes: there are thousands of them, and few of them change."""

    def __init__(self, cache: Cache, kinds: tuple[Kind, ...], read: Callable[[], T]) -> None:
        self._cache, self._kinds, self._read = cache, kinds, read
        self._found: tuple[int, T] | None = None

    def now(self) -> T:
        changes = self._cache.changes(*self._kinds)
        if self._found is None or self._found[0] != changes:
            self._found = changes, self._read()
        return self._found[1]


class Observer:
    def __init__(
        self,
        cache: Cache,
        settings: Settings,
        open_shift: bool,
        bound_sets: BoundSets,
        records: Records,
    ) -> None:
        self._cache = cache
        self._settings = settings
        self._open_shift = open_shift
        self._bound_sets = bound_sets
        self._records = records
        self._software = evidence.software()
        self._clusters = _Kept(cache, (kinds.MANAGED_CLUSTER,), self._read_clusters)
        self._sites = _Kept(cache, ADDON_KINDS, self._read_sites)
        self._clusters_seen: dict[str, tuple[str, ClusterView]] = {}  # by name: resourceVersion and view: each version is parsed once
        self._sites_seen: dict[str, tuple[str, SiteView]] = {}
        self._progress_seen: dict[str, tuple[str, Progress | None]] = {}  # by uid of the run

    def world(self, resource: FederatedLearning) -> World:
        """The World of a run. `resource` may be newer than the one in the cache."""
        run = _run(resource)
        clusters = self._clusters.now()
        namespace, cache = run.namespace, self._cache
        job = self._one(kinds.JOB, run, names.aggregator(run.name))
        bindings = [b for b in cache.list(kinds.MANAGED_CLUSTER_SET_BINDING, namespace) if not b["metadata"].get("deletionTimestamp")]
        started = job is not None
        limit = views.run_limit(cache.get(kinds.NAMESPACE, "", namespace))
        return World(
            run=run,
            images=self._settings.images,
            open_shift=self._open_shift,
            binding_policy=self._guarded(run),
            placement=self._placement(run),
            bound_sets=frozenset(b["metadata"]["name"] for b in bindings),
            own_bound_sets=frozenset(b["metadata"]["name"] for b in bindings if _ours(b)),
            sets_left_to_others=self._bound_sets.of_others(namespace),
            clusters=clusters,
            set_members={} if started else views.members(cache.list(kinds.MANAGED_CLUSTER_SET), clusters),
            job=views.job(job, cache.by_index(kinds.POD, BY_RUN, run.uid)) if job else None,
            exposed=tuple(obj for _, obj in self._of_run(run, kinds.SERVICE, *self._entrances())),
            volume_claims=frozenset(c["metadata"]["name"] for c in cache.list(kinds.PERSISTENT_VOLUME_CLAIM, namespace)),
            node_addresses=views.node_addresses(cache.list(kinds.NODE)),
            compliance=self._compliance(run, clusters),
            run_limit=limit,
            active_runs=tuple(self._other_runs(run)) if limit is not None else (),
            networks=self._networks(),
            works={w.cluster: w for w in self.works(run)},
            progress=self._progress(run, job),
            sites=self._sites.now(),
            credentials=self._credentials(run),
            blind=not cache.problems().keys().isdisjoint(OF_A_RUN),
            sets_of_others=self._sets_of_others(run),
            cleanup_limit=self._settings.cleanup_limit,
            leftovers=tuple(self._leftovers(run)),
            parent=self._parent(run),
            export=self._after(run, names.export(run.name)),
            validation=self._after(run, names.validation(run.name)),
            publication=self._after(run, names.publication(run.name)),
            asking={w.cluster: w for w in self.asking(run)},
            evidence=self._evidence(run) if self._records.key else None,
        )

    @property
    def cleanup_limit(self) -> timedelta:
        return self._settings.cleanup_limit

    def works(self, run: Run | Metadata) -> list[WorkView]:
        """An agent may label other works of its cluster as those of the run; only the name is the controller's."""
        return self._works_named(run, names.work(run.name, names.run_id(run.namespace, run.name, run.uid)))

    def asking(self, run: Run | Metadata) -> list[WorkView]:
        """The works by which sites are asked to countersign the run's record."""
        return self._works_named(run, names.asking(run.name, names.run_id(run.namespace, run.name, run.uid)))

    def _works_named(self, run: Run | Metadata, name: str) -> list[WorkView]:
        found = (w[works.VIEW] for w in self._cache.by_index(kinds.MANIFEST_WORK, BY_RUN, run.uid))
        return [view for view in found if view.name == name]

    def works_of_others(self, key: RunKey, uid: str) -> list[WorkView]:
        """Works with the name of this run that belong to a run with another uid."""
        found = self._cache.by_index(kinds.MANIFEST_WORK, BY_NAME, "/".join(key))
        return [w[works.VIEW] for w in found if views.run_uid(w) != uid]

    def _guarded(self, run: Run) -> bool:
        """Whether the admission policy has checked the run's author: it was installed and effective when the run was created."""
        parts = [self._cache.get(kind, "", names.BINDING_POLICY) for kind in POLICY]
        return all(part is not None and views.created(part) + self._settings.policy_delay <= run.created for part in parts)

    def _read_sites(self) -> dict[ClusterName, SiteView]:
        configs = {(c["metadata"]["namespace"], c["metadata"]["name"]): c for c in self._cache.list(kinds.ADDON_DEPLOYMENT_CONFIG)}
        addon = self._cache.get(kinds.CLUSTER_MANAGEMENT_ADDON, "", names.ADDON)
        common_version = ",".join(sorted(version_of(o) for o in (*configs.values(), *([addon] if addon else ()))))
        seen: dict[str, tuple[str, SiteView]] = {}
        for obj in self._cache.list(kinds.MANAGED_CLUSTER_ADDON):
            cluster, version = obj["metadata"]["namespace"], f"{version_of(obj)} {common_version}"
            known = self._sites_seen.get(cluster)
            if not obj["metadata"].get("deletionTimestamp"):
                seen[cluster] = known if known and known[0] == version else (version, views.site(obj, site_config(obj, addon, configs)))
        self._sites_seen = seen
        return {ClusterName(cluster): view for cluster, (_, view) in seen.items()}

    def _credentials(self, run: Run) -> Credentials:
        """The reporter's request for a certificate, and what the run's gateway has got."""
        progress = self._one(kinds.CONFIG_MAP, run, names.progress(run.name))
        gateway = self._one(kinds.CONFIG_MAP, run, names.gateway(run.name))
        request, current = ((o or {}).get("data") or {} for o in (progress, gateway))
        return Credentials(
            request=request.get(names.KEY_REQUEST, ""),
            trust=current.get(names.KEY_TRUST, ""),
            certificate=current.get(names.KEY_CERTIFICATE, ""),
        )

    def _one(self, kind: Kind, run: Run, name: str) -> Object | None:
        """The run's object of that name; None if it belongs to an earlier run of the same name."""
        found = self._cache.get(kind, run.namespace, name)
        return found if found and views.run_uid(found) == run.uid else None

    def _read_clusters(self) -> dict[ClusterName, ClusterView]:
        seen: dict[str, tuple[str, ClusterView]] = {}
        for obj in self._cache.list(kinds.MANAGED_CLUSTER):
            name, version = obj["metadata"]["name"], obj["metadata"]["resourceVersion"]
            known = self._clusters_seen.get(name)
            seen[name] = known if known and known[0] == version else (version, views.cluster(obj))
        self._clusters_seen = seen
        return {view.name: view for _, view in seen.values()}

    def _placement(self, run: Run) -> PlacementView | None:
        found = self._one(kinds.PLACEMENT, run, run.name)
        if found is None:
            return None
        return views.placement(found, self._cache.by_index(kinds.PLACEMENT_DECISION, BY_PLACEMENT, f"{run.namespace}/{run.name}"))

    def _progress(self, run: Run, job: Object | None) -> Progress | None:
        """The progress that this Job's reporter has written; None if it is from an earlier attempt."""
        progress = self._parsed(run, self._one(kinds.CONFIG_MAP, run, names.progress(run.name)))
        return progress if job and progress and progress.attempt == job["metadata"]["uid"] else None

    def _parsed(self, run: Run, found: Object | None) -> Progress | None:
        """The progress in the ConfigMap, of whatever attempt."""
        if found is None:
            return None
        version, progress = self._progress_seen.get(run.uid, (None, None))
        if version != version_of(found):
            progress = _parsed_progress(run, (found.get("data") or {}).get(names.KEY_PROGRESS, ""))
            if run.uid not in self._progress_seen and len(self._progress_seen) == MAX_PROGRESS:
                self._progress_seen.pop(next(iter(self._progress_seen)))
            self._progress_seen[run.uid] = version_of(found), progress
        return progress

    def _compliance(self, run: Run, clusters: Iterable[ClusterName]) -> Compliance:
        """Empty on a hub without policies, and until they may be read."""
        required = policies.required(run.spec.client, run.namespace)
        copies = (self._cache.get(kinds.POLICY, cluster, name) for name in required for cluster in clusters)
        return views.compliance(copy for copy in copies if copy)

    def _other_runs(self, run: Run) -> Iterator[OtherRun]:
        others = (o for o in self._cache.list(kinds.FEDERATED_LEARNING, run.namespace) if o["metadata"]["uid"] != run.uid)
        return (other for other in map(views.other_run, others) if other)

    def _sets_of_others(self, run: Run) -> frozenset[str]:
        others = (o for o in self._cache.list(kinds.FEDERATED_LEARNING, run.namespace) if o["metadata"]["uid"] != run.uid)
        placements = (((o.get("spec") or {}).get("client") or {}).get("placement") or {} for o in others)
        return frozenset(name for p in placements for name in p.get("clusterSets") or ())

    def _parent(self, run: Run) -> Run | None:
        """The run whose model this one begins with. One that cannot be parsed has no model."""
        wanted = run.spec.server.initial_model
        found = self._cache.get(kinds.FEDERATED_LEARNING, run.namespace, wanted.run) if wanted and wanted.run else None
        try:
            return _run(parse(found)) if found else None
        except ParseError as error:
            log.warning("run %s/%s: %s", run.namespace, wanted.run if wanted else "", error)
            return None

    def _after(self, run: Run, name: str) -> JobView | None:
        """The Job of that name, which works on the model of a run that has ended."""
        job = self._one(kinds.JOB, run, name) if run.status.phase is Phase.COMPLETED else None
        return views.job(job, self._cache.by_index(kinds.POD, BY_RUN, run.uid)) if job else None

    def _evidence(self, run: Run) -> Evidence:
        """Of a run that has not ended only that it will have a record."""
        if run.status.phase not in ENDED:
            return Evidence(self._records.key)
        found = {name: self._one(kinds.CONFIG_MAP, run, name(run.name)) for name in evidence.MAPS}
        of_run = (obj for _, obj in self._of_run(run, kinds.CONFIG_MAP))
        receipts = [obj for obj in of_run if labels_of(obj).get(names.LABEL_COMPONENT) == RECEIPTS]
        view = evidence.view(self._records.keys, run.uid, found, receipts, blocked=self._records.blocked.get(run.uid, ""))
        working = any(views.of_aggregator(pod) for _, pod in self._of_run(run, kinds.POD))
        return replace(view, software=self._software, working=working, progress=self._parsed(run, found[names.progress]))

    def _leftovers(self, run: Run) -> list[tuple[str, str, str]]:
        found = self._of_run(run, *self._entrances(), *NOT_NEEDED_AFTER_END)
        return [(k.api_version, k.kind, o["metadata"]["name"]) for k, o in found if not o["metadata"].get("deletionTimestamp")]

    def _of_run(self, run: Run, *of: Kind) -> Iterator[tuple[Kind, Object]]:
        """The objects in the run's namespace. Users of other namespaces may give theirs the same label."""
        found = ((kind, obj) for kind in of for obj in self._cache.by_index(kind, BY_RUN, run.uid))
        return ((kind, obj) for kind, obj in found if obj["metadata"].get("namespace") == run.namespace)

    def _entrances(self) -> list[Kind]:
        """Those that the hub serves, each in one version."""
        found: dict[str, Kind] = {}
        for kind in ENTRANCES:
            if self._cache.served(kind):
                found.setdefault(kind.kind, kind)
        return list(found.values())

    def _networks(self) -> Networks:
        cache = self._cache
        return Networks(
            served={kind.kind: kind.api_version for kind in self._entrances()},
            gateways={(g["metadata"]["namespace"], g["metadata"]["name"]): g for g in cache.list(kinds.GATEWAY)},
            gateway_classes={c["metadata"]["name"]: c["spec"]["controllerName"] for c in cache.list(kinds.GATEWAY_CLASS)},
            ingress_classes={c["metadata"]["name"]: views.ingress_class(c) for c in cache.list(kinds.INGRESS_CLASS)},
        )


def _parsed_progress(run: Run, text: str) -> Progress | None:
    if not text:
        return None
    try:
        return Progress.model_validate_json(text)
    except ValidationError as error:
        log.warning("run %s/%s: its progress is invalid: %s", run.namespace, run.name, error.errors(include_input=False)[:3])
        return None


def _ours(obj: Object) -> bool:
    return names.MANAGED_BY.items() <= (obj["metadata"].get("labels") or {}).items()


def _run(resource: FederatedLearning) -> Run:
    found = resource.metadata
    return Run(
        name=found.name,
        namespace=found.namespace,
        uid=found.uid,
        generation=found.generation,
        created=found.created,
        deleting_since=found.deleting_since,
        finalizers=found.finalizers,
        spec=resource.spec,
        status=resource.status,
        has_status=resource.has_status,
    )
