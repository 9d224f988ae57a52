"""Privacy budgets of a site, over runs and restarts: what fits starts, what does not is told, and no more leaves than the owner allows."""

from __future__ import annotations

import asyncio
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from budgeted_site import KEY, Site
from panal.evidence.ledger import BrokenLedgerError, Head, sealed
from panal.privacy.accountant import composed, epsilon
from panal.site.accounts import Accounts, audited
from panal.site.budgets import figures
from panal.site.policy import PrivacyBudget
from panal.site_controller import gate
from supernode_requests import OBJECT, PUSH, pushes, reply

DIGITS = "pvc://digits"
SPENT = "PrivacyBudgetSpent"
FIVE = epsilon(5, 2.0, 1e-5)  # of five updates


def budget(updates: float = 0, **more: Any) -> dict[str, Any]:
    """For so many updates with the noise multiplier 2."""
    return {"data": DIGITS, "epsilon": round(composed([(1, 2.0 / updates**0.5)], 1e-5) + 1e-3, 3), **more}


def private(noise: float = 2.0, rounds: int = 3, **more: Any) -> dict[str, Any]:
    return {"privacy": {"differentialPrivacy": {"clippingNorm": 1, "noiseMultiplier": noise}}, "server": {"rounds": rounds}, **more}


async def test_a_run_that_does_not_fit_beside_the_others_is_refused_and_starts_when_one_has_ended(tmp_path: Path) -> None:
    site = Site(tmp_path, budget(5))
    site.add("first", **private())
    site.add("second", **private())
    await site.start()
    assert (site.works("first"), site.told("second")) == (True, SPENT)
    (refused,) = [each for each in site.entries("decided") if each["verdict"] == "Refused"]
    first, both = epsilon(3, 2.0, 1e-5), epsilon(6, 2.0, 1e-5)
    for word in (DIGITS, f"ε {budget(5)['epsilon']:g} for δ 1e-05", "0 is spent", f"{first:.4f}"[:5], f"{both:.4f}"[:5], "3 more updates"):
        assert word in refused["text"], refused["text"]
    assert await site.send("first", 1) == ""
    site.remove("first")  # it has ended early
    await site.look()
    await site.look()
    assert site.works("second")
    site.kill()


async def test_what_a_run_has_spent_does_not_come_back(tmp_path: Path) -> None:
    site = Site(tmp_path, budget(5))
    site.add("first", **private())
    await site.start()
    assert [await site.send("first", number) for number in (1, 2, 3)] == [""] * 3
    site.remove("first")
    await site.look()
    site.kill()
    site.add("second", **private())
    site.add("third", **private(rounds=2))
    await site.start()
    assert (site.told("second"), site.works("third")) == (SPENT, True)
    spent = [each["budgets"] for each in site.entries("left")]
    assert [found[0]["epsilon"] for found in spent] == pytest.approx([epsilon(n, 2.0, 1e-5) for n in (1, 2, 3)], rel=1e-5)
    site.kill()


async def test_more_rounds_than_planned_are_sent_only_while_the_budget_suffices(tmp_path: Path) -> None:
    """As when a phase is repeated, or spec.server.rounds of a run that works is raised."""
    site = Site(tmp_path, budget(5))
    site.add("long", **private(rounds=2))
    await site.start()
    site.add("other", **private(rounds=2))
    await site.look()
    assert [await site.send("long", number) for number in (1, 2, 3)] == [""] * 3
    assert await site.send("long", 4) == SPENT
    site.kill()
    await site.start()  # it looks at all Pods
    assert not site.works("long")
    site.add("long", uid="next", **private(rounds=2))
    await site.look()
    assert site.told("long") == SPENT
    assert [await site.send("other", number) for number in (1, 2)] == [""] * 2
    site.allow(budget(6))
    await site.look()
    assert site.works("long")
    assert [await site.send("long", 4), await site.send("long", 5)] == ["", SPENT]
    site.kill()


async def test_only_updates_count(tmp_path: Path) -> None:
    site = Site(tmp_path, budget(1))
    site.add("run", **private(rounds=1))
    await site.start()
    assert await site.send("run", 1, type_="evaluate") == ""
    assert await site.send("run", 1, error=True) == ""
    assert await site.send("run", 1, type_="query") == ""
    assert await site.send("run", 1) == ""
    assert await site.send("run", 2) == SPENT
    site.kill()


async def test_an_error_with_more_than_its_text_is_an_update(tmp_path: Path) -> None:
    site = Site(tmp_path, budget(1))
    site.add("run", **private(rounds=1))
    await site.start()
    assert await site.send("run", 1, error=True, objects=2) == ""
    assert await site.send("run", 2) == SPENT
    site.kill()


