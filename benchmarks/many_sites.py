"""What limits a run with many sites: real SuperLink and gateways, mutual TLS, a certificate for each site, and no training.

    make test-flower                                                    # once: Flower's environment
    .venv/bin/python benchmarks/many_sites.py                           # 300 sites, 1 MB
    .venv/bin/python benchmarks/many_sites.py --megabytes 50 --sites 300 --rounds 1

All sites are threads of one process (`site_clients.py`) behind one Envoy. For each site it has the connection that the site's own gateway
would have: its certificate, its ALPN protocol, HTTP/2. The hub has its real gateway, and the aggregator with panal's hooks. All of them
share this machine, so the seconds of processor time show what limits: the gateway does not, as long as its part is smaller than the
aggregator's. Memory is the largest proportional set size (PSS).
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from flower_overhead import VENV, Pods
from large_models import Memory, children, configured, family

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT / "tests/support"), str(ROOT / "tests/testenv")]

from gateways import HUBS_SECRET, LOOPBACK, RUN, SERVER, Envoy, Hub, listens, wait_for, write  # noqa: E402
from panal.api import names  # noqa: E402
from panal.gateway import collaborator, envoy  # noqa: E402
from processes import free_port  # noqa: E402

CLIENTS = Path(__file__).with_name("site_clients.py")
SITE = "x-site"
TICKS = os.sysconf("SC_CLK_TCK")


def sites_gateway(folder: Path, port: int, hub: Hub, sites: list[str]) -> Envoy:
    """The gateways of all sites in one Envoy: a listener for all, and each site's connection to the hub."""
    folder.mkdir()
    clusters = []
    for site in sites:
        pair = hub.collaborators.collaborator(site)
        write(folder, {f"{site}.key": pair.key, f"{site}.crt": pair.certificate})
        told = {"address": (LOOPBACK, hub.port), "server_name": SERVER, "sni": SERVER, "protocol": names.protocol(RUN, site)}
        (cluster,) = collaborator.files(**told)["cds.json"]["resources"]  # type: ignore[arg-type]
        del cluster["@type"]
        cluster["name"] = cluster["load_assignment"]["cluster_name"] = site
        context = cluster["transport_socket"]["typed_config"]["common_tls_context"]
        del context["tls_certificate_sds_secret_configs"]
        context["tls_certificates"] = [{"certificate_chain": {"filename": f"{site}.crt"}, "private_key": {"filename": f"{site}.key"}}]
        clusters.append(cluster)
    write(folder, {"ca.crt": hub.servers.certificate, "trust.json": envoy.trust(revocations=False)})
    route: dict[str, Any] = {"match": {"prefix": "/"}, "route": {"cluster_header": SITE, "timeout": "0s", "idle_timeout": "0s"}}
    listener = {"name": "sites", "address": envoy.socket(LOOPBACK, port), "filter_chains": [{"filters": [envoy.manager("sites", [route])]}]}
    started = {"node": {"id": "sites", "cluster": "panal"}, "static_resources": {"listeners": [listener], "clusters": clusters}}
    write(folder, {"envoy.json": started})  # too long for an argument
    return Envoy(folder, {}, (*envoy.ARGUMENTS, "--concurrency", str(os.cpu_count()), "-c", "envoy.json"))


class Measured(Pods):
    """A run with one large app, whose sites are the processes above."""

    def __init__(self, folder: Path, options: argparse.Namespace) -> None:
        super().__init__("Auto", folder, app=configured(folder, options), nodes=options.sites, rounds=options.rounds)
        (folder / "pod/secret").write_text(HUBS_SECRET)
        self.hub = Hub(folder / "hub", self.port, largest_request=16 << 20)
        self.sites = [f"site{number}" for number in range(options.sites)]
        self.sites_port = free_port()
        self.sites_gateway = sites_gateway(folder / "sites", self.sites_port, self.hub, self.sites)

    def run(self) -> float:
        self.start_aggregator()
        wait_for("the SuperLink", lambda: listens(self.port), 60)
        self.hub.start(*self.sites)
        self.sites_gateway.start()
        wait_for("the gateway of the sites", lambda: listens(self.sites_port), 60)
        command = [str(VENV / "bin/python"), str(CLIENTS), f"{LOOPBACK}:{self.sites_port}", str(len(self.sites))]
        environment = self.environment("sites") | {"PYTHONPATH": str(self.folder / "tools")}
        with (self.folder / "sites.log").open("wb") as log:
            clients = subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stdout=log, stderr=log, start_new_session=True)
        self.processes.append(clients)
        self.memory_of = Memory(list(self.measured().values()))
        return self.submit()

    def measured(self) -> dict[str, int]:
        assert self.hub.envoy.process
        assert self.sites_gateway.process
        aggregator, sites = (process.pid for process in self.processes)
        return {
            "aggregator": aggregator,
            "gateway": self.hub.envoy.process.pid,
            "sites": sites,
            "their gateways": self.sites_gateway.process.pid,
        }

    def end(self) -> None:
        if hasattr(self, "memory_of"):
            self.memory_of.end()
        super().end()
        self.hub.envoy.stop()
        self.sites_gateway.stop()


def processor_seconds(root: int) -> float:
    """Of a process and of all that it has started, also of those that have ended."""
    used = 0
    for process in family(root, children()):
        fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
        used += sum(map(int, fields[11:15]))
    return used / TICKS


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in (("sites", 300), ("megabytes", 1), ("arrays", 1), ("rounds", 3)):
        parser.add_argument(f"--{name}", type=int, default=default)
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="panal-benchmark-"))
    pods = Measured(folder, options)
    try:
        seconds = pods.run()
        used = {name: processor_seconds(process) for name, process in pods.measured().items()}
        memory = dict(zip(used, pods.memory_of.end(), strict=True))
    finally:
        pods.end()
    shutil.rmtree(folder)
    moved = 2 * options.sites * options.rounds * options.megabytes * 1.048576
    print(
        f"{options.sites} sites, {options.megabytes} MB, {options.rounds} rounds: {seconds:.1f} s, "
        f"{60 * options.rounds / seconds:.2f} rounds a minute, {moved / seconds:.0f} MB/s"
    )
    for name in used:
        print(f"  {name:14} {used[name]:7.1f} s of processor time, {used[name] / moved * 1000:6.2f} s a GB, {memory[name] / 1e6:6.0f} MB")


if __name__ == "__main__":
    main()
