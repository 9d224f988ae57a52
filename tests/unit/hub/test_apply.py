"""The status as it is sent to the API server."""

from __future__ import annotations

from panal.api.types import Status
from panal.hub.apply import without_empty
from worlds import progress, running, seen, status_after


def test_empty_maps_are_removed_from_a_status() -> None:
    """A failed collaborator no longer has metrics. The API server would turn {} into null."""
    status = status_after(running(progress=progress(metrics={}, collaborators={"cluster1": seen(failed=True, reason="NoReply")})))
    body = without_empty(status.model_dump(mode="json", by_alias=True))
    assert "metrics" not in body
    assert body["collaborators"][0]["cluster"] == "cluster1"
    assert "metrics" not in body["collaborators"][0]
    assert body["rounds"] == {"completed": 1, "total": 3, "summary": "1/3", "replies": 0, "failures": 0}
    assert Status.model_validate(body) == status
