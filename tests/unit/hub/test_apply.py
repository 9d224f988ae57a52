"""The status as it is sent to the API server, and deletions."""

from __future__ import annotations

from typing import Any

import pytest

from panal.api.types import Status
from panal.hub.apply import Applier, without_empty
from panal.kube.errors import Forbidden, Interrupted, KubeError, Unavailable
from panal.lifecycle.plan import Ref
from worlds import progress, running, seen, status_after


def test_empty_maps_are_removed_from_a_status() -> None:
    """A failed collaborator no longer has metrics. The API server would turn {} into null."""
    status = status_after(running(progress=progress(metrics={}, collaborators={"cluster1": seen(failed=True, reason="NoReply")})))
    body = without_empty(status.model_dump(mode="json", by_alias=True))
    assert "metrics" not in body
    assert body["collaborators"][0]["cluster"] == "cluster1"
    assert "metrics" not in body["collaborators"][0]
    assert body["rounds"] == {
        "completed": 1, "total": 3, "summary": "1/3", "replies": 0, "failures": 0, "checkpoint": 0, "resumed": 0,
    }  # fmt: skip
    assert Status.model_validate(body) == status


class Deletions:
    """A client whose deletions fail from the one with number `since`."""

    def __init__(self, since: int, error: KubeError) -> None:
        self.since, self.error, self.tried = since, error, 0

    async def delete(self, *_: object) -> bool:
        self.tried += 1
        if self.tried > self.since:
            raise self.error
        return True


AWAY, DENIED = Unavailable(503, "ServiceUnavailable", "etcd is away"), Forbidden(403, "Forbidden", "no")


@pytest.mark.parametrize(("since", "error", "raised"), [(0, AWAY, Unavailable), (5, AWAY, Interrupted), (5, DENIED, Forbidden)])
async def test_deletions_that_an_outage_interrupts_go_on_soon(since: int, error: KubeError, raised: type[KubeError]) -> None:
    client: Any = Deletions(since, error)
    with pytest.raises(raised):
        await Applier(client, client, client, client).delete(Ref("v1", "Pod", "ns", str(number), "uid") for number in range(100))
    assert (client.tried == 100) == (error is DENIED)
