#!/usr/bin/env python3
"""Runs Flower's public examples on real nodes: a hub and three spokes with containers, panal from deploy/panal.yaml.

    run_on_nodes.py images FOLDER APPS [NAME...]   images and run.yaml of what public_apps.py made with --clusters 3
    run_on_nodes.py up FOLDER                      clusters (or again), with these images
    run_on_nodes.py run FOLDER [NAME...]           one run after the other, by `panal run -f run.yaml`
    run_on_nodes.py down FOLDER

An example has the run.yaml of `panal package`, with a number of clusters. Its image is not made of the Containerfile of `panal package`,
but of one that all examples share (beside this file), with the example's folder on top. Needs what the tests on real nodes need
(docs/design/testing.md), and panal's own images in .cache/images (`make images`).
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Any

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


# --- images ------------------------------------------------------------------------------------------------------
def make_images(folder: Path, apps: Path, names: list[str]) -> None:
    store, layout = folder / "store", folder / "layout"
    store.mkdir(parents=True, exist_ok=True)
    made = images.buildah(store, "images", "--format", "{{.Name}}:{{.Tag}}", capture=True).split()
    if DEBIAN not in made:
        images.base(store, DEBIAN, "trixie", PACKAGES)
    if SHARED not in made:
        images.build(store, ROOT / "tests/examples", SHARED, folder / "shared.tar", "")
        (folder / "shared.tar").unlink()
    if not layout.exists():
        images.buildah(store, "push", "--quiet", SHARED, f"oci:{layout}:{SHARED}")
    shared = json.loads(read(layout, json.loads((layout / "index.json").read_text())["manifests"][0]["digest"]))
    found = []
    for name in names:
        tag = f"docker.io/panal-examples/{name}:1"
        write_run(name, tag, apps / name, folder / name)
        found.append(with_app(layout, shared, apps / name) | {"annotations": {"io.containerd.image.name": tag}})
    (folder / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": found}))
    parts = ("-C", str(layout), "oci-layout", "blobs", "-C", str(folder), "index.json")
    subprocess.run(["tar", "-cf", str(folder / "examples.tar"), *parts], check=True)


def with_app(layout: Path, shared: dict[str, Any], app: Path) -> dict[str, Any]:
    """An image like the shared one with the app's folder on top: a layer of its own, so that the archive holds the rest once."""
    layer = io.BytesIO()
    with tarfile.open(fileobj=layer, mode="w") as tar:
        tar.add(app, "app")
    added = blob(layout, layer.getvalue(), "application/vnd.oci.image.layer.v1.tar")
    config = json.loads(read(layout, shared["config"]["digest"]))
    config["rootfs"]["diff_ids"].append(added["digest"])
    described = blob(layout, json.dumps(config | {"history": []}).encode(), shared["config"]["mediaType"])
    manifest = shared | {"config": described, "layers": [*shared["layers"], added]}
    return blob(layout, json.dumps(manifest).encode(), "application/vnd.oci.image.manifest.v1+json")


def blob(layout: Path, content: bytes, kind: str) -> dict[str, Any]:
    digest = hashlib.sha256(content).hexdigest()
    (layout / "blobs/sha256" / digest).write_bytes(content)
    return {"mediaType": kind, "digest": f"sha256:{digest}", "size": len(content)}


def read(layout: Path, digest: str) -> bytes:
    return (layout / "blobs" / digest.replace(":", "/")).read_bytes()


def write_run(name: str, tag: str, app: Path, target: Path) -> None:
    subprocess.run([*PANAL, "package", str(app), "--image", tag, "--output", str(target), "--force"], check=True, stdout=subprocess.DEVNULL)
    run = yaml.safe_load((target / "run.yaml").read_text())
    clusters = min(EXAMPLES[name].clusters, SPOKES)
    run["spec"]["server"]["minAvailableClients"] = clusters
    run["spec"]["client"]["placement"]["numberOfClusters"] = clusters
    if EXAMPLES[name].fewer:
        run["spec"]["server"]["runConfig"] = dict(EXAMPLES[name].fewer)
    (target / "run.yaml").write_text(yaml.safe_dump(run, sort_keys=False))


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
def run(folder: Path, example: str) -> None:
    """As a user does, and what there is afterwards on the hub's volume."""
    file = folder / example / "run.yaml"
    name = yaml.safe_load(file.read_text())["metadata"]["name"]
    command = [*PANAL, "run", "-f", str(file), "-n", "examples", "--create-namespace", "--context", "hub"]
    print(f"### {example}", flush=True)
    hub, *spokes = clusters.clusters(folder / "nodes")
    hub.kubectl("-n", "examples", "delete", "fl", name, "--ignore-not-found", "--timeout=120s")  # of an earlier time
    done = subprocess.run(command, env=os.environ | {"KUBECONFIG": str(folder / "kubeconfig")}, stdin=subprocess.DEVNULL, check=False)
    status = json.loads(hub.kubectl("-n", "examples", "get", "fl", name, "-o", "json"))["status"]
    print(f"exit code {done.returncode}")
    for each in status.get("collaborators", []):
        print(f"    {each['cluster']}: round {each.get('round')}, {json.dumps(each.get('metrics', {}))}")
    shown = f"cd /srv/*/examples/{name}/* && find . -type f | sort || echo no files"
    print(Fleet(folder / "nodes", hub, tuple(spokes)).enter("hub", "sh", "-c", shown))


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
