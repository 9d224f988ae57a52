#!/usr/bin/env python3
"""Runs Flower's public examples on real nodes: a hub and three spokes with containers, panal from deploy/panal.yaml.

    run_on_nodes.py images FOLDER APPS [NAME...]   images and run.yaml of what public_apps.py made with --clusters 3
    run_on_nodes.py up FOLDER                      clusters (or again), with these images
    run_on_nodes.py run FOLDER [NAME...]           one run after the other, by `panal run -f run.yaml`
    run_on_nodes.py down FOLDER

An example has the run.yaml of `panal package`, with a number of clusters, and the image that its Containerfile makes; but what
it installs is replaced by one layer that all examples share (Containerfile beside this file). Needs what the tests on real nodes need
(docs/design/testing.md), and panal's own images in .cache/images (`make images`).
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tests" / each) for each in ("testenv", "support", "examples")]

import clusters  # noqa: E402
import images  # noqa: E402
import pages  # noqa: E402
from fleet import Fleet  # noqa: E402
from public_apps import EXAMPLES  # noqa: E402

SPOKES = 3
DEBIAN, SHARED = "localhost/panal-examples/debian:trixie", "localhost/panal-examples/shared:1"
PACKAGES = f"{images.PACKAGES},python3-torch,python3-torchvision"
PANAL = (sys.executable, "-m", "panal.cli.main")
OCI_NAME, CONTAINERD_NAME = "org.opencontainers.image.ref.name", "io.containerd.image.name"


# --- images ------------------------------------------------------------------------------------------------------
def make_images(folder: Path, apps: Path, names: list[str]) -> None:
    store = folder / "store"
    store.mkdir(parents=True, exist_ok=True)
    made = images.buildah(store, "images", "--format", "{{.Name}}:{{.Tag}}", capture=True).split()
    if DEBIAN not in made:
        images.base(store, DEBIAN, "trixie", PACKAGES)
    if SHARED not in made:
        images.build(store, ROOT / "tests/examples", SHARED, folder / "shared.tar", "")
        (folder / "shared.tar").unlink()
    shutil.rmtree(folder / "layout", ignore_errors=True)
    for name in names:
        tag = f"docker.io/panal-examples/{name}:1"
        file = package(name, tag, apps / name, folder / name)
        images.buildah(store, "build", "--quiet", "--pull-never", "-f", str(file), "-t", tag, str(apps / name))
        images.buildah(store, "push", "--quiet", "--disable-compression", tag, f"oci:{folder}/layout:{tag}")
    name_for_containerd(folder / "layout/index.json")
    subprocess.run(["tar", "-cf", str(folder / "examples.tar"), "-C", str(folder / "layout"), "."], check=True)
    shutil.rmtree(folder / "layout")


def package(name: str, tag: str, app: Path, target: Path) -> Path:
    """Its Containerfile."""
    subprocess.run([*PANAL, "package", str(app), "--image", tag, "--output", str(target), "--force"], check=True)
    file = target / "Containerfile.shared"
    file.write_text(on_shared_layer((target / "Containerfile").read_text()))
    run = yaml.safe_load((target / "run.yaml").read_text())
    run["spec"]["server"]["minAvailableClients"] = min(EXAMPLES[name].clusters, SPOKES)
    run["spec"]["client"]["placement"]["numberOfClusters"] = min(EXAMPLES[name].clusters, SPOKES)
    if EXAMPLES[name].fewer:
        run["spec"]["server"]["runConfig"] = dict(EXAMPLES[name].fewer)
    (target / "run.yaml").write_text(yaml.safe_dump(run, sort_keys=False))
    return file


def on_shared_layer(containerfile: str) -> str:
    """The last stage of what `panal package` wrote; what the first one installs is in the shared image."""
    last = containerfile[containerfile.rindex("\nFROM ") :].replace("COPY --from=build /opt/app /opt/app\n", "")
    return re.sub(r"\nFROM \S+", f"FROM {SHARED}", last).replace("COPY --from=build /app /app", "COPY . /app/")


def name_for_containerd(index: Path) -> None:
    content = json.loads(index.read_text())
    for manifest in content["manifests"]:
        manifest["annotations"][CONTAINERD_NAME] = manifest["annotations"][OCI_NAME]
    index.write_text(json.dumps(content))


# --- clusters ----------------------------------------------------------------------------------------------------
def up(folder: Path) -> None:
    hub, *spokes = clusters.up(folder / "nodes", SPOKES, nodes=True, policies=True)
    archives = ROOT / ".cache/images"
    clusters.load(folder / "nodes", [archives / "pod-tools.tar", archives / "gateway.tar", folder / "examples.tar"])
    clusters.load(folder / "nodes", [archives / "controller.tar"], only="hub")
    hub.kubectl("apply", "-f", str(ROOT / "deploy/panal.yaml"))
    hub.kubectl("-n", "panal-system", "rollout", "status", "deployment/panal-controller", "--timeout=120s")
    hub.kubectl("apply", "--server-side", "--field-manager=panal-placements", "-f", str(ROOT / "deploy/all-clusters.yaml"))
    pages.kubeconfig((hub, *spokes), folder)


# --- runs --------------------------------------------------------------------------------------------------------
def run(folder: Path, name: str) -> None:
    """As a user does, and what there is afterwards on the hub's volume."""
    command = [*PANAL, "run", "-f", str(folder / name / "run.yaml"), "-n", "examples", "--create-namespace", "--context", "hub"]
    print(f"### {name}", flush=True)
    done = subprocess.run(command, env=os.environ | {"KUBECONFIG": str(folder / "kubeconfig")}, stdin=subprocess.DEVNULL, check=False)
    hub, *spokes = clusters.clusters(folder / "nodes")
    status = json.loads(hub.kubectl("-n", "examples", "get", "fl", name, "-o", "json"))["status"]
    print(f"exit code {done.returncode}")
    for each in status.get("collaborators", []):
        print(f"    {each['cluster']}: round {each.get('round')}, {json.dumps(each.get('metrics', {}))}")
    print(Fleet(folder / "nodes", hub, tuple(spokes)).enter("hub", "sh", "-c", f"cd /srv/*/examples/{name}/* && find . -type f | sort"))
    hub.kubectl("-n", "examples", "delete", "fl", name, "--timeout=120s")


def main(command: str, folder: Path, *rest: str) -> None:
    match command, rest:
        case "images", (apps, *names):
            make_images(folder, Path(apps).resolve(), names or [*EXAMPLES])
        case "up", ():
            up(folder)
        case "run", [*names]:
            for name in names or EXAMPLES:
                run(folder, name)
        case "down", ():
            clusters.down(folder / "nodes")
        case _:
            sys.exit(__doc__)


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    main(sys.argv[1], Path(sys.argv[2]).resolve(), *sys.argv[3:])
