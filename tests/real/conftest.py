"""Real clusters for the tests of this folder, each kind started once when the first test asks for it.

    hub_api   one API server with the CRDs of Open Cluster Management: 10 s
    embedded_api  the local platform's API server: a second
    placement_api  the same with Open Cluster Management's placement controller: 11 s
    bare_api  an API server whose own controllers are off: 10 s
    empty_api an API server without any CRD: 10 s
    ocm       a hub and two spokes that joined it, without nodes: 25 s
    grpc      the same, where the spokes joined through OCM's gRPC server: 25 s
    images    the archives of the images, built where they are not up to date: 3 minutes the first time
    kubernetes a hub and four spokes, the nodes of which are panal's own: 40 s
    five_sites the same with five spokes
    nodes     a hub and four spokes with real nodes, the images on them, panal installed from deploy/panal.yaml

What is missing on this machine skips a test and names the remedy; where CI is set it fails. With PANAL_TEST_CLUSTERS=FOLDER the
clusters are kept there when the tests end, and used again the next time: `tests/testenv/clusters.py down FOLDER/nodes` ends them.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from xdist.scheduler import LoadScopeScheduling

import clusters
from bridge import missing_packages
from cluster import Cluster
from containers import Containers
from embedded import Embedded
from fleet import Fleet, leftovers
from kubernetes import Kubernetes
from ocm import HUB_CRDS, start_placement
from panal.kube import kinds
from processes import wait
from runs import label_clusters, until_all_take_part

ROOT = Path(__file__).parents[2]
IMAGES = ROOT / ".cache/images"
MANIFEST, ALL_CLUSTERS = ROOT / "deploy/panal.yaml", ROOT / "deploy/all-clusters.yaml"
BUILDERS = {"buildah": "buildah", "crun": "crun", "mmdebstrap": "mmdebstrap", "make": "make"}
SPOKES = 4
READ_BY_EXPLAIN = (
    kinds.FEDERATED_LEARNING,
    kinds.MANAGED_CLUSTER,
    kinds.MANAGED_CLUSTER_SET,
    kinds.MANAGED_CLUSTER_SET_BINDING,
    kinds.PLACEMENT,
    kinds.PLACEMENT_DECISION,
    kinds.ADDON_PLACEMENT_SCORE,
    kinds.MANAGED_CLUSTER_ADDON,
    kinds.CLUSTER_MANAGEMENT_ADDON,
    kinds.ADDON_DEPLOYMENT_CONFIG,
)
SHARED = ("hub_api", "placement_api", "ocm")  # clusters of several modules, which stay in one process and in their order
OWN_API = "test_site_controller"  # in a process of its own: all modules with hub_api in one process take too long


class Grouped(LoadScopeScheduling):
    """For `-n NUMBER --dist loadgroup`: each module is in one process, and so are those that share clusters. The groups of xdist itself
    do nothing with pytest 9.2, which keeps the names of tests as they are."""

    @staticmethod
    def _split_scope(nodeid: str) -> str:
        return group(nodeid.partition("::")[0])


@cache
def group(module: str) -> str:
    words = set(re.findall(r"\w+", (ROOT / module).read_text()))
    return next((name for name in SHARED if name in words and OWN_API not in module), module)


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Grouped | None:
    return Grouped(config, log) if config.getvalue("dist") == "loadgroup" else None


def need(problems: list[str]) -> None:
    if problems:
        pytest.skip("; ".join(problems))  # a failure where CI is set: see conftest.py


def programs_missing() -> list[str]:
    folder = os.environ.get("KUBEBUILDER_ASSETS")
    if folder and (Path(folder) / "kube-apiserver").exists():
        return []
    return ["no Kubernetes programs: unpack them and set KUBEBUILDER_ASSETS to their folder (docs/design/testing.md)"]


def root_missing() -> list[str]:
    return ["nodes and images need root: run the tests as root"] if os.geteuid() else []


def packages_missing() -> list[str]:
    packages = missing_packages() + sorted(p for program, p in BUILDERS.items() if not shutil.which(program))
    return [f"Debian packages are missing: apt-get install --no-install-recommends {' '.join(packages)}"] if packages else []


@contextmanager
def fleet(
    name: str,
    spokes: int = 0,
    *,
    only_api: bool = False,
    nodes: bool = False,
    scheduler: bool = False,
    keep: bool = True,
    grpc: bool = False,
) -> Iterator[Fleet]:
    """Nodes enforce NetworkPolicies. `grpc`: the spokes join through OCM's gRPC server."""
    kept = os.environ.get("PANAL_TEST_CLUSTERS") if keep else None
    root = Path(kept).resolve() / name if kept else Path(tempfile.mkdtemp(prefix=f"panal-{name}-"))
    try:
        hub, *others = clusters.up(root, spokes, only_api=only_api, nodes=nodes, scheduler=scheduler, audit=True, policies=nodes, grpc=grpc)
        yield Fleet(root, hub, tuple(others))
    finally:
        if not kept:
            clusters.down(root)
            left = leftovers(root)
            shutil.rmtree(root)
            assert not left, left


@pytest.fixture(scope="session")
def hub_api() -> Iterator[Cluster]:
    need(programs_missing())
    with fleet("api", only_api=True) as started:
        started.hub.crds(*HUB_CRDS)
        yield started.hub


