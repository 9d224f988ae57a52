"""Long tests of the controller on a real API server (`make soak`). `benchmarks.control_plane` plays clusters, agents, node and reporter."""

from __future__ import annotations

import asyncio
import base64
import copy
import json
import os
import re
import shutil
import signal
import subprocess
import time
import urllib.request
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import yaml
from benchmarks.control_plane import ROOT, costs, measures, sites
from benchmarks.control_plane.api import RUNS, Api, Refused, each
from benchmarks.control_plane.controller import Controller, started
from benchmarks.control_plane.hub import Hub, running
from benchmarks.control_plane.measures import Bench
from benchmarks.control_plane.runs import Run

from impossible_runs import FAILED, REFUSED_BY_THE_HUB, WAITING
from panal.addon.manifests import WORK
from panal.api import names
from panal.api.names import API_VERSION, KIND, PLURAL
from panal.kube import kinds
from panal.kube.times import from_time
from processes import free_port
from rights import CREATED, USER, entries
from waiting import eventually
from worlds import resource

pytestmark = [pytest.mark.real, pytest.mark.soak]

CLUSTERS = int(os.environ.get("SOAK_CLUSTERS") or 3500)
RESYNC = 120  # seconds
WRITES = ("create", "update", "patch", "delete")
SETTLED, COUNTED = 60, 60  # seconds: until retries have become slow, and of the count
MOST = 12  # requests of the controller in that time
MISSED = 20  # runs that are created while no leader works
FEW = 200  # clusters, where their number does not matter
HANGS, AWAY = 25, 10  # seconds; a request waits for 20


@pytest.fixture
def hub() -> Iterator[Hub]:
    with running(audit=True) as found:
        found.install(ROOT)
        yield found


def limit() -> float:
    """The memory limit of the chart, in MiB."""
    text = str(yaml.safe_load((ROOT / "charts/panal/values.yaml").read_text())["resources"]["limits"]["memory"])
    assert text.endswith("Mi"), text
    return float(text.removesuffix("Mi"))


def test_the_controller_stays_below_its_memory_limit(hub: Hub) -> None:
    """From its start beside all clusters, over the add-on, a run of all clusters, and two lists of every kind."""
    peaks = asyncio.run(memory(hub))
    print("peaks in MiB:", {name: round(peak) for name, peak in peaks.items()})
    assert max(peaks.values()) < limit(), peaks


async def memory(hub: Hub) -> dict[str, float]:
    peaks = {}
    async with beside(hub, CLUSTERS) as bench, Controller.of(ROOT, hub, RESYNC) as controller, bench.run("one") as run:
        await controller.until_quiet(measures.PATIENCE)
        await sites.report_all(bench.api, f"{names.ADDON_LABEL}={names.ADDON}")
        await controller.until_quiet(measures.PATIENCE)
        peaks["add-on"] = controller.peak()
        await run.begin()
        await measures.all_works(run)
        await measures.all_ready(run)
        peaks["run"] = controller.peak()
        for number in ("first", "second"):
            await costs.peak_of_resync(controller)
            peaks[f"{number} list"] = controller.peak()
        assert run.status["clients"]["summary"] == f"{CLUSTERS}/{CLUSTERS}"
    return peaks


def test_a_leader_that_was_paused_writes_nothing_after_its_successor(hub: Hub) -> None:
    first, second = Candidate(hub, "first"), Candidate(hub, "second")
    try:
        first.start()
        eventually(first.leads, "the first leads", 60)
        create(hub, "before")
        eventually(lambda: "before" in shown(hub), "the first reconciles runs", 30)
        second.start()
        assert second.token != first.token
        first.process.send_signal(signal.SIGSTOP)
        missed = {f"missed-{number}" for number in range(MISSED)}
        create(hub, *missed)  # the first has these changes in its connections when it wakes
        eventually(second.leads, "the second leads", 90)
        eventually(lambda: missed <= shown(hub), "the second reconciles what came meanwhile", 60)
        woken = time.time()
        first.process.send_signal(signal.SIGCONT)
        first.process.wait(60)
        create(hub, "after")
        eventually(lambda: "after" in shown(hub), "the second goes on", 30)
    finally:
        first.end()
        second.end()
    assert first.process.returncode not in (0, -signal.SIGTERM, -signal.SIGKILL), "it notices that it no longer leads, and ends"
    written = [entry for entry in entries(hub.dir / "log/audit.log") if entry["verb"] in WRITES and token_of(entry) == first.token]
    assert written, "the audit log has the writes of the first"
    late = [entry["requestURI"] for entry in written if time_of(entry) > woken]
    assert [uri for uri in late if kinds.LEASE.plural not in uri] == []


