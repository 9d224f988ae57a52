"""A site's owner has the last word, where everything is real: site controllers on nodes, and runs of the hub that they allow, let wait,
stop and refuse.

The tests are stories, which run side by side, each at a site of its own. The longest begins first.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import pytest

from containers import Containers
from engine import HUB
from gated_pods import rule
from panal.client.problem import Code
from panal.privacy.accountant import epsilon
from runs import APP_IMAGE, Run, apply
from sites import Site
from stories import story
from waiting import eventually

pytestmark = [pytest.mark.real, pytest.mark.nodes]

NS = "runs"
SITES = ["cluster1", "cluster2", "cluster3"]
ROUNDS = 3
ALLOWS = rule(images=[APP_IMAGE])
PRIVATE = {"differentialPrivacy": {"clippingNorm": 1.0, "noiseMultiplier": 2.0}}
BUDGET = {"data": "None", "epsilon": 4}  # of three updates, not of four


@dataclass(frozen=True)
class Sites(Containers):
    """Clusters with site controllers. A story has one of them for itself."""

    free: SimpleQueue[Site] = field(default_factory=SimpleQueue)

    @contextmanager
    def site(self) -> Iterator[Site]:
        found = self.free.get()
        try:
            yield found
            eventually(lambda: not found.pods(gated=True) and not found.pods(gated=False), "the next story finds no Pod", 60)
        finally:
            self.free.put(found)


@pytest.fixture(scope="module")
def engine(engine: Containers, images: Path) -> Iterator[Sites]:
    sites = Sites(engine.fleet)
    every = [Site(sites, name) for name in SITES]
    with ThreadPoolExecutor() as pool:
        list(pool.map(lambda site: site.install(images), every))
        for site in every:
            sites.free.put(site)
        yield sites
        list(pool.map(Site.remove, every))


def start(site: Site, name: str, *, seconds: int = 1, rounds: int = ROUNDS, **spec: Any) -> Run:
    slow = {"env": [{"name": "STEPS_SECONDS", "value": str(seconds)}]}
    server = {"rounds": rounds, "quorumTimeoutSeconds": 600}
    return apply(site.engine, NS, name, clusters=[site.name], server=server, client=slow, **spec)


def collaborator(run: Run) -> tuple[str, str]:
    """State and message at the site, the only one of the run."""
    found = run.status().get("collaborators")
    return (found[0]["state"], f"{found[0].get('reason')} {found[0].get('message')}") if found else ("", "")


def panal(*words: str) -> tuple[int, str, str]:
    """The command line in a process of its own, because other stories use it at the same time: exit code, stdout, stderr."""
    with tempfile.TemporaryDirectory() as home:
        kept = {name: value for name, value in os.environ.items() if name != "KUBECONFIG"}
        env = {**kept, "HOME": home, "PANAL_HOME": f"{home}/platform"}
        done = subprocess.run([sys.executable, "-m", "panal.cli.main", *words], env=env, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout, done.stderr


def replies(site: Site, run: Run) -> list[tuple[str, int]]:
    return [(each["type"].partition(".")[0], each["reply"]) for each in site.entries(f"{NS}/{run.name}", "left") if not each["error"]]


def check_ledger(site: Site, run: Run, rounds: int = ROUNDS) -> None:
    """Each round's reply is there once, with what it consists of."""
    found = replies(site, run)
    assert sorted(each for each in found if each[0] == "train") == [("train", number) for number in range(1, rounds + 1)], found
    for each in site.entries(f"{NS}/{run.name}", "left"):
        assert len(each["digest"]) == 64
        assert each["bytes"] > 0
    eventually(lambda: site.entries(f"{NS}/{run.name}", "ended"), "the Pod's end is in the ledger", 60)


def test_suspend_stops_everything_within_five_seconds_and_the_run_goes_on_after_it(engine: Sites) -> None:
    """Before the stories, because it takes the time."""
    with engine.site() as site:
        site.allow(ALLOWS)
        run = start(site, "suspended", seconds=4, rounds=4)
        run.until_round(1)
        site.allow(ALLOWS, suspend=True)
        seconds = site.until_none_works(5)
        print(f"everything was stopped after {seconds:.1f} s")
        eventually(lambda: "SiteSuspended" in collaborator(run)[1], lambda: str(collaborator(run)), 60)
        site.allow(ALLOWS)
        run.until_ended("Completed")
        assert [each["code"] for each in site.entries(f"{NS}/{run.name}", "stopped")] == ["SiteSuspended"]
        run.delete()