@pytest.fixture(scope="session")
def embedded_api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Embedded]:
    """The local platform's API server, with kubectl to talk to it."""
    need(programs_missing())
    server = Embedded(tmp_path_factory.mktemp("embedded")).start()
    try:
        yield server
    finally:
        assert server.stop() == 0, server.log()
        print(server.log())


@pytest.fixture(scope="session")
def placement_api() -> Iterator[Cluster]:
    """An API server with the CRDs of Open Cluster Management and of panal; of the controllers only that of Placements runs."""
    need(programs_missing())
    with fleet("placement", only_api=True) as started:
        start_placement(started.hub)
        started.hub.kubectl("apply", "--server-side", "-f", str(ROOT / "charts/panal/files/crd.yaml"))
        for kind in READ_BY_EXPLAIN:  # an API server answers 429 while it prepares the storage of a new kind
            wait(str(kind), lambda kind=kind: bool(started.hub.kubectl("get", "--raw", kind.path(), check=False)), 60)
        yield started.hub


@pytest.fixture(scope="session")
def bare_api() -> Iterator[Cluster]:
    """An API server whose own controllers are off."""
    need(programs_missing())
    with fleet("bare", only_api=True) as started:
        started.kill("hub", "kube-controller-manager")
        yield started.hub


@pytest.fixture(scope="session")
def empty_api() -> Iterator[Cluster]:
    """An API server without any CRD."""
    need(programs_missing())
    with fleet("empty", only_api=True) as started:
        yield started.hub


@pytest.fixture(scope="session")
def ocm() -> Iterator[Fleet]:
    need(programs_missing())
    with fleet("ocm", 2) as started:
        yield started


@pytest.fixture(scope="module")
def grpc() -> Iterator[Fleet]:
    """Ends with its module, the only one."""
    need(programs_missing())
    with fleet("grpc", 2, grpc=True) as started:
        yield started


@pytest.fixture(scope="session")
def kubernetes() -> Iterator[Kubernetes]:
    need(programs_missing())
    with fleet("kubernetes", SPOKES, scheduler=True, keep=False) as started, Kubernetes.on(started) as engine:
        label_clusters(engine)
        until_all_take_part(engine)
        yield engine


@pytest.fixture(scope="module")
def five_sites() -> Iterator[Kubernetes]:
    """The same with five spokes."""
    need(programs_missing())
    names = [f"cluster{number}" for number in range(1, 6)]
    with fleet("five-sites", len(names), scheduler=True, keep=False) as started, Kubernetes.on(started) as engine:
        label_clusters(engine, clusters=names)
        until_all_take_part(engine, names)
        yield engine


@pytest.fixture(scope="session")
def images() -> Path:
    """The folder of the archives: controller.tar, pod-tools.tar, gateway.tar, example-<name>.tar, test-app.tar."""
    need(root_missing() + packages_missing())
    env = {k: v for k, v in os.environ.items() if not k.startswith("MAKE")}
    done = subprocess.run(
        ["make", "--silent", "images", ".cache/images/test-app.tar"],
        cwd=ROOT,
        env=env,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        pytest.fail(f"make images: {done.stdout[-2000:]}{done.stderr[-4000:]}")
    return IMAGES


@pytest.fixture(scope="session")
def nodes(images: Path) -> Iterator[Fleet]:
    need(programs_missing() + root_missing() + packages_missing())
    with fleet("nodes", SPOKES, nodes=True) as started:
        clusters.load(started.root, sorted(p for p in images.glob("*.tar") if p.name not in ("controller.tar", "example-plain.tar")))
        clusters.load(started.root, [images / "controller.tar"], only="hub")
        started.hub.kubectl("apply", "-f", str(MANIFEST))
        started.hub.kubectl("-n", "panal-system", "rollout", "status", "deployment/panal-controller", "--timeout=120s")
        started.hub.kubectl("apply", "--server-side", "--field-manager=panal-placements", "-f", str(ALL_CLUSTERS))
        yield started


@pytest.fixture(scope="module")
def grpc_nodes(images: Path) -> Iterator[Fleet]:
    """A hub and two spokes with real nodes and the images on them, where the spokes joined through OCM's gRPC server."""
    need(programs_missing() + root_missing() + packages_missing())
    with fleet("grpc-nodes", 2, nodes=True, grpc=True) as started:
        clusters.load(started.root, [images / f"{name}.tar" for name in ("pod-tools", "gateway", "test-app")])
        clusters.load(started.root, [images / "controller.tar"], only="hub")
        yield started


@pytest.fixture(scope="session")
def engine(runs: Fleet) -> Containers:
    return Containers(runs)


@pytest.fixture(scope="session")
def runs(nodes: Fleet) -> Fleet:
    """The same, ready for small runs: the tests' own app on all nodes, clusters labelled by name, a controller that is less patient."""
    label_clusters(Containers(nodes))
    until_all_take_part(Containers(nodes))
    nodes.hub.namespaces("runs")
    nodes.hub.kubectl("delete", "fl", "--all", "-A")  # of an earlier session, where clusters are kept
    limits = ("PANAL_CLEANUP_LIMIT_SECONDS=20", f"PANAL_AUTHORITY_SPREAD_SECONDS={Containers.spread}")
    nodes.hub.kubectl("-n", "panal-system", "set", "env", "deployment/panal-controller", *limits)
    nodes.hub.kubectl("-n", "panal-system", "rollout", "status", "deployment/panal-controller", "--timeout=120s")
    return nodes
