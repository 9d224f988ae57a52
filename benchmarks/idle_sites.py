"""What the pings of idle connections cost, with many sites on one gateway: bytes, packets and processor time.

    .venv/bin/python benchmarks/idle_sites.py                           # 300 sites, 60 s each with pings every 5 and every 20 s

The gateways are real, with mutual TLS and a certificate for each site; those of the sites are one Envoy. Each site sends one request, and
nothing after it. The kernel counts what both ends of the connections send (`ss`). On the wire a packet has at least 52 more bytes, of its
headers.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import tempfile
import time
from http.client import HTTPConnection
from pathlib import Path

from many_sites import SITE, processor_seconds, sites_gateway

from gateways import LOOPBACK, Background, Envoy, Hub, Runtime, listens, wait_for
from panal.gateway import envoy
from processes import free_port

PATTERNS = {"bytes": r"\bbytes_sent:(\d+)", "packets": r"\bsegs_out:(\d+)"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sites", type=int, default=300)
    parser.add_argument("--seconds", type=float, default=60)
    options = parser.parse_args()
    for interval in (5, 20):
        envoy._KEEPALIVE["interval"] = f"{interval}s"
        with tempfile.TemporaryDirectory() as folder:
            print(f"a ping every {interval} s: {json.dumps(measured(Path(folder), options.sites, options.seconds))}", flush=True)


def measured(folder: Path, number: int, seconds: float) -> dict[str, float]:
    """Of a site and a second on average; `processor` is the share of a core that the hub's gateway takes for all sites."""
    background = Background()
    runtime = Runtime(background)
    runtime.start()
    sites = [f"site{n}" for n in range(number)]
    hub, port = Hub(folder / "hub", runtime.port), free_port()
    gateway = sites_gateway(folder / "sites", port, hub, sites)
    try:
        hub.start(*sites)
        gateway.start()
        wait_for("the gateway of the sites", lambda: listens(port), 60)
        for site in sites:
            ask(port, site)
        time.sleep(5)
        before, used = counts(hub.port), processor(hub.envoy)
        time.sleep(seconds)
        after = counts(hub.port)
        per_site = {name: round((after[name] - before[name]) / seconds / number, 2) for name in PATTERNS}
        return {"connections": after["connections"] / 2, **per_site, "processor": round((processor(hub.envoy) - used) / seconds, 4)}
    finally:
        gateway.stop()
        hub.envoy.stop()
        runtime.stop()
        background.stop()


def ask(port: int, site: str) -> None:
    connection = HTTPConnection(LOOPBACK, port, timeout=20)
    connection.request("POST", "/v1/fleet/x", body=b"x", headers={SITE: site})
    assert connection.getresponse().status == 200
    connection.close()


def counts(port: int) -> dict[str, int]:
    """What both ends of all connections to the port have sent."""
    command = ["ss", "-tinH", "state", "established", f"( sport = :{port} or dport = :{port} )"]
    told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    found = {name: re.findall(pattern, told) for name, pattern in PATTERNS.items()}
    return {name: sum(map(int, values)) for name, values in found.items()} | {"connections": len(found["packets"])}


def processor(of: Envoy) -> float:
    assert of.process
    return processor_seconds(of.process.pid)


if __name__ == "__main__":
    main()
