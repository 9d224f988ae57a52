#!/usr/bin/env python3
"""Real Kubernetes control planes with real Open Cluster Management, as plain processes on this machine.

    clusters.py up DIR [--nodes [--policies]] [--spokes 2] [--only-api] [--scheduler] [--audit] [--name cluster]
                                                       start (or restart) everything
    clusters.py down DIR                               stop everything, keep the data
    clusters.py status DIR                             what runs, and where its log is
    clusters.py load DIR ARCHIVE...                    put images (docker-archive files) on every node
    clusters.py enter DIR CLUSTER [COMMAND...]         run a command on a cluster's node, by default a shell
    clusters.py kill DIR CLUSTER PROCESS               end one process with SIGKILL, such as kube-apiserver
    clusters.py start DIR CLUSTER PROCESS              start it again
    clusters.py cut DIR CLUSTER                        cut the cable between a cluster's node and all others
    clusters.py restore DIR CLUSTER                    plug it in again

`up` makes one cluster `hub` and `--spokes` clusters cluster1, cluster2, ... Each is an etcd, a kube-apiserver and a
kube-controller-manager of its own (a managed cluster's agent owns global objects, so clusters cannot share a server).
On the hub run OCM's registration, placement, work and add-on controllers; for each spoke its registration and work agents,
which join the hub by themselves. Without `--nodes`, Jobs make Pods, but nothing runs them unless you do; with it each cluster
has a node that really runs containers, and its servers listen on the node's address (see node.py; that needs root).
`--only-api` leaves OCM out and starts only the hub. `--scheduler` binds Pods to nodes that you bring yourself.
`--audit` has every API server write who asked for what to log/audit.log.
`--policies` has every node enforce NetworkPolicies (kube-network-policies), for what Pods send to their own node as well.

Written under DIR: `<cluster>/admin.kubeconfig` (system:masters), `<cluster>/log/*.log`, `<cluster>/pid/*`.
Needs `openssl`; the programs come from the folder that KUBEBUILDER_ASSETS names. Fsync is off: not for measuring durability.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import ocm
import ocm_grpc
from bridge import Bridge
from cluster import AUDIT, Cluster
from processes import wait


def up(
    root: Path,
    spokes: int = 2,
    *,
    name: str = "cluster",
    only_api: bool = False,
    nodes: bool = False,
    scheduler: bool = False,
    audit: bool = False,
    policies: bool = False,
    grpc: bool = False,
) -> list[Cluster]:
    """Start the hub and its spokes, and wait until every spoke is Available and every node is Ready. `grpc`: they join by gRPC."""
    made = Path(root, "hub", "ports.json").exists()
    if nodes and made and not Bridge.exists(root):
        sys.exit(f"{root} was made without nodes; choose another folder")
    bridge = Bridge(root) if nodes or Bridge.exists(root) else None
    names = ["hub"] + ([] if only_api else [f"{name}{i}" for i in range(1, spokes + 1)])
    hub, *others = (Cluster(root, n, i, bridge) for i, n in enumerate(names))
    for cluster in (hub, *others) if audit else ():
        (cluster.dir / "audit.json").write_text(json.dumps(AUDIT))
    if bridge:
        bridge.up({c.name: c.ip for c in clusters(root)})
    start(hub, others, only_api=only_api, grpc=grpc)
    for spoke in others:
        wait(f"{spoke.name}: available on the hub", lambda spoke=spoke: ocm.available(hub, spoke.name), 120)
    for cluster in clusters(root):
        if scheduler:
            cluster.start_scheduler()
        if cluster.machine:
            wait(f"{cluster.machine.name}: ready", cluster.machine.ready, 120)
            if policies:
                options = (f"--kubeconfig={cluster.kubeconfig}", f"--hostname-override={cluster.machine.name}")
                cluster.start("kube-network-policies", *options, "--input")
        check_processes(cluster)
    return [hub, *others]


def start(hub: Cluster, others: list[Cluster], *, only_api: bool, grpc: bool) -> None:
    """All API servers at once; each spoke joins as soon as its own and the hub's are there."""
    joining = ocm_grpc if grpc else ocm
    with ThreadPoolExecutor() as pool:
        started = [pool.submit(c.start_api) for c in (hub, *others)]
        started[0].result()
        if not only_api:
            joining.start_hub(hub)
        for spoke, ready in zip(others, started[1:], strict=True):
            ready.result()
            joining.start_spoke(spoke, hub)


