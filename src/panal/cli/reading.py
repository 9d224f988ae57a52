"""What `panal explain` reads of the hub, with the user's own permissions. What cannot be read is noted with its consequence."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field

from panal.addon.config import NOTHING, site_config
from panal.api import names
from panal.api.names import ClusterName
from panal.api.spec import Spec
from panal.hub import views
from panal.kube import kinds
from panal.kube.client import Client, Selector
from panal.kube.errors import Forbidden, NotFound
from panal.kube.kinds import Kind
from panal.kube.objects import Object, uid_of
from panal.lifecycle.policies import required
from panal.lifecycle.world import Compliance, SiteView
from panal.placement.hub import Hub, placement_of
from panal.placement.prioritizers import weights
from panal.placement.selectors import MisconfiguredError


@dataclass(slots=True)
class Seen:
    """What the hub has of the run and of all clusters. `whole`: enough to evaluate the placement. `sites` are None if they cannot be
    read, `compliance` if a policy that the run requires cannot, `placement` and `decisions` if there are none. `unread` says what could not
    be read."""

    hub: Hub
    whole: bool
    sites: Mapping[ClusterName, SiteView] | None
    compliance: Compliance | None
    placement: Object | None
    decisions: list[Object] | None
    unread: list[str] = field(default_factory=list)


class Reading:
    def __init__(self, client: Client) -> None:
        self._client = client
        self._unread: list[str] = []

    async def all(self, run: Object, spec: Spec, planned: bool) -> Seen:
        namespace, name = run["metadata"]["namespace"], run["metadata"]["name"]
        addons = Selector(fields=f"metadata.name={names.ADDON}")
        clusters, sets, bindings, decisions, scores, installed, addon, configs = await asyncio.gather(
            self._list(kinds.MANAGED_CLUSTER, "nothing can be said of clusters that are not selected"),
            self._list(kinds.MANAGED_CLUSTER_SET, "which clusters the sets contain is not known"),
            self._list(kinds.MANAGED_CLUSTER_SET_BINDING, "which sets the run may use is not known", Selector(namespace)),
            self._decisions(namespace),
            self._scores(spec),
            self._list(kinds.MANAGED_CLUSTER_ADDON, f"whether clusters have the add-on {names.ADDON} is not known", addons),
            self._list(kinds.CLUSTER_MANAGEMENT_ADDON, "site configurations are not checked", addons),
            self._list(kinds.ADDON_DEPLOYMENT_CONFIG, "site configurations are not checked"),
        )
        placement = None if planned else await self._placement(run)
        own = [d for d in decisions or () if d["metadata"]["namespace"] == namespace and placement_of(d) == name]
        return Seen(
            hub=Hub(clusters or [], sets or [], bindings or [], decisions or [], scores or []),
            whole=None not in (clusters, sets, bindings),
            sites=None if installed is None else _sites(installed, addon, configs),
            compliance=await self._compliance(spec, namespace),
            placement=placement,
            decisions=own if decisions is not None and placement else None,
            unread=self._unread,
        )

    async def _list(self, kind: Kind, consequence: str, selector: Selector | None = None) -> list[Object] | None:
        try:
            return (await self._client.list(kind, selector or Selector())).items
        except Forbidden:
            self._unread.append(f"you may not list {kind}: {consequence}")
        except NotFound:
            self._unread.append(f"the hub does not have {kind}: {consequence}")
        return None

    async def _decisions(self, namespace: str) -> list[Object] | None:
        try:
            return (await self._client.list(kinds.PLACEMENT_DECISION)).items
        except Forbidden:
            self._unread.append(f"you may not list {kinds.PLACEMENT_DECISION} of all namespaces: Balance is scored without the other ones")
        return await self._list(kinds.PLACEMENT_DECISION, "what is decided is not known", Selector(namespace))

    async def _scores(self, spec: Spec) -> list[Object]:
        """The AddOnPlacementScores that the run names."""
        try:
            wanted = {c.name for c, _ in weights(spec.client.placement.get("prioritizerPolicy") or {}) if c.item is not None}
        except MisconfiguredError:
            return []  # as the explanation says
        found = [await self._list(kinds.ADDON_PLACEMENT_SCORE, f"scores {n} are 0", Selector(fields=f"metadata.name={n}")) for n in wanted]
        return [score for each in found for score in each or ()]

    async def _compliance(self, spec: Spec, namespace: str) -> Compliance | None:
        """The copies of the policies that the run requires. A hub without policies has none of them."""
        found: list[Object] = []
        for name in required(spec.client, namespace):
            selector = Selector(labels=names.ROOT_POLICY_LABEL, fields=f"metadata.name={name}")
            try:
                found += (await self._client.list(kinds.POLICY, selector)).items
            except NotFound:
                self._unread.append(f"the hub does not have {kinds.POLICY}: no cluster can comply with the policies that the run requires")
                return {}
            except Forbidden:
                self._unread.append(
                    f"you may not list {kinds.POLICY} of all namespaces: the policies that the run requires are not checked"
                )
                return None
        return views.compliance(found)

    async def _placement(self, run: Object) -> Object | None:
        """The run's own, not that of an earlier run with its name."""
        metadata = run["metadata"]
        try:
            found = await self._client.get(kinds.PLACEMENT, metadata["namespace"], metadata["name"])
        except Forbidden:
            self._unread.append(f"you may not get {kinds.PLACEMENT}: whether it is scheduled is not known")
            return None
        except NotFound:
            return None
        return found if views.run_uid(found) == uid_of(run) else None


def _sites(installed: list[Object], addon: list[Object] | None, configs: list[Object] | None) -> Mapping[ClusterName, SiteView]:
    """`addon` and `configs` are None if they cannot be read: then nothing is said of site configurations."""
    by_key = {(c["metadata"]["namespace"], c["metadata"]["name"]): c for c in configs or ()}
    readable, management = addon is not None and configs is not None, addon[0] if addon else None
    found = {}
    for one in installed:
        if not one["metadata"].get("deletionTimestamp"):
            config = site_config(one, management, by_key) if readable else NOTHING
            found[ClusterName(one["metadata"]["namespace"])] = views.site(one, config)
    return found
