"""The picture of `panal top`."""

import os
import subprocess
import sys

import pytest
from rich.console import Console

from api import api
from panal.api import names
from panal.cli import top
from panal.kube import kinds


def run(name, phase="Running", completed=2, total=10, seconds=30.0, sites=(), **status):
    rounds = {"completed": completed, "total": total, "seconds": seconds}
    content = {"phase": phase, "rounds": rounds, "collaborators": list(sites), "clients": {"selected": len(sites)}}
    return {
        "metadata": {"namespace": "team", "name": name, "uid": name, "creationTimestamp": f"2026-01-01T00:00:0{len(name)}Z"},
        "status": content | status,
    }


def cluster(name, available="True"):
    return {"metadata": {"name": name}, "status": {"conditions": [{"type": "ManagedClusterConditionAvailable", "status": available}]}}


ADDON = {"status": {"conditions": [{"type": "Available", "status": "True"}]}}


def text(runs, clusters, addons, paces=None, width=200):
    console = Console(width=width, record=True, soft_wrap=True)
    with console.capture() as found:
        console.print(top.picture("a hub", runs, clusters, addons, paces or {}))
    return found.get()


def test_a_run_is_shown_with_its_clusters_and_the_time_left():
    sites = [
        {"cluster": "cluster1", "state": "Training", "round": 2, "seconds": 1.5, "metrics": {"loss": 0.25}},
        {"cluster": "cluster2", "state": "Failed", "reason": "NoReply", "message": "it did not reply"},
    ]
    found = text(
        [run("digits", sites=sites, headlineMetric="accuracy 0.9")],
        [cluster("cluster1"), cluster("cluster2")],
        {},
        {"digits": top.Pace(2, (30.0, 31.0, 300.0))},
    )
    lines = [line.strip("│├└─ ") for line in found.splitlines()]
    assert lines[0].startswith("hub (a hub): 2 of 2 clusters available; runs: 1 in progress, 0 ended")
    assert lines[1] == "team/digits  Running  ████░░░░░░░░░░░░░░░░ 2/10  about 4 min left  accuracy 0.9"
    assert lines[2] == "cluster1  Training  round 2  1.5 s  loss 0.25"
    assert lines[3] == "cluster2  Failed  NoReply it did not reply"


def test_the_durations_of_the_last_rounds_are_kept():
    found = None
    for completed, seconds in ((0, None), (1, 3.0), (1, 3.0), (2, 4.0), (3, 5.0), (4, 6.0), (5, 7.0), (6, 8.0)):
        found = top.pace(found, run("a", completed=completed, seconds=seconds)["status"])
    assert found == top.Pace(6, (4.0, 5.0, 6.0, 7.0, 8.0))
    assert top.pace(found, run("a", completed=1, seconds=2.0)["status"]) == top.Pace(1, (2.0,))  # it began with the first round again


def test_no_time_is_shown_before_a_round_is_complete_or_after_the_end():
    paces = {name: top.Pace(1, (30.0,)) for name in ("begun", "completed", "waiting")}
    runs = [run("begun", completed=0), run("completed", "Completed", completed=10), run("waiting", "Waiting")]
    assert "left" not in text(runs, [], {}, paces)
    assert "about 4 min left" in text([run("begun")], [], {}, paces)


def test_clusters_in_no_run_are_shown_with_what_is_wrong_first():
    clusters = [cluster("a"), cluster("b"), cluster("c", "Unknown"), cluster("d")]
    addons = {"a": ADDON, "c": ADDON, "d": {"status": {}}}
    lines = [line.strip("│├└─ ") for line in text([], clusters, addons).splitlines()]
    assert lines[2:] == ["b  no add-on fl-collaborator", "c  not available", "d  the add-on fl-collaborator is not available", "a  free"]


def test_a_large_hub_stays_on_one_screen():
    runs = [run(f"r{number}") for number in range(100)] + [run(f"e{number}", "Completed") for number in range(1000)]
    clusters = [cluster(f"c{number}") for number in range(3500)]
    lines = text(runs, clusters, {}).splitlines()
    assert len(lines) < 50
    assert "88 more in progress" in "\n".join(lines)


def test_texts_of_apps_cannot_move_the_cursor():
    found = text([run("digits", message="\x1b[2Jgone", headlineMetric="\u202eloss 1")], None, {})
    assert "\x1b[2J" not in found
    assert "\u202e" not in found
    assert "you may not list clusters" in found


SITE = {"cluster": "cluster1", "state": "Training", "round": 2, "seconds": 1.5, "metrics": {"loss": 0.2512, "accuracy": 0.8867}}


@pytest.mark.parametrize(
    ("width", "shown"),
    [
        (80, ["team/digits  Running  ████░░░░░░░░░░░░░░░░ 2/10  accuracy 0.8867",
              "cluster1  Training  round 2  1.5 s  loss 0.2512, accuracy 0.8867"]),
        (60, ["team/digits  Running  ██░░░░░░░░░░ 2/10  accuracy 0.8867", "cluster1  Training  round 2  1.5 s  loss 0.2512, …"]),
        (46, ["team/digits  Running  2/10  accuracy …", "cluster1  Training  round 2  1.5 s …"]),
        (30, ["team/digits  Running …", "cluster1  Training …"]),
    ],
)  # fmt: skip
def test_on_a_narrow_terminal_the_bar_is_shorter_and_no_number_is_cut(width, shown):
    lines = text([run("digits", sites=[SITE], headlineMetric="accuracy 0.8867")], [cluster("cluster1")], {}, width=width).splitlines()
    assert [line.strip("│├└─ ") for line in lines[1:]] == shown
    assert all(len(line) <= width for line in lines)


def test_in_a_pipe_nothing_is_cut(server):
    hub = api(server.kubeconfig)
    hub.make_namespace("team")
    spec = {"server": {"image": "a:1", "rounds": 10}, "client": {"image": "a:1", "dataClaim": "None"}}
    hub.apply({"apiVersion": names.API_VERSION, "kind": names.KIND, "metadata": {"name": "digits", "namespace": "team"}, "spec": spec})
    message = "what the run waits for " * 12
    status = run("digits", seconds=None, message=message, headlineMetric="accuracy 0.8867")["status"] | {"clients": {"selected": 1}}
    hub.patch_status(kinds.FEDERATED_LEARNING, "team", "digits", **status)
    words = [sys.executable, "-m", "panal.cli.main", "top", "--kubeconfig", str(server.kubeconfig)]
    environment = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES", "FORCE_COLOR")}
    found = subprocess.run(words, env=environment, capture_output=True, text=True, check=True).stdout
    assert "team/digits  Running  ████░░░░░░░░░░░░░░░░ 2/10  accuracy 0.8867\n" in found
    assert f"{message.strip()}\n" in found.replace(" \n", "\n")
