"""The controller over many clusters: memory, reaction times, speed and cost, beside those of another checkout.

    export KUBEBUILDER_ASSETS=...
    python -m benchmarks.control_plane --clusters 100 1000 3500 [--against CHECKOUT] [--json FILE]

For each number of clusters it starts a real API server, etcd and controller-manager (Jobs, garbage collection, namespaces) with the CRDs
of Open Cluster Management, and measures one checkout after the other on them, each as a process with the permissions of its ServiceAccount.
Played by this program are

- placement: PlacementDecisions of 100 clusters each,
- the managed clusters and their agents: reports of works with the feedback of a collaborator that runs, without finalizers on works. Only
  the clusters of the row `registration` request certificates; all others have the record of one from the beginning,
- the node of the hub: the status of the aggregator's Pod,
- the reporter: the ConfigMap with the progress.

The benchmark, the API server and the controller share the machine's processors. Compare ratios: to plain writes, and to the other checkout.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import sys
from pathlib import Path

from benchmarks.control_plane import ROOT, costs, measures, sites
from benchmarks.control_plane.api import Api, each
from benchmarks.control_plane.hub import running
from benchmarks.control_plane.measures import Bench, Figures
from benchmarks.control_plane.table import table

from panal.api import names

THIS = "this"
PLAYED = "Placement, agents, certificates of the clusters, node and reporter are played"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clusters", type=int, nargs="+", default=[100, 1000, 3500])
    parser.add_argument("--against", type=Path, nargs="*", default=[], help="other checkouts, measured on the same hub")
    parser.add_argument("--samples", type=int, default=20, help="of each reaction time")
    parser.add_argument("--resync", type=int, default=120, help="seconds between two complete lists while their memory is measured")
    parser.add_argument("--json", type=Path, help="write the figures there as well")
    given = parser.parse_args()
    checkouts = {THIS: ROOT} | {path.resolve().name: path.resolve() for path in given.against}
    if len(checkouts) <= len(given.against):
        parser.error("--against: the folders of checkouts need different names, other than this")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("terminated"))  # so that everything that was started ends
    found: dict[str, dict[str, Figures]] = {}
    for clusters in given.clusters:
        found[str(clusters)] = columns = {name: {} for name in checkouts}
        try:
            asyncio.run(measure(clusters, checkouts, given, columns))
        finally:  # what was measured until a failure as well
            print(f"\n{PLAYED}; the machine's load is {os.getloadavg()[0]:.1f}\n\n{table(f'{clusters} clusters', columns)}", flush=True)
            if given.json:
                given.json.write_text(json.dumps(found, indent=1))


async def measure(count: int, checkouts: dict[str, Path], given: argparse.Namespace, columns: dict[str, Figures]) -> None:
    """Adds to `columns`, by checkout."""
    clusters = [f"c{number:05}" for number in range(count)]
    with running() as hub:
        say(f"{count} clusters in {hub.dir}")
        async with Api.open(hub) as api:
            hub.install(ROOT)
            await each(clusters, lambda c: sites.join(api, c))
            await each(clusters, lambda c: sites.take_part(api, c))
            for number, (name, checkout) in enumerate(checkouts.items()):
                say(f"{name}: {checkout}")
                bench = Bench(hub, api, checkout, "abcdefgh"[number], clusters, given.samples)
                await measure_checkout(bench, given.resync, columns[name])


async def measure_checkout(bench: Bench, resync: int, figures: Figures) -> None:
    """First the add-on comes to all clusters, then a new process is measured. Adds to `figures`."""
    bench.hub.install(bench.checkout)
    async with bench.controller() as controller:
        await sites.report_all(bench.api, f"{names.ADDON_LABEL}={names.ADDON}")
        await controller.until_quiet(measures.PATIENCE)
    await measure_runs(bench, figures)
    await measure_restarts(bench, resync, figures)


async def measure_runs(bench: Bench, figures: Figures) -> None:
    async with bench.controller() as controller:
        figures["rss_without_run_mib"] = controller.rss()
        say("one run")
        async with bench.run("one") as run:
            await run.begin()
            figures.update(await measures.burst(run, controller))
            figures.update(measures.sizes(await measures.work_of(run, bench.clusters[0])) | await measures.all_ready(run))
            await controller.until_quiet(measures.PATIENCE)
            figures["rss_one_run_mib"] = controller.rss()
            say("reactions")
            figures.update(await measures.agent_to_status(run, bench.samples) | await measures.progress_to_status(run, bench.samples))
            figures.update(await costs.events(run, controller))
            say("a further run")
            figures.update(await costs.further_run(bench, controller))


async def measure_restarts(bench: Bench, resync: int, figures: Figures) -> None:
    """The same run without a controller, with a new one, and with another one until its end."""
    async with bench.run("one") as run:
        say("plain writes")
        figures.update(await costs.plain_writes(bench.hub, await measures.work_of(run, bench.clusters[0]), bench.clusters))
        figures.update(compared(figures))
        say("restart and resync")
        figures.update(await costs.restart(bench, run, resync))
        say("the end of the run, five small runs, registration")
        async with bench.controller() as controller:
            figures.update(await measures.complete_to_status(run))
            await run.delete()
            figures.update(await costs.five_runs(bench) | await costs.registration(bench, controller))


def compared(figures: Figures) -> Figures:
    plain = {"works_to_creates": "creates_per_s", "works_to_applies": "applies_per_s"}
    return {key: figures["works_per_s"] / figures[other] for key, other in plain.items()}


def say(words: str) -> None:
    print(f"# {words}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
