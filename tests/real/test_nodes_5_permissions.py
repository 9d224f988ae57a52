"""The controller may do what it needs and nothing else, by the API server's own account of all tests on nodes before this one.

A permission that is missing shows as a request that was refused; one that is granted in vain, as a rule that no request used.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml

from fleet import Fleet

pytestmark = [pytest.mark.real, pytest.mark.nodes]

MANIFEST = Path(__file__).parents[2] / "deploy/panal.yaml"
USER = "system:serviceaccount:panal-system:panal-controller"
CREATED = 201
RIGHTS = {"clusterroles", "clusterrolebindings", "roles", "rolebindings"}
KNOWN_AFTER = timedelta(seconds=20)  # the authorizer learns of a role by a watch, and of all roles anew when the API server starts
AWAY = timedelta(seconds=8)  # no request at all for so long: the API server was away
BEFORE = ("test_nodes_1_runs", "test_nodes_2_failures", "test_nodes_3_kills", "test_nodes_4_how_to")
# Checked on behalf of the controller, never asked for by itself: by OCM's webhooks, which the tests' hub has not; by Kubernetes' plug-in
# OwnerReferencesPermissionEnforcement, which OpenShift has, and by those that guard signers of certificates; and by RBAC, since nobody may
# grant the reporter what he may not do himself.
ASKED_BY_OTHERS = {
    ("federation-ai.open-cluster-management.io", "federatedlearnings/finalizers", "update"),
    ("cluster.open-cluster-management.io", "managedclustersets/bind", "create"),
    ("work.open-cluster-management.io", "manifestworks", "execute-as"),
    ("addon.open-cluster-management.io", "managedclusteraddons/finalizers", "update"),
    ("certificates.k8s.io", "signers", "approve"),
    ("certificates.k8s.io", "signers", "sign"),
    ("", "configmaps", "get"),
}


class Right(NamedTuple):
    group: str
    resource: str
    verb: str


def granted() -> set[Right]:
    documents = [d for d in yaml.safe_load_all(MANIFEST.read_text()) if d and d["kind"] in ("ClusterRole", "Role")]
    return {right for document in documents for rule in document["rules"] for right in _rights(rule)}


def _rights(rule: dict[str, Any]) -> Iterator[Right]:
    for group in rule["apiGroups"]:
        for resource in rule["resources"]:
            for verb in rule["verbs"]:
                yield Right(group, resource, verb)


def asked(log: Path) -> Iterator[tuple[Right, bool]]:
    """What the controller asked for, and whether it got it. Discovery is everybody's. What it was denied while a test had taken its
    rights away, or was removing them for good, does not count."""
    rights = _Rights()
    for entry in _entries(log):
        rights.follow(entry)
        if entry["user"].get("username") != USER or "objectRef" not in entry:  # no name: a request with a wrong certificate or token
            continue
        ref = entry["objectRef"]
        resource = ref["resource"] + (f"/{ref['subresource']}" if ref.get("subresource") else "")
        right = Right(ref.get("apiGroup", ""), resource, entry["verb"])
        allowed = entry["annotations"]["authorization.k8s.io/decision"] == "allow"
        if allowed or rights.whole_at(_time(entry)):
            yield right, allowed
        if entry["verb"] == "patch" and entry.get("responseStatus", {}).get("code") == CREATED:
            yield right._replace(verb="create"), True  # server-side apply of an object that was not there needs both


class _Rights:
    """Whether the API server knew all of the controller's roles and bindings, by the requests that made and removed them."""

    def __init__(self) -> None:
        self.there: set[str] = set()
        self.since: datetime | None = None
        self.latest: datetime | None = None

    def follow(self, entry: dict[str, Any]) -> None:
        self._notice_outage(_time(entry))
        ref, code = entry.get("objectRef") or {}, entry.get("responseStatus", {}).get("code", 0)
        if ref.get("name") != "panal-controller" or ref.get("resource") not in RIGHTS or code >= 300:
            return
        if entry["verb"] == "delete":
            self.there.discard(ref["resource"])
        elif entry["verb"] in ("create", "patch"):
            self.there.add(ref["resource"])
            self.since = _time(entry)

    def _notice_outage(self, now: datetime) -> None:
        if self.latest and now - self.latest > AWAY:
            self.since = now
        self.latest = max(self.latest or now, now)

    def whole_at(self, time: datetime) -> bool:
        return self.there == RIGHTS and self.since is not None and time > self.since + KNOWN_AFTER


def _time(entry: dict[str, Any]) -> datetime:
    return datetime.fromisoformat(entry["requestReceivedTimestamp"])


def _entries(log: Path) -> Iterable[dict[str, Any]]:
    for file in sorted(log.parent.glob("audit*.log")):
        with file.open() as lines:
            yield from (json.loads(line) for line in lines)


@pytest.fixture(scope="module")
def requests(nodes: Fleet, request: pytest.FixtureRequest) -> set[tuple[Right, bool]]:
    ran = {item.path.stem for item in request.session.items}
    missing = [name for name in BEFORE if name not in ran]
    if missing:
        pytest.skip(f"can only be judged after {', '.join(missing)}: run the whole folder")
    return set(asked(nodes.root / "hub/log/audit.log"))


def test_no_permission_is_missing(requests: set[tuple[Right, bool]]) -> None:
    assert {right for right, allowed in requests if not allowed} == set()


def test_no_permission_is_granted_in_vain(requests: set[tuple[Right, bool]]) -> None:
    used = {right for right, allowed in requests if allowed}
    assert used
    assert granted() - used - {Right(*right) for right in ASKED_BY_OTHERS} == set()
