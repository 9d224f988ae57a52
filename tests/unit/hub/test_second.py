"""A controller does not start beside another one that handles the same runs."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from panal.api import names
from panal.hub.second import SecondController as Second
from panal.hub.second import refuse_second
from panal.kube.client import Listing, Selector
from panal.kube.errors import Forbidden
from panal.kube.kinds import LEASE, Kind
from panal.kube.objects import Object

HERE, THERE = "panal-system", "elsewhere"


def lease(namespace: str, name: str, version: int, holder: str | None = "pod-1", duration: int | None = 30) -> Object:
    metadata = {"namespace": namespace, "name": name, "resourceVersion": str(version)}
    return {"metadata": metadata, "spec": {"holderIdentity": holder, "leaseDurationSeconds": duration}}


class Api:
    """`leases(now)` are those that exist at that second."""

    def __init__(self, leases: Callable[[float], list[Object]]) -> None:
        self.leases, self.now = leases, 0.0

    def monotonic(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.now += seconds

    async def list(self, kind: Kind, selector: Selector) -> Listing:
        assert (kind, selector.namespace) == (LEASE, "")
        return Listing([each for each in self.leases(self.now) if f"metadata.name={each['metadata']['name']}" == selector.fields], "1")


@pytest.mark.parametrize(
    ("name", "told"),
    [(names.CONTROLLER_LEASE, "another controller of panal"), (names.FORMER_LEASE, "federated-learning-controller")],
)
async def test_another_controller_that_renews_its_lease_is_refused(name: str, told: str) -> None:
    api = Api(lambda now: [lease(THERE, name, int(now) // 10)])
    with pytest.raises(Second, match=rf"{told} \(pod-1\) runs in the namespace {THERE}.*migrate\.md"):
        await refuse_second(api, HERE, api)
    assert api.now == 10


async def test_the_former_controller_is_refused_in_the_same_namespace() -> None:
    api = Api(lambda now: [lease(HERE, names.FORMER_LEASE, int(now))])
    with pytest.raises(Second):
        await refuse_second(api, HERE, api)


@pytest.mark.parametrize("duration", [15, None])
async def test_a_lease_that_is_left_over_delays_the_start_by_its_duration(duration: int | None) -> None:
    api = Api(lambda _: [lease(THERE, names.FORMER_LEASE, 1, duration=duration)])
    await refuse_second(api, HERE, api)
    assert api.now == pytest.approx(duration or 30, abs=2)


@pytest.mark.parametrize(
    "leases",
    [[], [lease(HERE, names.CONTROLLER_LEASE, 1)], [lease(THERE, names.CONTROLLER_LEASE, 1, holder=None)]],
    ids=["none", "of this installation", "released"],
)
async def test_it_starts_at_once_alone(leases: list[Object]) -> None:
    api = Api(lambda _: leases)
    await refuse_second(api, HERE, api)
    assert api.now == 0


async def test_it_starts_if_it_may_not_look(caplog: pytest.LogCaptureFixture) -> None:
    class Refusing(Api):
        async def list(self, kind: Kind, selector: Selector) -> Listing:
            raise Forbidden(403, "Forbidden", "leases is forbidden")

    api = Refusing(lambda _: [])
    await refuse_second(api, HERE, api)
    assert "cannot look for other controllers: 403 Forbidden: leases is forbidden" in caplog.text
