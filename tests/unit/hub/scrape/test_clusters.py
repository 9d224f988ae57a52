"""When certificates end."""

from __future__ import annotations

import json
from datetime import datetime, timedelta

import pytest

from panal.addon import issued
from panal.addon.issued import Issued
from panal.api import names
from panal.hub.scrape.clusters import of_authorities, of_certificates
from panal.kube.objects import Object
from worlds import NOW

DAY = timedelta(days=1)


def addon(*certificates: Issued, **metadata: str) -> Object:
    annotations = {names.ANNOTATION_CERTIFICATES: issued.text(certificates, NOW - 10 * DAY)}
    return {"metadata": {"namespace": "cluster1", "name": names.ADDON, "annotations": annotations} | metadata}


def one(ends: datetime, revoked: datetime | None = None) -> Issued:
    return Issued(serial=1, begins=NOW - DAY, ends=ends, revoked=revoked)


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (addon(one(NOW + DAY), one(NOW + 2 * DAY)), [NOW + 2 * DAY]),
        (addon(one(NOW + DAY), one(NOW + 2 * DAY, revoked=NOW)), [NOW + DAY]),
        (addon(one(NOW - DAY)), [NOW - DAY]),
        (addon(one(NOW + DAY, revoked=NOW)), []),
        (addon(one(NOW + DAY), deletionTimestamp="2026-01-01T00:00:00Z"), []),
        (addon(), []),
        ({"metadata": {"namespace": "cluster1", "annotations": {names.ANNOTATION_CERTIFICATES: "[{]"}}}, []),
    ],
    ids=["the newest", "not a revoked one", "also one that has ended", "revoked", "leaves", "none", "unreadable"],
)
def test_a_cluster_has_the_end_of_its_newest_certificate(found: Object, expected: list[datetime]) -> None:
    assert [(each.labels, each.value) for each in of_certificates([found])] == [(("cluster1",), end.timestamp()) for end in expected]


def test_an_authority_has_the_end_of_the_signer_that_it_uses() -> None:
    signers = [{"role": role, "notAfter": (NOW + days * DAY).isoformat()} for role, days in (("previous", 1), ("current", 2), ("next", 3))]
    found = of_authorities({"servers": json.dumps(signers), "collaborators": "[", "ca.crt": "PEM"})
    assert [(each.labels, each.value) for each in found] == [(("servers",), (NOW + 2 * DAY).timestamp())]


@pytest.mark.parametrize("text", ["[]", "{}", "[1]", '[{"role": "current"}]', '[{"role": "current", "notAfter": 5}]'])
def test_authorities_of_another_form_have_none(text: str) -> None:
    assert list(of_authorities({"servers": text})) == []