def check_processes(cluster: Cluster) -> None:
    for name in cluster.processes.names():
        if not cluster.processes.running(name):
            sys.exit(f"{cluster.name}: {name} has ended; see {cluster.processes.logs / name}.log")


def down(root: Path) -> None:
    for cluster in reversed(clusters(root)):
        cluster.stop()
    if Bridge.exists(root):
        Bridge(root).down()


def clusters(root: Path) -> list[Cluster]:
    """What was made in a folder, the hub first."""
    bridge = Bridge(root) if Bridge.exists(root) else None
    names = sorted(p.parent.name for p in root.glob("*/ports.json"))
    return [Cluster(root, n, bridge=bridge) for n in sorted(names, key=lambda n: n != "hub")]


def find(root: Path, name: str) -> Cluster:
    for cluster in clusters(root):
        if cluster.name == name:
            return cluster
    sys.exit(f"no cluster {name} in {root}; there are {', '.join(c.name for c in clusters(root))}")


def status(root: Path) -> None:
    for cluster in clusters(root):
        if cluster.machine:
            print(f"{cluster.name}\tmachine\t{'runs' if cluster.machine.pid else 'DEAD'}\t{cluster.machine.ip}")
        for name in cluster.processes.names():
            state = "runs" if cluster.processes.running(name) else "DEAD"
            print(f"{cluster.name}\t{name}\t{state}\t{cluster.processes.logs / name}.log")


def load(root: Path, archives: list[Path], only: str = "") -> None:
    """Put images on every node, or on that of one cluster; all nodes at once."""
    machines = [c.machine for c in clusters(root) if c.machine and only in ("", c.name)]
    with ThreadPoolExecutor() as pool:
        list(pool.map(lambda machine: [machine.load(a) for a in archives], machines))


def cable(root: Path, name: str, *, plugged: bool) -> None:
    machine = find(root, name).machine
    if not machine or not machine.pid:
        sys.exit(f"{name}: no machine of that name runs")
    machine.cable(plugged=plugged)


def enter(root: Path, name: str, *command: str) -> None:
    machine = find(root, name).machine
    if not machine or not machine.pid:
        sys.exit(f"{name}: no machine of that name runs")
    os.execvp("nsenter", machine.enter(*(command or ("bash",))))


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    make = commands.add_parser("up")
    make.add_argument("dir", type=Path)
    make.add_argument("--spokes", type=int, default=2)
    make.add_argument("--name", default="cluster", help="prefix of the spokes' names")
    make.add_argument("--only-api", action="store_true")
    make.add_argument("--nodes", action="store_true", help="give each cluster a node")
    make.add_argument("--scheduler", action="store_true", help="run a scheduler without nodes, too")
    make.add_argument("--audit", action="store_true")
    make.add_argument("--grpc", action="store_true", help="the spokes join by gRPC and have no access to the hub's API")
    make.add_argument("--policies", action="store_true", help="enforce NetworkPolicies on the nodes")
    for command, names in {
        "down": (),
        "status": (),
        "load": ("archives",),
        "enter": ("cluster", "arguments"),
        "kill": ("cluster", "process"),
        "start": ("cluster", "process"),
        "cut": ("cluster",),
        "restore": ("cluster",),
    }.items():
        sub = commands.add_parser(command)
        sub.add_argument("dir", type=Path)
        for name in names:
            sub.add_argument(name, **({"nargs": argparse.REMAINDER} if name in ("archives", "arguments") else {}))
    return parser.parse_args()


def main() -> None:
    args = arguments()
    root = args.dir.resolve()
    match args.command:
        case "up":
            options = {k: v for k, v in vars(args).items() if k not in ("command", "dir", "spokes")}
            for cluster in up(root, args.spokes, **options):
                print(f"{cluster.name}\t{cluster.url}\t{cluster.kubeconfig}")
        case "down":
            down(root)
        case "status":
            status(root)
        case "load":
            load(root, [Path(a) for a in args.archives])
        case "enter":
            enter(root, args.cluster, *args.arguments)
        case "kill":
            find(root, args.cluster).processes.end(args.process, kill=True)
        case "start":
            find(root, args.cluster).processes.start_again(args.process)
        case "cut" | "restore":
            cable(root, args.cluster, plugged=args.command == "restore")


if __name__ == "__main__":
    main()
