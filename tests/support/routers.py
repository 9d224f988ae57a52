"""What lies between the clusters, on loopback: routers that lead to a run by the name in the TLS handshake, and the proxy of a site."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from gateways import ENVOY, LOOPBACK, listens, wait_for
from on_nodes import Network
from processes import free_port

PROGRAMS = "/usr/sbin:/usr/bin:/usr/local/sbin:/usr/local/bin"
HAPROXY, SQUID = (shutil.which(name, path=PROGRAMS) for name in ("haproxy", "squid"))


@dataclass
class HAProxy:
    """As OpenShift's router passes TLS through: in TCP mode, by the name in the handshake. `runs`: the port of each run, by its name.
    `tunnel` is the time after which a connection that is silent ends; OpenShift's default is an hour."""

    folder: Path
    runs: Mapping[str, int]
    tunnel: str = "8s"
    port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        assert HAPROXY
        (self.folder / "haproxy.cfg").write_text(self.config())
        with (self.folder / "haproxy.log").open("ab") as log:
            command = [HAPROXY, "-db", "-f", str(self.folder / "haproxy.cfg")]
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        wait_for("the router", lambda: listens(self.port))

    def stop(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait(20)

    def config(self) -> str:
        uses = "".join(f"  use_backend run{n} if {{ req.ssl_sni -i {name} }}\n" for n, name in enumerate(self.runs))
        backends = "".join(f"backend run{n}\n  server pod {LOOPBACK}:{port}\n" for n, port in enumerate(self.runs.values()))
        reject = "  tcp-request content reject if !{ req.ssl_sni -m found }\n"
        return haproxy(f"{LOOPBACK}:{self.port}", uses + backends, before=reject, tunnel=self.tunnel)


def haproxy(bind: str, rules: str, before: str = "", tunnel: str = "1h") -> str:
    """A configuration like the parts of OpenShift's template that passthrough Routes use, with its time-outs. `rules` are the rest of the
    frontend and the backends; `before` come before a handshake is accepted."""
    return f"""
global
  maxconn 2000
defaults
  mode tcp
  timeout connect 5s
  timeout client 30s
  timeout server 30s
  timeout tunnel {tunnel}
frontend public_ssl
  bind {bind}
  tcp-request inspect-delay 5s
{before}  tcp-request content accept if {{ req_ssl_hello_type 1 }}
{rules}"""


@dataclass
class Squid:
    """A site's proxy that allows CONNECT to the hub's port alone. `users`: names and passwords; without any, no one is asked. `folder` must
    be readable for everybody, since squid gives up its rights. `silence`: the time after which a tunnel that is silent ends."""

    folder: Path
    hub_port: int
    users: Mapping[str, str] = field(default_factory=dict)
    silence: str = "15 minutes"
    port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        assert SQUID
        (self.folder / "users").write_text("".join(f"{name}:{_hashed(password)}\n" for name, password in self.users.items()))
        (self.folder / "squid.conf").write_text(self.config())
        with (self.folder / "squid.log").open("ab") as log:
            command = [SQUID, "-N", "-f", str(self.folder / "squid.conf")]
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        wait_for("the proxy", lambda: listens(self.port), 30)

    def stop(self) -> None:
        """Ends all tunnels."""
        if self.process is not None:
            self.process.kill()
            self.process.wait(20)

    def config(self) -> str:
        """Debian's configuration allows CONNECT to port 443 alone, so the rules for the hub come before."""
        asked = f"""
auth_param basic program /usr/lib/squid/basic_ncsa_auth {self.folder}/users
auth_param basic realm site
acl known proxy_auth REQUIRED
"""
        return f"""{asked if self.users else ""}
http_port {LOOPBACK}:{self.port}
acl SSL_ports port 443
acl hub dst {LOOPBACK}
acl hub_port port {self.hub_port}
http_access allow CONNECT hub hub_port {"known" if self.users else ""}
http_access deny CONNECT !SSL_ports
http_access deny all
read_timeout {self.silence}
cache deny all
pid_filename none
access_log none
cache_log /dev/null
shutdown_lifetime 1 second
"""


def _hashed(password: str) -> str:
    return subprocess.run(["openssl", "passwd", "-apr1", password], capture_output=True, text=True, check=True).stdout.strip()


WITHOUT = ("extensionservices", "grpcroutes", "tcproutes", "backendtlspolicies")  # kinds whose CRDs Contour would demand
SHIFT = 8000  # Contour's Envoy listens on the port of the Gateway's listener and so many more


class Contour:
    """Contour as the controller of one Gateway, and its Envoy. `gateway`: namespace and name. The Service `envoy` beside it has its
    address. `network`: of the machine on which they run, if that is not this one."""

    def __init__(self, folder: Path, kubeconfig: Path, gateway: tuple[str, str], network: Network | None = None) -> None:
        self.folder, self.kubeconfig, self.gateway, self.network = folder, kubeconfig, gateway, network
        self.processes: list[subprocess.Popen[bytes]] = []

    def start(self) -> None:
        contour, xds = str(Path(os.environ["KUBEBUILDER_ASSETS"]) / "contour"), free_port()
        namespace, name = self.gateway
        (self.folder / "contour.json").write_text(json.dumps({"gateway": {"gatewayRef": {"namespace": namespace, "name": name}}}))
        ports = {f"--{part}-port": free_port() for part in ("http", "health", "debug-http", "stats")}
        addresses = [f"--{part}-address={LOOPBACK}" for part in ("xds", "http", "health", "stats")]
        self._run(
            *(contour, "serve", f"--kubeconfig={self.kubeconfig}", f"--config-path={self.folder}/contour.json", "--insecure"),
            *(f"--disable-feature={kind}" for kind in WITHOUT),
            *("--disable-leader-election", f"--envoy-service-namespace={namespace}", "--envoy-service-name=envoy", f"--xds-port={xds}"),
            *addresses,
            *(f"{flag}={port}" for flag, port in ports.items()),
        )
        wait_for("Contour", lambda: self._listens(xds), 60)
        made = self.folder / "envoy.json"
        options = (f"--xds-address={LOOPBACK}", f"--xds-port={xds}", f"--admin-address={self.folder}/admin.sock")
        subprocess.run([contour, "bootstrap", str(made), *options], check=True, capture_output=True)
        assert ENVOY
        node = ("--service-cluster", "contour", "--service-node", "envoy")
        self._run(ENVOY, "-c", str(made), *node, "--concurrency", "1", "--disable-hot-restart", "-l", "warning")

    def _listens(self, port: int) -> bool:
        return self.network.connects(LOOPBACK, port) if self.network else listens(port)

    def _run(self, *command: str) -> None:
        with (self.folder / "contour.log").open("ab") as log:
            inside = (*(self.network.enter if self.network else ()), *command)
            self.processes.append(subprocess.Popen(inside, cwd=self.folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log))

    def stop(self) -> None:
        for process in self.processes:
            process.kill()
            process.wait(20)


@contextmanager
def address_of_this_machine(address: str) -> Iterator[None]:
    """A further address of the loopback device: an API server accepts none of 127.0.0.0/8 as that of an endpoint. Needs root."""
    device = [f"{address}/32", "dev", "lo"]
    subprocess.run(["ip", "address", "replace", *device], check=True)
    try:
        yield
    finally:
        subprocess.run(["ip", "address", "delete", *device], check=True)