def test_runs_that_cannot_work_ask_nothing_more(hub: Hub) -> None:
    """Those that fail, those that wait, and those of which the API server refuses an object."""
    with Candidate(hub, "only") as controller:
        eventually(controller.leads, "it leads", 60)
        asyncio.run(impossible(hub))
        time.sleep(SETTLED)
        began = time.time()
        time.sleep(COUNTED)
    requests = [e for e in entries(hub.dir / "log/audit.log") if token_of(e) == controller.token and e["verb"] != "watch"]
    tried = {run_of(entry) for entry in requests}
    assert tried >= {f"hub-{n}" for n in range(len(REFUSED_BY_THE_HUB))}, "each of them was tried"
    late = [e["requestURI"] for e in requests if began < time_of(e) < began + COUNTED and kinds.LEASE.plural not in e["requestURI"]]
    assert len(late) <= MOST, late


async def impossible(hub: Hub) -> None:
    """Runs that the hub accepts, on three clusters, of which every Placement selects all."""
    async with Api.open(hub) as api:
        clusters = ["c1", "c2", "c3"]
        await each(clusters, lambda c: sites.join(api, c))
        await each(clusters, lambda c: sites.take_part(api, c))
        specs = {f"spec-{n}": case.spec for n, case in enumerate([*FAILED, *WAITING])}
        specs |= {f"hub-{n}": spec for n, (spec, _, _) in enumerate(REFUSED_BY_THE_HUB)}
        found = {name: resource(**copy.deepcopy(spec)) for name, spec in specs.items()}
        hub.apply(*(each | {"metadata": {"name": name, "namespace": "runs"}} for name, each in found.items()))
        eventually(lambda: shown(hub) == set(specs), "all have a status", 60)
        placed = hub.kubectl("-n", "runs", "get", "placements", "-o", "name").split()  # the hub refuses one of them
        for name in specs:
            if name.startswith("hub-") and f"placement.cluster.open-cluster-management.io/{name}" in placed:
                async with Run.on(api, name, clusters) as run:
                    await run.decide()


def run_of(entry: dict[str, Any]) -> str:
    """The run that a request concerns; empty if it is another object."""
    ref = entry.get("objectRef") or {}
    found = re.match(r"(spec|hub)-\d+", ref.get("name", "")) if ref.get("namespace") == "runs" else None
    return found[0] if found else ""


def time_of(entry: dict[str, Any]) -> float:
    return from_time(entry["requestReceivedTimestamp"]).timestamp()


# --- the API server is away, or goes back in time -------------------------------------------------------------------------------
def hangs(hub: Hub) -> None:
    pid = int((hub.processes.pids / "kube-apiserver").read_text())
    os.kill(pid, signal.SIGSTOP)
    time.sleep(HANGS)
    os.kill(pid, signal.SIGCONT)


def dies(hub: Hub) -> None:
    hub.processes.end("kube-apiserver", kill=True)
    time.sleep(AWAY)
    start(hub)


def start(hub: Hub, *before: str) -> None:
    for program in (*before, "kube-apiserver"):
        hub.processes.start_again(program)
    hub.wait_for_api()


def stop(hub: Hub) -> None:
    for program in ("kube-apiserver", "etcd"):
        hub.processes.end(program)


@pytest.mark.parametrize("fault", [hangs, dies])
def test_works_that_an_outage_delays_are_written_once_and_nothing_counts_as_refused(hub: Hub, fault: Callable[[Hub], None]) -> None:
    asyncio.run(burst(hub, fault))
    created = [e["objectRef"]["namespace"] for e in entries(hub.dir / "log/audit.log") if is_creation_of_a_work(e)]
    unlogged = 20 if fault is dies else 0  # answers that an API server that was killed has not logged
    assert FEW - unlogged <= len(created) <= FEW
    assert sorted(created) == sorted(set(created)), "no work has been created twice"
    events = json.loads(hub.kubectl("-n", "runs", "get", "events", "-o", "json"))["items"]
    assert [e["message"] for e in events if e["type"] == "Warning"] == []
    assert "refuse" not in (hub.dir / "log/controller.log").read_text()


