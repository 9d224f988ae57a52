"""Which clusters the aggregator's gateway admits, and why it refuses others.

A cluster takes part through the add-on fl-collaborator, by which it gets a certificate for its name. The gateway reads the list of
participants from a ConfigMap, and closes the connections of a cluster that leaves the list within seconds.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import datetime

from panal.api import names
from panal.api.names import ClusterName
from panal.lifecycle.metadata import owned
from panal.lifecycle.reasons import Reason, Trouble
from panal.lifecycle.world import Object, SiteView, World


def not_admitted(world: World, cluster: ClusterName) -> Trouble | None:
    """Why the gateway does not admit a selected cluster; None if it does."""
    return refused(cluster, world.sites.get(cluster))


def refused(cluster: ClusterName, site: SiteView | None) -> Trouble | None:
    """The same, of what is known of the site."""
    if site is None:
        return Trouble.of(Reason.ADDON_NOT_INSTALLED, f"{cluster}: the add-on {names.ADDON} is not installed")
    if site.revoked:
        return Trouble.of(Reason.CERTIFICATE_REVOKED, f"{cluster}: its certificates were revoked at {site.revoked}")
    if site.config.problems:
        return Trouble.of(Reason.SITE_CONFIG_INVALID, f"{cluster}: {'; '.join(site.config.problems)}")
    return None


def uncertified(world: World, cluster: ClusterName, now: datetime) -> Trouble | None:
    """Why an admitted cluster has no valid certificate; None if it has one."""
    site = world.sites.get(cluster)
    if site is None or (site.certified and now < site.certified):
        return None
    if site.denied:
        return Trouble.of(Reason.CERTIFICATE_DENIED, f"{cluster}: {site.denied}")
    what = f"its certificate expired at {site.certified:%Y-%m-%dT%H:%M:%SZ}" if site.certified else "it has no certificate yet"
    return Trouble.of(Reason.CERTIFICATE_PENDING, f"{cluster}: {what}")


def gateway(world: World, participants: Iterable[ClusterName]) -> Object:
    """The ConfigMap `<run>-gateway`, from which the reporter writes the gateway's files."""
    wanted = world.credentials
    data = {
        names.KEY_PARTICIPANTS: json.dumps(sorted(participants)),
        names.KEY_TRUST: wanted.trust,
        names.KEY_CRL: wanted.crl,
        names.KEY_CERTIFICATE: wanted.certificate,
    }
    run = world.run
    return owned(run, "v1", "ConfigMap", names.gateway(run.name), "aggregator") | {"data": {k: v for k, v in data.items() if v}}