@story()
def test_a_run_spends_the_privacy_budget_and_the_next_one_is_refused_before_it_starts(engine: Sites) -> None:
    with engine.site() as site:
        site.allow(ALLOWS, privacyBudgets=[BUDGET])
        first = start(site, "spends", rounds=2, privacy=PRIVATE)
        first.until_ended("Completed")
        first.until_cleaned()
        check_ledger(site, first, 2)
        first.delete()
        second = start(site, "overspends", rounds=2, privacy=PRIVATE)
        _, told = eventually(lambda: (found := collaborator(second))[0] == "Failed" and found, lambda: str(collaborator(second)), 120)
        assert "SiteRefused" in told, told
        assert "PrivacyBudgetSpent" in told, told
        assert not site.entries(f"{NS}/{second.name}", "left")
        code, out, err = panal("site", "-o", "json", "--kubeconfig", str(site.cluster.kubeconfig))
        assert code == 0, err
        found = json.loads(out)
        (budget,) = found["privacyBudgets"]
        assert (budget["updates"], budget["reserved"], budget["limit"]) == (2, 0, 4)
        assert budget["spent"] == pytest.approx(epsilon(2, 2.0, 1e-5), rel=1e-5)
        assert [each["code"] for each in found["pods"]] == ["PrivacyBudgetSpent"]
        assert "of 4 is spent, by 2 updates" in panal("site", "verify", "--kubeconfig", str(site.cluster.kubeconfig))[1]
        site.allow(ALLOWS, privacyBudgets=[BUDGET | {"epsilon": 5}])
        second.until_ended("Completed")
        second.delete()


@story()
def test_an_allowed_run_completes_and_the_ledger_has_each_reply(engine: Sites) -> None:
    with engine.site() as site:
        site.allow(ALLOWS)
        run = start(site, "allowed")
        run.until_ended("Completed")
        run.until_cleaned()
        check_ledger(site, run)
        (ran,) = site.entries(f"{NS}/{run.name}", "images")
        assert ran["images"].keys() == {"tools", "gateway", "supernode"}
        assert all("sha256:" in image for image in ran["images"].values()), ran
        run.delete()


@story()
def test_a_refused_image_is_told_by_its_code(engine: Sites) -> None:
    with engine.site() as site:
        site.allow(rule(images=["panal/other:1"]))
        run = start(site, "refused")
        _, told = eventually(lambda: (found := collaborator(run))[0] == "Failed" and found, lambda: str(collaborator(run)), 120)
        assert "SiteRefused" in told, told
        assert "ImageNotAllowed" in told, told
        assert site.pods(gated=True)
        assert not site.pods(gated=False)
        run.delete()


@story()
def test_a_run_waits_for_approval_and_goes_on(engine: Sites) -> None:
    with engine.site() as site:
        site.allow({**ALLOWS, "approval": "Required"})
        run = start(site, "approval", rounds=2)
        state, told = eventually(
            lambda: "ApprovalRequired" in (found := collaborator(run))[1] and found, lambda: str(collaborator(run)), 120
        )
        assert state == "Pending", told
        assert not site.pods(gated=False)
        (asked,) = site.entries(f"{NS}/{run.name}", "asked")
        site.allow({**ALLOWS, "approval": "Required"}, approved=[asked["request"]])
        run.until_ended("Completed")
        run.delete()


@story()
def test_a_site_controller_that_is_killed_costs_a_run_nothing(engine: Sites) -> None:
    with engine.site() as site:
        site.allow(ALLOWS)
        run = start(site, "killed", seconds=3, rounds=4)
        for number in (1, 2):
            run.until_round(number)
            site.kill_controller()
        run.until_ended("Completed")
        run.until_cleaned()
        check_ledger(site, run, 4)
        assert len(site.entries("", "started")) >= 3
        run.delete()