async def burst(hub: Hub, fault: Callable[[Hub], None]) -> None:
    """The fault comes when some works of a run exist, and this returns when all do."""
    async with beside(hub, FEW) as bench, Controller.of(ROOT, hub) as controller, bench.run("one") as run:
        await controller.until_quiet(measures.PATIENCE)
        await run.begin()
        await run.write_progress(connected=0)
        await run.works.until(lambda works: len(works) > FEW // 10, "some works", 60)
        assert len(run.works.objects) < FEW, "works are missing when the fault begins"
        await asyncio.to_thread(fault, hub)
        works = ("get", "manifestworks", "-A", "-l", f"{names.LABEL_RUN}={run.name}", "-o", "name")
        await asyncio.to_thread(eventually, lambda: len(hub.kubectl(*works).split()) == FEW, "all works exist", 120)


def is_creation_of_a_work(entry: dict[str, Any]) -> bool:
    ref = entry.get("objectRef") or {}
    ours = ref.get("resource") == "manifestworks" and entry["user"]["username"] == USER
    return bool(ours and ref.get("name") != WORK and entry["verb"] == "create" and entry["responseStatus"]["code"] == CREATED)


def test_a_run_goes_on_from_a_backup_of_the_hub(hub: Hub) -> None:
    """The controller runs on. The rounds that were reported after the backup are gone."""
    asyncio.run(restored(hub))


async def restored(hub: Hub) -> None:
    data, backup = hub.dir / "etcd-data", hub.dir / "backup"
    async with beside(hub, FEW) as bench, Controller.of(ROOT, hub) as controller, bench.run("one") as run:
        await run.begin()
        await run.write_progress(connected=0)
        await run.works.until(lambda works: len(works) == FEW, "all works", 60)
        await measures.all_ready(run)
        await controller.until_quiet(measures.PATIENCE)
        await asyncio.to_thread(stop, hub)
        shutil.copytree(data, backup)
        await asyncio.to_thread(start, hub, "etcd")
        await run.write_round(5)
        await until_shown(run, 5)
        await asyncio.to_thread(stop, hub)
        shutil.rmtree(data)
        backup.rename(data)
        await asyncio.to_thread(start, hub, "etcd")
        await until_shown(run, 1)
        await run.write_round(2)
        await until_shown(run, 2)
        assert (await status_of(run))["phase"] == "Running"


async def until_shown(run: Run, completed: int) -> None:
    end = time.monotonic() + 120
    while ((await status_of(run)).get("rounds") or {}).get("completed") != completed:
        assert time.monotonic() < end, await status_of(run)
        await asyncio.sleep(0.2)


async def status_of(run: Run) -> dict[str, Any]:
    found: dict[str, Any] = (await run.api.get(f"{RUNS}/{run.name}")).get("status") or {}
    return found


async def until_served(api: Api) -> None:
    """An API server refuses requests (429) for a while after a CRD has come."""
    for _ in range(100):
        try:
            await api.items(RUNS)
            return
        except Refused:
            await asyncio.sleep(0.3)
    raise TimeoutError("runs are not served")


@asynccontextmanager
async def beside(hub: Hub, count: int) -> AsyncIterator[Bench]:
    """`count` clusters have joined and take part."""
    clusters = [f"c{number:05}" for number in range(count)]
    async with Api.open(hub) as api:
        await each(clusters, lambda c: sites.join(api, c))
        await each(clusters, lambda c: sites.take_part(api, c))
        await until_served(api)
        yield Bench(hub, api, ROOT, "soak", clusters, 1)


class Candidate:
    """A process of the controller, with a token of its own."""

    def __init__(self, hub: Hub, name: str) -> None:
        self.hub, self.port, self.log = hub, free_port(), hub.dir / f"log/{name}.log"
        self.process: subprocess.Popen[bytes]
        self.token = ""

    def start(self) -> None:
        self.process = started(ROOT, self.hub, self.port, self.log, 900)
        config = json.loads((self.hub.dir / "panal.kubeconfig").read_text())
        payload = config["users"][0]["user"]["token"].split(".")[1]
        self.token = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))["jti"]

    def leads(self) -> bool:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/metrics", timeout=5) as answer:
                return b"panal_leader 1.0" in answer.read()
        except OSError:
            return False

    def __enter__(self) -> Candidate:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    def end(self) -> None:
        if hasattr(self, "process"):
            self.process.kill()
            self.process.wait()
            print(self.log.read_text(errors="replace")[-3000:])


def token_of(entry: dict[str, Any]) -> str:
    """The id of the token by which a request was authenticated."""
    found = (entry["user"].get("extra") or {}).get("authentication.kubernetes.io/credential-id") or [""]
    return str(found[0]).removeprefix("JTI=")


def create(hub: Hub, *run_names: str) -> None:
    listener = {"name": "a", "type": "NodePort", "port": 30100, "ip": "192.0.2.1"}
    spec = {
        "framework": "flower",
        "server": {"image": "example/app:1", "rounds": 1, "minAvailableClients": 1, "listeners": [listener]},
        "client": {"image": "example/app:1", "dataClaim": "None", "placement": {}},
    }
    head = {"apiVersion": API_VERSION, "kind": KIND, "spec": spec}
    hub.apply(*(head | {"metadata": {"name": name, "namespace": "runs"}} for name in run_names))


def shown(hub: Hub) -> set[str]:
    """The runs that have a status."""
    found = json.loads(hub.kubectl("-n", "runs", "get", PLURAL, "-o", "json"))["items"]
    return {each["metadata"]["name"] for each in found if (each.get("status") or {}).get("phase")}
