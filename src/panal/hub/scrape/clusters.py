"""When the certificates of clusters and of the two authorities end. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime

from panal.addon.authority import AUTHORITIES, published
from panal.addon.issued import latest_end
from panal.hub.scrape import families as f
from panal.hub.scrape.runs import Series
from panal.kube.objects import Object


def of_certificates(addons: Iterable[Object]) -> Iterator[Series]:
    """`addons`: ManagedClusterAddOns. One series for each cluster with a certificate that is not revoked, whether it has ended or not."""
    for addon in addons:
        ends = latest_end(addon)
        if ends is not None and not addon["metadata"].get("deletionTimestamp"):
            yield Series(f.CERTIFICATE_EXPIRY, (addon["metadata"]["namespace"],), ends.timestamp())


def of_authorities(public: Mapping[str, str]) -> Iterator[Series]:
    """`public`: the data of the ConfigMap with the authorities' public part. Nothing for one that is not there or cannot be read."""
    for name in AUTHORITIES:
        try:
            ends = [datetime.fromisoformat(one["notAfter"]) for one in published(public, name) if one["role"] == "current"]
        except (ValueError, KeyError, TypeError):
            continue
        yield from (Series(f.AUTHORITY_EXPIRY, (name,), end.timestamp()) for end in ends[:1])
