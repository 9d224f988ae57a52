"""docs/how-to/real-hub.md, followed literally: its commands are run one after the other, as they stand, on a hub and four spokes."""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path

import pytest

import pages
from fleet import Fleet
from processes import assets

pytestmark = [pytest.mark.real, pytest.mark.nodes]

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs/how-to/real-hub.md"
ROW = re.compile(r"^(all|\d)\s+([\d. ]+)$", re.MULTILINE)


def commands() -> str:
    """The page's bash blocks as one script that says which block it is at."""
    blocks = re.findall(r"^```bash\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    assert len(blocks) > 6
    return "".join(f"echo '### {number}'\n{block}" for number, block in enumerate(blocks))


def begin(fleet: Fleet) -> None:
    """As the page begins: a hub without panal, and nothing of a time before."""
    fleet.hub.kubectl("delete", "fl", "--all", "-A", "--timeout=120s")
    fleet.hub.kubectl("delete", "namespace", "mnist", "--ignore-not-found", "--timeout=120s")
    fleet.hub.kubectl("delete", "-f", str(ROOT / "deploy/panal.yaml"), "--timeout=120s")


@pytest.fixture(scope="module")
def said(nodes: Fleet, tmp_path_factory: pytest.TempPathFactory) -> str:
    """What the commands print."""
    folder = tmp_path_factory.mktemp("how-to")
    begin(nodes)
    env = {
        **os.environ,
        "KUBECONFIG": str(pages.kubeconfig((nodes.hub, *nodes.spokes), folder)),
        "TMPDIR": str(folder),
        "PATH": f"{assets()}:{os.environ['PATH']}",
    }
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", commands()],
        cwd=ROOT,
        env=env,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    print(done.stdout)
    assert done.returncode == 0, f"{done.stdout[-4000:]}\n{done.stderr[-4000:]}"
    return done.stdout


def test_the_federated_model_is_nearly_as_good_as_the_central_one_and_better_than_each_alone(said: str) -> None:
    header = next(line for line in said.splitlines() if line.startswith("digit ")).split()
    rows = {m[1]: dict(zip(header[1:], map(float, m[2].split()), strict=True)) for m in ROW.finditer(said)}
    assert set(rows) == {"all", *map(str, range(10))}
    accuracy = rows["all"]
    assert accuracy["federated"] >= 0.92
    assert accuracy["federated"] >= accuracy["central"] - 0.03
    assert all(accuracy["federated"] > accuracy[f"cluster{n}"] for n in (1, 2, 3))


def test_the_story_is_whole(said: str) -> None:
    story = ["cluster1 takes part", "cluster3 takes part", "round 1 of 5 completed", "round 5 of 5 completed", "model.safetensors (sha256:"]
    places = [said.index(words) for words in story]
    assert places == sorted(places)
    watched = said.split("### 4")[1].split("### 5")[0]
    assert re.search(r"Waiting .* 0/5 .*Running .* 0/5 .*Running .* 1/5 .*Running .* 5/5 ", watched, re.DOTALL)
    assert "cluster4" not in said.split("### 4")[1].split("### 6")[0]
    assert re.search(r"^cluster2 Done \{.*accuracy.*\}$", said, re.MULTILINE)


def test_nothing_of_the_sites_is_touched(said: str, nodes: Fleet) -> None:
    """The run and then all of panal were removed; the site's namespace, claim and data are there."""
    for spoke in nodes.spokes[:3]:
        claim = json.loads(spoke.kubectl("-n", "panal-collaborator", "get", "pvc", "digits", "-o", "json"))
        assert claim["status"]["phase"] == "Bound"
        assert int(nodes.enter(spoke.name, "stat", "-c", "%s", f"/srv/{claim['spec']['volumeName']}/train.npz")) > 100_000
        assert spoke.kubectl("-n", "panal-collaborator", "get", "statefulsets,pods,configmaps", "-l", "fl.panal/run", "-o", "name") == ""


def test_nothing_of_panal_is_left_on_the_hub(said: str, nodes: Fleet) -> None:
    assert nodes.hub.kubectl("get", "crd", "federatedlearnings.federation-ai.open-cluster-management.io", "--ignore-not-found") == ""
    assert nodes.hub.kubectl("get", "namespace", "panal-system", "--ignore-not-found") == ""
    kinds = "clusterroles,clusterrolebindings,validatingadmissionpolicies,validatingadmissionpolicybindings"
    assert "panal" not in nodes.hub.kubectl("get", kinds, "-o", "name")
