"""Partitions of clusters, which never change during a run."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from panal.api.names import ANNOTATION_PARTITION, ClusterName
from panal.hub.works import view
from panal.lifecycle import partitions
from panal.lifecycle.decide import decide
from panal.lifecycle.world import Object, PlacementView, WorkView, World
from panal.runtimes import Partition
from worlds import NOW, ago, applied, names_of, running, work


def named(**numbers: tuple[int, int]) -> dict[str, Partition]:
    return {name: Partition(*pair) for name, pair in numbers.items()}


def existing(**numbers: tuple[int, int]) -> dict[ClusterName, WorkView]:
    """Works with these partitions."""
    found = {}
    for name, pair in numbers.items():
        found[ClusterName(name)] = replace(work(1), cluster=ClusterName(name), partition=Partition(*pair))
    return found


@pytest.mark.parametrize(
    ("participants", "works", "expected"),
    [
        ("c a b", {}, named(a=(0, 3), b=(1, 3), c=(2, 3))),
        ("a b c", {"a": (0, 3), "c": (2, 3)}, named(a=(0, 3), b=(1, 3), c=(2, 3))),  # after a restart of the controller
        ("a b c aa", {"a": (0, 3), "b": (1, 3), "c": (2, 3)}, named(a=(0, 3), b=(1, 3), c=(2, 3), aa=(3, 4))),
        ("a c", {"a": (0, 3), "b": (1, 3), "c": (2, 3)}, named(a=(0, 3), c=(2, 3))),
        ("a c d", {"a": (0, 3), "b": (1, 3), "c": (2, 3)}, named(a=(0, 3), c=(2, 3), d=(3, 4))),  # b's work still exists
        ("a c d", {"a": (0, 3), "c": (2, 3)}, named(a=(0, 3), c=(2, 3), d=(1, 3))),  # b's partition is free
        ("a c d e", {"a": (0, 3), "c": (2, 3), "d": (3, 4)}, named(a=(0, 3), c=(2, 3), d=(3, 4), e=(1, 3))),
        ("a b c d", {"a": (0, 1), "b": (1, 3), "c": (2, 3)}, named(a=(0, 1), b=(1, 3), c=(2, 3), d=(3, 4))),  # a has changed its own
        ("c d e f", {"e": (4, 5), "d": (3, 4), "c": (2, 3)}, named(c=(2, 3), d=(3, 4), e=(4, 5), f=(0, 3))),  # a and b have left
        ("a b d", {"a": (0, 9), "b": (1, 3), "c": (2, 3)}, named(a=(0, 9), b=(1, 3), d=(3, 4))),
        ("", {}, {}),
    ],
)
def test_numbers(participants: str, works: dict[str, Any], expected: dict[str, Partition]) -> None:
    wanted = [ClusterName(name) for name in participants.split()]
    assert partitions.assign(wanted, existing(**works)) == expected


def test_works_of_an_older_version_have_no_partition() -> None:
    former = {ClusterName("a"): work(1)}
    assert partitions.assign([ClusterName("a"), ClusterName("b")], former) == named(a=(0, 2), b=(1, 2))


def container(manifestwork: Object) -> Object:
    sets = [m for m in manifestwork["spec"]["workload"]["manifests"] if m["kind"] == "StatefulSet"]
    found: Object = sets[0]["spec"]["template"]["spec"]["containers"][0]
    return found


def numbers(manifestwork: Object) -> tuple[str, str]:
    env = {entry["name"]: entry.get("value", "") for entry in container(manifestwork)["env"]}
    return env["PANAL_PARTITION_ID"], env["PANAL_NUM_PARTITIONS"]


def taken_over(world: World, made: list[Object], *gone: str) -> World:
    """The world of a restarted controller after these works were applied."""
    kept = [m for m in made if m["metadata"]["namespace"] not in gone]
    uid = {"uid": "u", "creationTimestamp": ago(5).isoformat()}
    views = [view(m | {"metadata": m["metadata"] | uid}) for m in kept]
    return replace(world, works={v.cluster: v for v in views})


@pytest.mark.parametrize("text", ["", "1", "a/b", "/", "1/", "²/³", "-1/2", f"{'9' * 5000}/1"])
def test_an_invalid_annotation_is_no_partition(text: str) -> None:
    stateful_set = {"kind": "StatefulSet", "metadata": {"annotations": {ANNOTATION_PARTITION: text}}}
    assert partitions.read(partitions.text([stateful_set])) is None


def test_partitions_stay_when_clusters_join_and_leave() -> None:
    start = running(works={}, placement=PlacementView(selected=names_of(1, 3)))
    made = applied(decide(start, NOW), "ManifestWork")
    assert [numbers(m) for m in made] == [("0", "2"), ("1", "2")]

    joined = taken_over(replace(start, placement=PlacementView(selected=names_of(1, 2, 3))), made)
    again = applied(decide(joined, NOW), "ManifestWork")
    assert [numbers(m) for m in again] == [("0", "2"), ("2", "3"), ("1", "2")]
    assert [container(again[0]), container(again[2])] == [container(m) for m in made]  # so nothing restarts

    replaced = taken_over(replace(start, placement=PlacementView(selected=names_of(2, 3))), made, "cluster1")
    assert [numbers(m) for m in applied(decide(replaced, NOW), "ManifestWork")] == [("0", "2"), ("1", "2")]


def test_thousands_of_clusters_have_unique_partitions() -> None:
    many = [ClusterName(f"c{n:05}") for n in range(3500)]
    found = partitions.assign(many, {})
    assert [found[name] for name in many] == [Partition(n, 3500) for n in range(3500)]