@story()
def test_a_run_gets_so_many_rounds_and_no_more(engine: Sites) -> None:
    with engine.site() as site:
        site.allow({**ALLOWS, "maxRounds": 1})
        run = start(site, "limited", rounds=3)
        eventually(lambda: "RoundsExhausted" in collaborator(run)[1], lambda: str(collaborator(run)), 180)
        assert [each for each in replies(site, run) if each[0] == "train"] == [("train", 1)]
        site.allow({**ALLOWS, "maxRounds": 3})
        run.until_ended("Completed")
        run.delete()


# --- evidence -----------------------------------------------------------------------------------------------------------
def countersigned(run: Run) -> tuple[str, str]:
    found = [each for each in run.status().get("conditions") or () if each["type"] == "Countersigned"]
    return (found[0]["status"], found[0]["message"]) if found else ("", "")


@story()
def test_the_evidence_of_a_run_whose_aggregator_and_controller_were_killed(engine: Sites) -> None:
    with engine.site() as site, tempfile.TemporaryDirectory() as folder:
        site.allow(ALLOWS)
        run = start(site, "evident", seconds=3, rounds=4)
        run.until_round(2)
        run.kill(HUB, "run.py flower launcher")
        run.until(lambda status: bool(status.get("restarts")), "another aggregator", 90)
        run.until_ended("Completed")
        engine.kill_controller()
        eventually(lambda: countersigned(run)[0] == "True", lambda: str(countersigned(run)), 180)
        run.until_cleaned()
        hub, owner = (("--kubeconfig", str(each.kubeconfig)) for each in (engine.fleet.hub, site.cluster))
        file, key = Path(folder, "evident.json"), Path(folder, "site.pem")
        code, _, error = panal("evidence", run.name, "-n", NS, "-o", str(file), *hub)
        assert code == Code.OK, error
        _, head, _ = panal("site", "verify", "-o", "json", *owner)
        key.write_text(json.loads(head)["key"])
        code, said, _ = panal("evidence", "verify", str(file), "--site-key", f"{site.name}={key}", "-o", "json")
        found = json.loads(said)
        assert (code, found["whole"], found["receipts"], found["rows"]) == (Code.OK, True, 1, 4), said
        content = json.loads(file.read_text())
        assert content["record"]["content"]["outcome"]["restarts"]["count"] == 1
        assert content["receipts"][site.name]["content"]["replies"] == len(site.entries(f"{NS}/{run.name}", "left"))
        assert content["receipts"][site.name]["content"]["asked"]["image"] == APP_IMAGE
        assert panal("site", "evidence", str(file), *owner)[0] == Code.OK
        (entry,) = site.entries(f"{NS}/{run.name}", "record")
        assert entry["record"] == content["entry"]["content"]["record"]
        assert not [each for each in site.records() if run.name in each]

        content["receipts"][site.name]["content"]["replies"] -= 1
        content["history"]["rows"][1]["metrics"] = {}
        file.write_text(json.dumps(content))
        code, said, _ = panal("evidence", "verify", str(file), "-o", "json")
        assert code == Code.UNHEALTHY
        assert [each["pointer"] for each in json.loads(said)["findings"]] == ["/history/rows/1", f"/receipts/{site.name}/content/replies"]
        code, said, _ = panal("site", "evidence", str(file), *owner)
        assert (code, "/content/replies: was changed" in said) == (Code.UNHEALTHY, True), said
        run.delete()


@story()
def test_a_refused_run_is_countersigned_as_well(engine: Sites) -> None:
    """By the site that refused it: the receipt says so."""
    with engine.site() as site:
        site.allow(rule(images=["panal/other:1"]))
        run = start(site, "refused-and-stopped")
        eventually(lambda: collaborator(run)[0] == "Failed", lambda: str(collaborator(run)), 120)
        run.patch(stop=True)
        run.until_ended("Failed")
        eventually(lambda: countersigned(run)[0] == "True", lambda: str(countersigned(run)), 120)
        run.until_cleaned()
        run.delete()
        run.until_nothing_is_left()
