"""A status whose controller is away says so, where the reader may know it."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from api import Api, api
from embedded import Embedded
from panal.api import names
from panal.api.crd import crd
from panal.cli import follow
from panal.cli.main import main
from panal.client import controller_lease
from panal.kube import kinds
from panal.kube.client import Client
from panal.kube.errors import Forbidden
from panal.kube.times import now_utc, to_micro_time
from panal_local.ocm.writing import serve

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
LONG_AGO, NOW_AND_THEN = timedelta(minutes=10), timedelta(seconds=20)
Panal = Callable[..., tuple[str, str]]


@pytest.mark.parametrize(
    ("spec", "silent"),
    [
        ({"renewTime": to_micro_time(NOW - LONG_AGO)}, True),
        ({"renewTime": to_micro_time(NOW - timedelta(seconds=61)), "holderIdentity": None, "leaseDurationSeconds": 1}, True),
        ({"renewTime": to_micro_time(NOW - timedelta(seconds=59))}, False),
        ({"renewTime": to_micro_time(NOW + LONG_AGO)}, False),
        ({"renewTime": "yesterday"}, False),
        ({}, False),
    ],
)
def test_a_lease_that_is_not_renewed_tells_that_the_controller_is_away(spec: dict[str, object], silent: bool) -> None:
    assert bool(controller_lease.stale({"spec": spec}, NOW)) == silent


async def test_nothing_is_said_where_nothing_may_be_known() -> None:
    class Refusing:
        async def get(self, *_: object) -> object:
            raise Forbidden(403, "Forbidden", "leases")

    assert await controller_lease.silent_since(Refusing()) is None  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Embedded]:
    """With one run of each phase."""
    made = Embedded(tmp_path_factory.mktemp("hub")).start()
    try:
        asyncio.run(_define(made.kubeconfig))
        found = api(made.kubeconfig)
        found.make_namespace(names.SYSTEM_NAMESPACE)
        for name, phase in (("going", "Running"), ("over", "Completed"), ("new", None)):
            run(found, name, phase)
        yield made
    finally:
        made.stop()


async def _define(kubeconfig: Path) -> None:
    async with Client.from_kubeconfig(kubeconfig) as client:
        await serve(client, [crd()])


def run(hub: Api, name: str, phase: str | None) -> None:
    spec = {"server": {"image": "a:1"}, "client": {"image": "a:1", "dataClaim": names.NO_DATA}}
    hub.apply({"apiVersion": names.API_VERSION, "kind": names.KIND, "metadata": {"name": name, "namespace": "default"}, "spec": spec})
    if phase:
        hub.patch_status(kinds.FEDERATED_LEARNING, "default", name, phase=phase, message="round 2 of 3")


def renew(hub: Embedded, ago: timedelta) -> None:
    metadata = {"name": names.CONTROLLER_LEASE, "namespace": names.SYSTEM_NAMESPACE}
    spec = {"holderIdentity": "x", "leaseDurationSeconds": 30, "renewTime": to_micro_time(now_utc() - ago)}
    api(hub.kubeconfig).apply({"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": metadata, "spec": spec})


@pytest.fixture
def panal(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], hub: Embedded) -> Panal:
    """Runs `panal get WORDS`: stdout, stderr."""

    def call(*words: str) -> tuple[str, str]:
        monkeypatch.setattr(sys, "argv", ["panal", "get", *words, "--kubeconfig", str(hub.kubeconfig)])
        with pytest.raises(SystemExit):
            main()
        said = capsys.readouterr()
        return said.out, said.err

    return call


def rows(out: str) -> dict[str, str]:
    """Name and phase."""
    cells = [[cell.strip() for cell in line.split("   ") if cell.strip()] for line in out.splitlines()[1:]]
    return {row[1]: row[2] for row in cells if len(row) > 2}


def test_a_list_shows_how_old_its_phases_are(hub: Embedded, panal: Panal) -> None:
    renew(hub, LONG_AGO)
    out, err = panal()
    assert rows(out) == {"going": "Running, 10m ago", "over": "Completed", "new": "Unknown, 10m ago"}
    assert "the controller has been unavailable for 10m" in err


def test_so_does_one_run(hub: Embedded, panal: Panal) -> None:
    renew(hub, LONG_AGO)
    out, err = panal("going")
    assert "Running, 10m ago" in out
    assert "the controller has been unavailable for 10m" in err
    out, err = panal("going", "-o", "json")
    assert json.loads(out)["status"]["phase"] == "Running"
    assert "the controller has been unavailable for 10m" in err


@pytest.mark.parametrize(("ago", "words"), [(LONG_AGO, ["over"]), (NOW_AND_THEN, []), (NOW_AND_THEN, ["going"])])
def test_nothing_is_said_of_a_run_that_has_ended_or_is_looked_after(hub: Embedded, panal: Panal, ago: timedelta, words: list[str]) -> None:
    renew(hub, ago)
    out, err = panal(*words)
    assert "ago" not in out
    assert "away" not in err


async def test_who_follows_is_told_when_it_goes_and_when_it_is_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(controller_lease, "CHECK_EVERY", 0.0)
    seen = iter([None, now_utc() - LONG_AGO, now_utc() - LONG_AGO, None])
    over = asyncio.Event()

    async def silent_since(_: object) -> datetime | None:
        try:
            return next(seen)
        except StopIteration:
            over.set()
            return None

    monkeypatch.setattr(controller_lease, "silent_since", silent_since)
    said: list[str] = []
    telling = asyncio.create_task(controller_lease.tell(None, follow.Show(False, said.append).controller))  # type: ignore[arg-type]
    await over.wait()
    telling.cancel()
    assert [text.split("s  ", 1)[1] for text in said] == [
        "the controller has been unavailable for 10m: the status of a run that has not ended may be out of date",
        "the controller is available again: statuses are up to date",
    ]


def test_the_table_that_stays_in_place_says_of_when_it_is() -> None:
    runs = [{"metadata": {"name": "a"}, "status": {"collaborators": [{"cluster": "c1", "state": "Training"}]}}]
    assert follow.clusters(runs, NOW).caption == "as of 2026-03-01 12:00:00Z"
    assert follow.clusters(runs).caption is None
