"""Random kills: each run loses processes at random moments, and has to complete all the same.

| what is killed (kill -9)                                                       | when                                           |
|--------------------------------------------------------------------------------|------------------------------------------------|
| panal's controller, the hub with its API server, a managed cluster's agents    | while the collaborators connect, while a round |
| the aggregator's launcher, SuperLink, server app, reporter or gateway          | trains, when it has just ended, after the last |
| a collaborator's keeper, SuperNode or gateway; all processes of one site       | round                                          |

Expected end of each run: Completed, with each round counted once, by the minimum of clusters at least; after its deletion none of its
objects and processes remain. PANAL_CHAOS_KILLS is the number of kills (`make chaos`: 200), PANAL_CHAOS_SEED chooses them.
"""

from __future__ import annotations

import os
import random
import signal
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import pytest

from engine import HUB
from kill_suite import SITES
from local_pods import processes, send
from platform_engine import CONTROLLER, Platform
from runs import Run, apply
from waiting import eventually

pytestmark = [pytest.mark.flower, pytest.mark.long]

KILLS, SEED = int(os.environ.get("PANAL_CHAOS_KILLS", "8")), int(os.environ.get("PANAL_CHAOS_SEED", "1"))
OF_A_RUN, AT_ONCE = 4, 2  # kills of one run; runs at a time
ROUNDS, MINIMUM, STEP = 4, 2, 2  # STEP: seconds that a round takes at least
LONGEST = 600  # seconds of a run


@dataclass(frozen=True)
class Blow:
    """One kill: what, and when."""

    moment: str
    what: str

    def __str__(self) -> str:
        return f"{self.what} ({self.moment})"


def of_the_aggregator(program: str) -> Callable[[Platform, Run, str], bool]:
    return lambda engine, run, _: send(processes(engine.node(HUB), f"{run.name}-", program), signal.SIGKILL)


def of_a_site(program: str) -> Callable[[Platform, Run, str], bool]:
    return lambda engine, run, site: any(engine.kill(site, pod, program) for pod in run.collaborators(site))


def part(name: str = "") -> Callable[[Platform, Run, str], bool]:
    def kill(engine: Platform, _run: Run, site: str) -> bool:
        engine.kill_part(name or site)
        return True

    return kill


TARGETS: dict[str, Callable[[Platform, Run, str], bool]] = {
    "the controller": part(CONTROLLER),
    "the hub": part(HUB),
    "a cluster's agents": part(),
    "the launcher": of_the_aggregator("run.py flower launcher"),
    "the SuperLink": of_the_aggregator("flower-superlink"),
    "the server app": of_the_aggregator("flwr-serverapp|flower-superlink"),
    "the reporter": of_the_aggregator("panal-reporter"),
    "the aggregator's gateway": of_the_aggregator("envoy"),
    "a keeper": of_a_site("run.py flower supernode"),
    "a SuperNode": of_a_site("flower-supernode"),
    "a site's gateway": of_a_site("envoy"),
    "all of a site": of_a_site("."),
}
MOMENTS: dict[str, Callable[[Run, random.Random], object]] = {
    "connecting": lambda run, _: run.until(lambda s: bool(s.get("startTime")) and bool(run.works()), "the works are made", LONGEST),
    "training": lambda run, chance: (over(run, chance.randrange(ROUNDS)), time.sleep(chance.random() * STEP)),
    "between rounds": lambda run, chance: over(run, chance.randrange(1, ROUNDS)),
    "after the last round": lambda run, _: over(run, ROUNDS),
}


def over(run: Run, number: int) -> None:
    """As many rounds are complete, or the run has ended."""
    eventually(lambda: done(run) or run.status().get("rounds", {}).get("completed", 0) >= number, f"{run.name}: round {number}", LONGEST)


def done(run: Run) -> bool:
    return run.status().get("phase") in ("Completed", "Failed")


def blows(chance: random.Random) -> list[Blow]:
    """The kills of one run, in the order of their moments."""
    chosen = [Blow(chance.choice(list(MOMENTS)), chance.choice(list(TARGETS))) for _ in range(OF_A_RUN)]
    return sorted(chosen, key=lambda blow: list(MOMENTS).index(blow.moment))


def tell(engine: Platform, number: int) -> tuple[list[str], int]:
    """One run. Returns the kills that hit something, and how many aggregators were lost."""
    chance = random.Random(f"{SEED}-{number}")
    slow = {"env": [{"name": "STEPS_SECONDS", "value": str(STEP)}]}
    run = apply(engine, "runs", f"chaos-{number}", clusters=SITES, minimum=MINIMUM, server={"rounds": ROUNDS}, client=slow)
    plan, hit = blows(chance), []
    for blow in plan:
        MOMENTS[blow.moment](run, chance)
        if done(run):
            break
        if TARGETS[blow.what](engine, run, chance.choice(SITES)):
            hit.append(str(blow))
    story = f"after {', '.join(hit) or 'no kill'}"
    try:
        status = run.until_ended("Completed", LONGEST)
    except AssertionError as error:
        raise AssertionError(f"{run.name}, seed {SEED}, {story}: {error}") from None
    clusters = run.metadata()["clusters"]
    assert status["rounds"]["summary"] == f"{ROUNDS}/{ROUNDS}", f"{run.name} {story}"
    assert all(sorted(set(rounds)) == rounds for rounds in clusters.values()), f"{run.name} {story}: {clusters}"
    counted = Counter(number for rounds in clusters.values() for number in rounds)
    assert all(counted[number] >= MINIMUM for number in range(1, ROUNDS + 1)), f"{run.name} {story}: {clusters}"
    run.delete()
    run.until_nothing_is_left()
    for site in (HUB, *SITES):
        eventually(lambda site=site: not processes(engine.node(site), f"{run.name}-"), f"no process of {run.name} is left on {site}", 60)
    return hit, (status.get("restarts") or {}).get("count", 0)


def test_every_run_completes(engine: Platform) -> None:
    with ThreadPoolExecutor(AT_ONCE) as pool:
        told = list(pool.map(lambda number: tell(engine, number), range(-(-KILLS // OF_A_RUN))))
    hits = Counter(blow for hit, _ in told for blow in hit)
    print(f"\n{hits.total()} kills in {len(told)} runs, all Completed; {sum(lost for _, lost in told)} aggregators lost")
    for blow, count in sorted(hits.items()):
        print(f"  {count:3} {blow}")
    assert hits.total() >= KILLS // 2