async def test_what_is_too_large_for_an_error_does_not_leave_as_one(tmp_path: Path) -> None:
    site = Site(tmp_path, budget(1))
    site.add("run", **private(rounds=1))
    await site.start()
    asked = site.gate.admitted(site.pod("run") or {})
    assert asked
    for content, code in ((b"x" * 8192, None), (b"x" * 8193, "MessageNotRecognized")):
        announced = await site.traffic.check(asked, PUSH, reply("1", content, error=True), site.gate.judge(asked))
        assert announced.code is None
        assert (await site.traffic.check(asked, OBJECT, pushes(content), site.gate.judge(asked))).code == code
    site.kill()


@pytest.mark.parametrize(
    ("run", "code"),
    [
        ({}, "PrivacyTooWeak"),
        ({"framework": "openfl"}, "LimitsNotSupported"),
        (private(data="pvc://digits"), "Allowed"),
        (private(data="pvc://scans", rounds=100), "Allowed"),
        (private(data="pvc://digits/train/2026", rounds=100), SPENT),
        (private(noise=0.1), SPENT),
    ],
    ids=["no noise", "framework", "contains", "other data", "part", "little noise"],
)
async def test_who_may_work_with_the_data(tmp_path: Path, run: dict[str, Any], code: str) -> None:
    site = Site(tmp_path, budget(5, data="pvc://digits/train"))
    site.add("run", **run)
    await site.start()
    assert site.told("run") == code
    site.kill()


async def test_every_budget_that_the_data_touches_must_suffice(tmp_path: Path) -> None:
    site = Site(tmp_path, budget(5), budget(1, data="pvc://digits/train", delta=1e-4))
    site.add("run", **private(rounds=3))
    await site.start()
    assert site.told("run") == SPENT
    site.add("run", uid="next", **private(rounds=3, data="pvc://digits/test"))
    await site.look()
    assert await site.send("run", 1) == ""
    ((found,),) = [each["budgets"] for each in site.entries("left")]
    assert found["data"] == DIGITS
    site.kill()


async def test_a_run_that_waits_for_its_approval_reserves_nothing(tmp_path: Path) -> None:
    site = Site(tmp_path, budget(5), approval="Required")
    site.add("waits", **private())
    await site.start()
    assert site.told("waits") == "ApprovalRequired"
    site.allow(budget(5))
    site.add("comes", **private())
    await site.look()
    assert sorted([site.told("waits"), site.told("comes")]) == ["Allowed", SPENT]
    site.kill()


async def test_a_budget_that_comes_later_counts_what_had_left_and_says_what_had_no_noise(tmp_path: Path) -> None:
    site = Site(tmp_path)
    site.add("open")
    site.add("private", **private())
    await site.start()
    for name in ("open", "private"):
        assert await site.send(name, 1) == ""
    site.allow(budget(2))
    await site.look()
    assert not site.works("open")
    assert not site.works("private")
    found = figures(PrivacyBudget.model_validate(budget(2)), site.book.accounts.usage())
    assert (found.spent, found.updates, found.unprotected) == (pytest.approx(epsilon(1, 2.0, 1e-5), rel=1e-5), 1, 1)
    site.kill()


async def test_a_reply_that_was_under_way_when_the_process_ended_counts_before_its_pod_sends_again(tmp_path: Path) -> None:
    site = Site(tmp_path, budget(4))
    site.add("one", **private(rounds=1))
    site.add("two", **private(rounds=1))
    await site.start()
    assert [await site.send("one", 1), await site.send("one", 2, follow=0)] == [""] * 2
    assert [await site.send("two", number) for number in (1, 2)] == [""] * 2
    site.kill()
    await site.start()
    assert await site.send("two", 3) == SPENT
    assert len(site.entries("left")) == 3
    site.kill()


async def test_runs_are_stopped_and_none_starts_while_it_is_not_known_what_was_under_way(tmp_path: Path) -> None:
    site = Site(tmp_path, budget(4))
    site.add("one", **private(rounds=1))
    await site.start()
    assert await site.send("one", 1, follow=0) == ""
    site.kill()
    file = tmp_path / "messages" / "pod-one.jsonl"
    kept = file.rename(tmp_path / "kept")
    file.touch()
    site.add("two", **private(rounds=1))
    await site.start()
    assert (site.pod("one"), site.told("two")) == (None, "LedgerUnavailable")
    kept.rename(file)
    await site.look()
    await site.look()
    assert site.works("two")
    assert len(site.entries("left")) == 1
    site.kill()


async def test_of_two_updates_at_the_same_time_only_one_gets_the_rest(tmp_path: Path) -> None:
    site = Site(tmp_path, budget(3))
    for name in ("one", "two"):
        site.add(name, **private(rounds=1))
    await site.start()
    for name in ("one", "two"):
        assert await site.send(name, 1, objects=2, follow=1) == ""
    site.time = 10  # both are over, which is written when the next ones are announced
    assert sorted(await asyncio.gather(site.send("one", 2), site.send("two", 2))) == ["", SPENT]
    site.kill()


