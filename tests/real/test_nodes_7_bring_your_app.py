"""docs/how-to/bring-your-flower-app.md on real nodes, followed literally from the image on. The first half is in local/tests/platform."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import pages
from fleet import Fleet
from processes import assets

pytestmark = [pytest.mark.real, pytest.mark.nodes, pytest.mark.long]

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs/how-to/bring-your-flower-app.md"
DOCKER = ROOT / "tests/support/docker.py"


def clean(fleet: Fleet) -> None:
    fleet.hub.kubectl("delete", "namespace", "heights", "--ignore-not-found", "--timeout=120s")
    for spoke in fleet.spokes:
        spoke.kubectl("delete", "clusterclaim", "people.example.com", "--ignore-not-found")
        spoke.kubectl("-n", "panal-collaborator", "delete", "pod/fill", "pvc/people", "--ignore-not-found", "--timeout=60s")


@pytest.fixture(scope="module")
def said(nodes: Fleet, images: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("bring")
    (folder / "bin").mkdir()
    (folder / "bin/docker").symlink_to(DOCKER)
    path = f"{folder}/bin:{Path(sys.executable).parent}:{assets()}:{os.environ['PATH']}"
    kubeconfig = pages.kubeconfig((nodes.hub, *nodes.spokes), folder)
    own = {"PANAL_TEST_STORE": str(images / "store"), "PANAL_TEST_FLEET": str(nodes.root), "PANAL_HOME": str(folder / "home")}
    env = {**os.environ, **own, "KUBECONFIG": str(kubeconfig), "TMPDIR": str(folder), "PATH": path}
    clean(nodes)
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", pages.script(pages.commands(PAGE, "", "hub"))],
        cwd=ROOT, env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
    )  # fmt: skip
    print(done.stdout, done.stderr)
    assert done.returncode == 0, f"{done.stdout[-4000:]}\n{done.stderr[-4000:]}"
    yield done.stdout
    clean(nodes)


def test_the_app_trains_on_the_sites_data_and_its_log_is_its_own(said: str) -> None:
    assert re.search(r"Completed: model after 3 rounds at pvc://models/heights/heights/", said)
    assert re.search(r"^weight = 0\.\d\d kg/cm \* height -\d\d\.\d kg$", said, re.MULTILINE)
    assert "uvicorn" not in said


def test_the_clusters_without_data_do_not_take_part(said: str) -> None:
    run = said.split("### 6")[1]
    assert all(f"cluster{number} takes part" in run for number in (1, 2, 3))
    assert "cluster4" not in run


def test_the_run_asks_for_the_claim(said: str, nodes: Fleet) -> None:
    found = json.loads(nodes.hub.kubectl("-n", "heights", "get", "fl", "heights", "-o", "json"))
    assert found["spec"]["client"]["dataClaim"] == "people.example.com"
    assert found["status"]["clients"]["selected"] == 3
