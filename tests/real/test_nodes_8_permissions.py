"""The controller may do what it needs and nothing else, by the API server's own account of all tests on nodes before this one.

A permission that is missing shows as a request that was refused; one that is granted in vain, as a rule that no request used.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from fleet import Fleet
from rights import Right, allowed, creates, entries, granted, of_controller, right_of

pytestmark = [pytest.mark.real, pytest.mark.nodes]

RIGHTS = {"clusterroles", "clusterrolebindings", "roles", "rolebindings"}
KNOWN_AFTER = timedelta(seconds=20)  # the authorizer learns of a role by a watch, and of all roles anew when the API server starts
AWAY = timedelta(seconds=8)  # no request at all for so long: the API server was away
BEFORE = tuple(f"test_nodes_{part}" for part in ("1_runs", "2_failures", "3_kills", "6_dashboard", "6_identity", "7_how_to"))


def asked(log: Path) -> Iterator[tuple[Right, bool]]:
    """What the controller asked for, and whether it got it. What it was denied while a test had taken its
    rights away, or was removing them for good, does not count."""
    rights = _Rights()
    for entry in entries(log):
        rights.follow(entry)
        if not of_controller(entry):
            continue
        right = right_of(entry)
        if allowed(entry) or rights.whole_at(_time(entry)):
            yield right, allowed(entry)
        if creates(entry):
            yield right._replace(verb="create"), True


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
    elsewhere = {each for each in granted() if each.is_about_certificates or each.is_about_listeners or each.is_about_policies}
    assert granted() - used - elsewhere == set()
