"""A run with the real Flower at a site with a policy: each request of its SuperNode is shown to the site controller first."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from gated_pods import policy, rule
from gateways import Background
from panal.privacy.accountant import epsilon
from panal.site.codes import Code
from reporting import ConfigMap, reporting
from site_checks import UID, World
from waiting import eventually

from .conftest import Pods

pytestmark = pytest.mark.flower

SITE = "site1"


class SiteController:
    """That of one site, in a thread of its own."""

    def __init__(self, folder: Path, spec: dict[str, Any], **run: Any) -> None:
        folder.mkdir()
        self.world = World(folder, spec, **run)
        self.background = Background()
        self.answers: list[tuple[str, int, str]] = []
        self._end: asyncio.Event | None = None

    def start(self) -> None:
        started = asyncio.Event()

        async def serve() -> None:
            self._end = asyncio.Event()
            async with self.world.running():
                started.set()
                keeps = asyncio.create_task(self.world.traffic.keep())
                await self._end.wait()
                keeps.cancel()

        async def begin() -> None:
            self._serving = asyncio.create_task(serve())
            await started.wait()

        self.background.run(begin())

    def stop(self) -> None:
        """What was in memory is lost."""

        async def end() -> None:
            assert self._end
            self._end.set()
            await self._serving

        self.background.run(end())

    def allowed(self, cluster: str, path: str, body: bytes) -> int:
        """As the site's gateway asks."""
        if cluster != SITE:
            return 200
        try:
            status, code = self.background.run(self.world.ask(path, body))
        except OSError:
            status, code = 503, ""
        self.answers.append((path, status, code))
        return int(status)

    def refusals(self) -> list[tuple[str, int, str]]:
        return [each for each in self.answers if each[1] != 200]

    def trained(self) -> list[int]:
        """The numbers of the replies about training."""
        return [number for type_, number in self.replies() if type_.startswith("train")]

    def replies(self) -> list[tuple[str, int]]:
        return [(each["type"], each["reply"]) for each in self.world.entries("left")]


@contextmanager
def controlled(run: Pods, tmp_path: Path, spec: dict[str, Any], **of_run: Any) -> Iterator[SiteController]:
    controller = SiteController(tmp_path / "site-controller", spec, **of_run)
    controller.start()
    run.gateways.allowed = controller.allowed
    try:
        yield controller
    finally:
        run.gateways.allowed = lambda cluster, path, body: 503
        controller.stop()
        controller.background.stop()


def test_every_request_is_known_and_each_reply_is_in_the_ledger_once(pods: Callable[..., Pods], tmp_path: Path) -> None:
    run = pods(rounds=2, min_clients=2)
    with reporting(run, ConfigMap()), controlled(run, tmp_path, policy(rule(maxRounds=2, maxBytes="100Mi"))) as controller:
        run.start_all(run.app(mode="large", numbers=3 << 20))  # 12 MiB: several objects, and several requests
        assert run.termination()[0] == 0
        assert not controller.refusals()
        controller.background.run(controller.world.traffic.end(UID, controller.world.book.accounts.pods[UID]))
        trained = [each for each in controller.world.entries("left") if each["type"].startswith("train")]
        assert [each["reply"] for each in trained] == [1, 2], controller.replies()
        assert len({each["digest"] for each in trained}) == 2
        assert all(12 << 20 < each["bytes"] < 14 << 20 and "notSent" not in each for each in trained), trained
        (ended,) = controller.world.entries("ended")
        assert ended["bytes"] < 30 << 20


def test_a_site_controller_that_ends_in_the_middle_costs_nothing(pods: Callable[..., Pods], tmp_path: Path) -> None:
    run = pods(rounds=3, min_clients=2)
    with reporting(run, ConfigMap()), controlled(run, tmp_path, policy(rule())) as controller:
        pushed: list[str] = []
        first = controller.allowed

        def ends_in_the_middle(cluster: str, path: str, body: bytes) -> int:
            """After the first object of each reply."""
            status = first(cluster, path, body)
            if cluster == SITE and path.endswith("push-messages") and status == 200:
                pushed.clear()
            if cluster == SITE and path.endswith("push-object") and not pushed:
                pushed.append(path)
                controller.stop()
                controller.start()
            return status

        run.gateways.allowed = ends_in_the_middle
        run.start_all(run.app(mode="large", numbers=3 << 20))
        assert run.termination()[0] == 0
        eventually(
            lambda: len([each for each in controller.replies() if each[0].startswith("train")]) == 3, lambda: str(controller.replies()), 20
        )
        assert [each[1] for each in controller.replies() if each[0].startswith("train")] == [1, 2, 3]
        assert len(controller.world.entries("started")) == 4
        assert not [code for _, _, code in controller.refusals() if code]


def budget(updates: int) -> dict[str, Any]:
    """For so many updates of PRIVATE."""
    found = {"data": "None", "epsilon": round(epsilon(updates, 2.0, 1e-5) + 0.01, 2)}
    return policy(rule(), privacyBudgets=[found])


PRIVATE = {"privacy": {"differentialPrivacy": {"clippingNorm": 1, "noiseMultiplier": 2}}, "server": {"rounds": 2}}


def test_an_update_that_the_privacy_budget_does_not_allow_does_not_leave(pods: Callable[..., Pods], tmp_path: Path) -> None:
    """The run plans two at this site, and asks for a third one."""
    run = pods(rounds=3, min_clients=2)
    with reporting(run, ConfigMap()), controlled(run, tmp_path, budget(2), **PRIVATE) as controller:
        run.start_all(run.app())
        refused = ("/v1/fleet/push-messages", 503, Code.PRIVACY_BUDGET_SPENT.value)
        eventually(lambda: refused in controller.refusals(), lambda: str(controller.refusals()), 60)
        assert controller.trained() == [1, 2]
        controller.world.put_policy(budget(3))
        assert run.termination()[0] == 0
        found = [each for each in controller.world.entries("left") if each["type"].startswith("train")]
        assert [each["budgets"][0]["epsilon"] for each in found] == pytest.approx([epsilon(n, 2.0, 1e-5) for n in (1, 2, 3)], rel=1e-5)


def test_errors_spend_nothing(pods: Callable[..., Pods], tmp_path: Path) -> None:
    run = pods(rounds=2, min_clients=1)
    with reporting(run, ConfigMap()), controlled(run, tmp_path, budget(2), **PRIVATE) as controller:
        run.start_all(run.app(mode=f"raises-at-{SITE}"))
        assert run.termination()[0] == 0
        found = [each for each in controller.world.entries("left") if each["type"].startswith("train")]
        assert [(each["error"], each["objects"]) for each in found] == [(True, 1)] * len(found)
        assert found
        assert not controller.world.book.accounts.spent