async def test_a_run_is_not_allowed_while_an_update_takes_the_rest(tmp_path: Path) -> None:
    site = Site(tmp_path, budget(2))
    site.add("works", **private(rounds=1))
    await site.start()
    assert await site.send("works", 1) == ""
    site.add("comes", **private(rounds=1))
    _, refused = await asyncio.gather(site.look(), site.send("works", 2))
    assert (refused, site.told("comes")) in (("", SPENT), (SPENT, "Allowed"))
    site.kill()


async def test_the_ledger_is_broken_if_an_epsilon_does_not_follow_from_it(tmp_path: Path) -> None:
    site = Site(tmp_path, budget(5))
    site.add("run", **private())
    await site.start()
    await site.send("run", 1)
    site.kill()
    entries = site.entries()
    assert list(audited(entries, Accounts())) == entries
    changed = [{**each, "budgets": [{**each["budgets"][0], "epsilon": 0.1}]} if each["kind"] == "left" else each for each in entries]
    with pytest.raises(BrokenLedgerError, match="says of the privacy budgets"):
        list(audited(changed, Accounts()))
    with pytest.raises(BrokenLedgerError, match="says of the privacy budgets"):
        list(audited([{k: v for k, v in each.items() if k != "budgets"} for each in entries], Accounts()))
    assert sealed({"kind": "left"}, Head(), KEY)  # whoever has the key could sign it


async def test_so_many_pods_that_are_not_allowed_are_in_the_ledger_and_no_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gate, "MOST_NOT_ALLOWED", 2)
    site = Site(tmp_path, budget(5))
    for name in ("a", "b", "c"):
        site.add(name)  # without noise
    site.add("works", **private())
    await site.start()
    assert [site.told(name) for name in ("a", "b", "c", "works")] == ["PrivacyTooWeak", "PrivacyTooWeak", "TooManyPods", "Allowed"]
    assert {each["pod"] for each in site.entries("asked", "decided")} == {"a-0", "b-0", "works-0"}
    site.remove("a")
    await site.look()
    assert site.told("c") == "PrivacyTooWeak"
    site.kill()


RUNS = ("a", "b", "c")
STEPS = st.one_of(
    st.tuples(st.just("add"), st.sampled_from(RUNS), st.sampled_from((1.0, 2.0, 4.0)), st.integers(1, 4)),
    st.tuples(st.just("send"), st.sampled_from(RUNS), st.integers(0, 2)),
    st.tuples(st.just("together"), st.integers(0, 2)),
    st.tuples(st.just("remove"), st.sampled_from(RUNS)),
    st.tuples(st.just("restart")),
    st.tuples(st.just("look")),
)


@settings(max_examples=150)
@given(st.lists(STEPS, min_size=5, max_size=40), st.integers(1, 6))
def test_no_order_of_runs_and_restarts_spends_more_and_no_plan_that_was_allowed_is_broken(steps: list[Any], updates: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(_Story(Path(folder), budget(updates)).told(steps))


class _Story:
    """`left`: the noise multipliers of all updates whose announcement was let out."""

    def __init__(self, folder: Path, limit: dict[str, Any]) -> None:
        self.site, self.limit = Site(folder, limit), limit
        self.left: list[float] = []
        self.sent: Counter[str] = Counter()
        self.noise: dict[str, float] = {}
        self.planned: dict[str, int] = {}
        self.pods = 0

    async def told(self, steps: list[Any]) -> None:
        await self.site.start()
        for step in steps:
            await getattr(self, step[0])(*step[1:])
            assert composed(((1, each) for each in self.left), 1e-5) <= self.limit["epsilon"]
        self.site.time += 60
        for name in RUNS:
            self.site.remove(name)
        await self.site.look()
        self.site.kill()
        assert len(self.site.entries("left")) == len(self.left)

    async def add(self, name: str, noise: float, planned: int) -> None:
        """A Pod of a run, if it has none: its first, or the next one of a run that may have changed."""
        if self.site.pod(name) is None:
            self.pods += 1
            self.noise[name], self.planned[name] = noise, planned
            self.site.add(name, uid=f"pod-{self.pods}", **private(noise, planned))

    async def send(self, name: str, follow: int) -> None:
        """An update of two objects, of which so many follow."""
        if self.site.works(name):
            self.site.time += 10
            kept = self.sent[name] < self.planned[name]
            number = self.sent[name] + 1
            refused = await self.site.send(name, number, objects=2, follow=follow)
            crowded = () if follow else ("MessageNotRecognized",)  # too many replies are under way
            assert refused in ("", *crowded, *(() if kept else (SPENT,)))
            if not refused:
                self.sent[name] = number
                self.left.append(self.noise[name])

    async def together(self, follow: int) -> None:
        await asyncio.gather(*(self.send(name, follow) for name in RUNS), self.site.look())

    async def remove(self, name: str) -> None:
        self.site.remove(name)
        await self.site.look()

    async def restart(self) -> None:
        self.site.kill()
        await self.site.start()

    async def look(self) -> None:
        await self.site.look()
