"""Rows, filters, orders and pages of the lists, and the index that keeps them."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest

from dashboards import HOSTILE, addon, cluster, run
from panal.api import names as api_names
from panal.dashboard.index import Index, first_to_end, overdue
from panal.dashboard.listing import SIZE, Query, of_clusters, of_runs
from panal.dashboard.rows import STATES_OF_ADDON, cluster_row, run_row
from panal.dashboard.watched import watched
from panal.kube import kinds


def runs(count: int = 120):
    return [run_row(run(f"run-{n:03}", f"ns{n % 3}", ("Running", "Failed")[n % 2], completed=n % 6)) for n in range(count)]


def names(page):
    return [row.name for row in page.rows]


def test_a_page_has_so_many_rows_and_knows_how_many_there_are():
    page = of_runs(runs(), Query.of({"order": "name", "page": "3"}))
    assert (len(page.rows), page.number, page.pages, page.first, page.last) == (20, 3, 3, 101, 120)
    assert of_runs(runs(), Query.of({"page": "99"})).number == 3
    assert of_runs([], Query()).pages == 1
    assert len(of_runs(runs(), Query()).rows) == SIZE


@pytest.mark.parametrize(
    ("asked", "count"),
    [({"text": "RUN-01"}, 10), ({"state": "Failed"}, 60), ({"namespace": "ns1"}, 40), ({"state": "Nonsense"}, 120), ({"text": "ns1/"}, 40)],
)
def test_filters(asked, count):
    page = of_runs(runs(), Query.of(asked))
    assert (page.matching, page.total) == (count, 120)


@pytest.mark.parametrize(
    "asked", [{"page": "-1"}, {"page": "x"}, {"page": "9" * 50}, {"page": "²"}, {"order": "nonsense"}, {"text": "x" * 9999}]
)
def test_what_is_not_understood_is_ignored(asked):
    of_runs(runs(3), Query.of(asked))
    assert Query.of(asked).page == 1
    assert len(Query.of(asked).text) <= 200


def test_orders_and_the_address_that_turns_one_round():
    query = Query.of({"order": "name"})
    assert names(of_runs(runs(3), query)) == ["run-000", "run-001", "run-002"]
    turned = Query.of(dict(pair.split("=") for pair in query.ordered_by("name").split("&")))
    assert names(of_runs(runs(3), turned)) == ["run-002", "run-001", "run-000"]
    assert query.ordered_by("phase") == "order=phase"


def test_runs_by_metric_have_the_best_of_each_first_and_those_without_last():
    values = {"a": "accuracy 0.8", "b": "loss 0.5", "c": "", "d": "accuracy 0.9", "e": "loss 0.1", "f": "accuracy NaN", "g": "odd"}
    values |= {"y": "spread 0.1, worst accuracy 0.7", "z": "spread 0.2, worst accuracy 0.8"}
    rows = [run_row(run(name, headlineMetric=value)) for name, value in values.items()]
    assert names(of_runs(rows, Query.of({"order": "metric"}))) == ["g", "d", "a", "f", "e", "b", "z", "y", "c"]


NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def certified(name, hours, life=24, **annotations):
    """A cluster whose certificate ends `hours` after NOON."""
    ends = NOON + timedelta(hours=hours)
    issued = [{"serial": "1f", "notBefore": (ends - timedelta(hours=life)).isoformat(), "notAfter": ends.isoformat()}]
    made = addon(name)
    made["metadata"]["annotations"] = {api_names.ANNOTATION_CERTIFICATES: json.dumps(issued), **annotations}
    return cluster_row(cluster(name), made, None)


def test_certificates_are_overdue_in_the_last_tenth_of_their_life():
    rows = [certified("fine", 3), certified("late", 2), certified("over", -1), certified("out", 1, **{api_names.ANNOTATION_REVOKED: "x"})]
    assert [row.name for row in overdue(rows, NOON)] == ["over", "late"]
    assert first_to_end(rows, NOON) == (2, NOON + timedelta(hours=2))
    assert first_to_end([], NOON) == (0, None)


def test_an_address_keeps_what_is_asked():
    query = Query.of({"text": "a&b", "state": "Failed", "namespace": "ns", "cluster": "c", "order": "-name", "page": "2"})
    assert query.address() == "text=a%26b&state=Failed&namespace=ns&cluster=c&order=-name&page=2"
    assert query.address(page=1) == "text=a%26b&state=Failed&namespace=ns&cluster=c&order=-name"


def test_what_is_left_is_the_median_of_the_rounds_that_were_seen():
    found = None
    for completed, seconds in ((1, 100.0), (2, 10.0), (2, 11.0), (3, 12.0)):
        found = run_row(run(completed=completed, rounds={"completed": completed, "total": 5, "seconds": seconds}), found)
    assert found.seconds == (100.0, 11.0, 12.0)
    assert found.left == 24.0
    assert run_row(run(phase="Completed"), found).left is None


def test_a_row_of_another_run_with_the_name_starts_anew():
    before = run_row(run())
    other = run()
    other["metadata"]["uid"] = "another"
    assert run_row(other, before).seconds == (12.0,)


@pytest.mark.parametrize("text", HOSTILE)
def test_rows_escape_what_apps_and_sites_write(text):
    row = run_row(run(headlineMetric=text, message=text))
    assert row.metric.isprintable()
    assert row.message.isprintable()
    found = cluster_row(cluster("site", **{text: text}), None, None)
    assert all(part.isprintable() for claim in found.claims for part in claim)


@pytest.mark.parametrize("status", [None, {}, {"rounds": "x", "clients": [], "collaborators": ["x"], "headlineMetric": 3, "phase": "Odd"}])
def test_a_status_that_nobody_expected_is_a_row_all_the_same(status):
    obj = {**run(), "status": status}
    assert run_row(obj).phase == "Waiting"


def test_a_cluster_says_what_it_offers_and_until_when_it_is_certified():
    row = cluster_row(cluster("site-a", data="pvc://x"), addon(), {"status": {"scores": [{"name": "cpu", "value": 40}]}})
    assert (row.state, row.addon, row.cpu, row.memory, row.gpus) == ("Available", "Ready", 8, 16 * 2**30, 2)
    assert row.until.year == 2099
    assert row.scores == {"cpu": 40}
    assert cluster_row(cluster(), None, None).addon == "None"
    assert set(STATES_OF_ADDON) >= {row.addon, "None"}


def test_clusters_are_filtered_by_set_state_and_claim():
    rows = [cluster_row(cluster(f"site-{n}", **({"data": "x"} if n % 2 else {})), addon(f"site-{n}"), None) for n in range(10)]
    assert of_clusters(rows, Query.of({"text": "data=x"}, ("Available",))).matching == 5
    assert of_clusters(rows, Query.of({"set": "default"}, ("Available",))).matching == 10
    assert of_clusters(rows, Query.of({"set": "other"}, ("Available",))).matching == 0
    assert of_clusters(rows, Query.of({"state": "Unavailable"}, ("Available", "Unavailable"))).matching == 0


class Objects:
    """The part of a watch cache that the index uses."""

    def __init__(self):
        self.trims = {each.kind: each.trim for each in watched()}
        self.objects = {}

    def subscribe(self, callback):
        self._callback = callback

    def heed(self, callback):
        pass

    def get(self, kind, namespace, name):
        return self.objects.get((kind, namespace, name))

    def put(self, obj, deleted=False):
        kind, metadata = kinds.kind_of(obj), obj["metadata"]
        key = (kind, metadata.get("namespace", ""), metadata["name"])
        old, new = self.objects.pop(key, None), None if deleted else self.trims[kind](obj)
        if new is not None:
            self.objects[key] = new
        self._callback(kind, old, new)


def decision(*clusters, of="digits"):
    metadata = {"name": "d", "namespace": "ns", "labels": {"cluster.open-cluster-management.io/placement": of}}
    kind = {"apiVersion": "cluster.open-cluster-management.io/v1beta1", "kind": "PlacementDecision"}
    return {**kind, "metadata": metadata, "status": {"decisions": [{"clusterName": each} for each in clusters]}}


@pytest.fixture
def objects():
    return Objects()


def test_the_index_follows_the_cache(objects):
    index = Index(objects)
    objects.put(run())
    objects.put(cluster())
    assert index.run("ns", "digits").phase == "Running"
    assert index.cluster("site-a").addon == "None"
    objects.put(addon())
    assert index.cluster("site-a").addon == "Ready"
    objects.put(run(phase="Completed"))
    assert index.runs(Query(), None).rows[0].phase == "Completed"
    objects.put(run(), deleted=True)
    objects.put(cluster(), deleted=True)
    assert index.runs(Query(), None).total == 0
    assert index.cluster("site-a") is None


def test_runs_of_a_cluster_are_those_that_are_decided_or_reported(objects):
    index = Index(objects)
    objects.put(run())
    objects.put(decision("site-b"))
    assert index.on(index.run("ns", "digits")) == {"site-a", "site-b"}
    assert index.runs(Query(cluster="site-b"), None).matching == 1
    assert index.active_on_clusters(None) == {"site-a": ["ns/digits"], "site-b": ["ns/digits"]}
    objects.put(decision("site-b"), deleted=True)
    assert index.runs(Query(cluster="site-b"), None).matching == 0


def test_nothing_of_other_namespaces_is_found(objects):
    index = Index(objects)
    objects.put(run())
    objects.put(run("secret", "other"))
    mine = frozenset({"ns"})
    assert names(index.runs(Query(), mine)) == ["digits"]
    assert index.runs(Query(), mine).total == 1
    assert index.runs(Query(namespace="other"), mine).matching == 0
    assert index.active_on_clusters(mine) == {"site-a": ["ns/digits"]}
    assert index.runs(Query(), frozenset()).total == 0


def test_a_heartbeat_rings_no_bell(objects):
    index = Index(objects)
    objects.put(cluster())
    rung = []
    index.clusters_changed.ring = lambda: rung.append(1)
    beat = cluster()
    beat["metadata"]["resourceVersion"] = "9"
    objects.put(beat)
    assert rung == []
    objects.put(cluster(data="x"))
    assert rung == [1]
