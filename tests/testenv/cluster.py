"""One cluster: an etcd, a kube-apiserver and a kube-controller-manager of its own; with a bridge, a node as well."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from bridge import Bridge
from machine import API_IP, SERVICES
from node import Node
from pki import Pki
from processes import Processes, assets, free_port, wait

PROJECT = Path(__file__).resolve().parents[2]
AUDIT = {"apiVersion": "audit.k8s.io/v1", "kind": "Policy", "omitStages": ["RequestReceived"], "rules": [{"level": "Metadata"}]}


def ocm_crds() -> Path:
    """The folder of Open Cluster Management's CRDs, which are no part of this project."""
    folder = Path(os.environ.get("PANAL_OCM_CRDS") or PROJECT.parent / "shared/ocm/crds")
    if not folder.is_dir():
        sys.exit(f"no CRDs of Open Cluster Management in {folder}: set PANAL_OCM_CRDS to their folder (docs/design/testing.md)")
    return folder


class Cluster:
    """Everything of it lies in `dir`; what is there already is used again."""

    def __init__(self, root: Path, name: str, number: int = 0, bridge: Bridge | None = None) -> None:
        """With a bridge, the cluster has a machine on it, numbered from 0 for the hub."""
        self.root, self.dir, self.name = root, root / name, name
        self.processes = Processes(self.dir)
        self.pki = Pki(self.dir / "pki", name)
        self.pki.folder.mkdir(exist_ok=True)
        ports = self.dir / "ports.json"
        if not ports.exists():
            chosen = {k: free_port() for k in ("etcd", "peer", "api", "kcm", "scheduler", *(f"ocm{i}" for i in range(6)))}
            ports.write_text(json.dumps(chosen | {"number": number} | ({"api": 6443} if bridge else {})))
        self.port: dict[str, int] = json.loads(ports.read_text())
        self.machine = Node(self, bridge, self.port["number"]) if bridge else None
        self.ip = self.machine.ip if self.machine else "127.0.0.1"
        self.url = f"https://{self.ip}:{self.port['api']}"
        self.kubeconfig = self.dir / "admin.kubeconfig"

    # --- certificates -----------------------------------------------------------------------------------------
    def make_pki(self) -> None:
        self.pki.authority()
        names = ("localhost", f"{self.name}.test", "kubernetes", "kubernetes.default", "kubernetes.default.svc")
        san = ",".join([f"IP:{ip}" for ip in ("127.0.0.1", self.ip, API_IP)] + [f"DNS:{n}" for n in (*names, f"{names[-1]}.cluster.local")])
        self.pki.certificate("apiserver", "/CN=kube-apiserver", usage="serverAuth", san=san)
        users = {
            "admin": "/O=system:masters/CN=admin",
            "kcm": "/CN=system:kube-controller-manager",
            "bootstrap": "/O=system:masters/CN=bootstrap-user",
            "scheduler": "/CN=system:kube-scheduler",
        }
        if self.machine:
            node = self.machine.name
            self.pki.certificate("kubelet", f"/CN={node}", usage="serverAuth", san=f"IP:{self.ip},DNS:{node}")
            self.pki.certificate("kubelet-client", "/O=system:masters/CN=kube-apiserver-kubelet-client")
            users |= {
                "kubelet-node": f"/O=system:nodes/CN=system:node:{node}",
                "kube-proxy": "/CN=system:kube-proxy",
                "coredns": "/CN=coredns",
            }
        for user, subject in users.items():
            self.pki.certificate(user, subject)
            self.write_kubeconfig(self.dir / f"{user}.kubeconfig", user)

    def write_kubeconfig(self, path: Path, user: str) -> None:
        def encoded(name: str) -> str:
            return base64.b64encode((self.pki.folder / name).read_bytes()).decode()

        cluster = {"server": self.url, "certificate-authority-data": encoded("ca.crt")}
        keys = {"client-certificate-data": encoded(f"{user}.crt"), "client-key-data": encoded(f"{user}.key")}
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": self.name,
            "clusters": [{"name": self.name, "cluster": cluster}],
            "contexts": [{"name": self.name, "context": {"cluster": self.name, "user": user}}],
            "users": [{"name": user, "user": keys}],
        }
        path.write_text(json.dumps(config, indent=1))
        path.chmod(0o600)

    # --- processes --------------------------------------------------------------------------------------------
    def start(self, name: str, *args: str, env: dict[str, str] | None = None, program: str = "", inside: bool = False) -> None:
        """Start a program unless it runs; `name` is `<program>` or `<program>.<part>`.

        If the cluster has a machine, the program uses its network and counts as its memory; `inside`: it sees only the machine.
        """
        if self.processes.running(name):
            return
        command = [str(assets() / (program or name.split(".")[0])), *args]
        if self.machine:
            command = self.machine.command(*command, inside=inside)
        self.processes.start(name, command, env or {})

    def stop(self) -> None:
        if self.machine:
            self.machine.power_off()
        self.processes.end_all()
        if self.machine:
            self.machine.clean()

    def start_api(self) -> None:
        self.make_pki()
        if self.machine and not self.machine.pid:
            self.stop()  # servers that may be left would hang in the network of a machine that has died
            self.machine.power_on(assets() / "pause")
        self.start_etcd()
        self.start("kube-apiserver", *self.apiserver_flags(), *(self.apiserver_node_flags() if self.machine else ()))
        if self.machine:
            self.machine.start_containerd(assets() / "pause")
        self.wait_for_api()
        self.start_controllers()
        if self.machine:
            self.start_scheduler()
            self.machine.start_kubelet()
            self.machine.start_proxy()
            self.machine.start_dns()

    def wait_for_api(self) -> None:
        wait(f"{self.name}: API server", lambda: self.kubectl("get", "--raw=/readyz", check=False) == "ok", 90)

    def start_etcd(self) -> None:
        client, peer = (f"http://127.0.0.1:{self.port[p]}" for p in ("etcd", "peer"))
        self.start(
            *("etcd", f"--data-dir={self.dir}/etcd-data", f"--listen-client-urls={client}", f"--advertise-client-urls={client}"),
            *(f"--listen-peer-urls={peer}", f"--initial-advertise-peer-urls={peer}", f"--initial-cluster=default={peer}"),
            *("--unsafe-no-fsync", "--log-level=warn"),
        )

    def apiserver_flags(self) -> list[str]:
        pki = self.pki.folder
        flags = [
            f"--etcd-servers=http://127.0.0.1:{self.port['etcd']}",
            f"--secure-port={self.port['api']}",
            f"--bind-address={self.ip}",
            f"--advertise-address={self.ip}",
            f"--endpoint-reconciler-type={'lease' if self.machine else 'none'}",
            f"--tls-cert-file={pki}/apiserver.crt",
            f"--tls-private-key-file={pki}/apiserver.key",
            f"--client-ca-file={pki}/ca.crt",
            f"--requestheader-client-ca-file={pki}/ca.crt",
            "--requestheader-allowed-names=front-proxy-client",
            "--requestheader-username-headers=X-Remote-User",
            "--requestheader-group-headers=X-Remote-Group",
            "--requestheader-extra-headers-prefix=X-Remote-Extra-",
            "--authorization-mode=Node,RBAC",
            "--allow-privileged=true",
            f"--service-account-key-file={pki}/sa.key",
            f"--service-account-signing-key-file={pki}/sa.key",
            "--service-account-issuer=https://kubernetes.default.svc",
            f"--service-cluster-ip-range={SERVICES}",
        ]
        audit = self.dir / "audit.json"
        if audit.exists():
            flags += [f"--audit-policy-file={audit}", f"--audit-log-path={self.processes.logs}/audit.log"]
        return flags

    def apiserver_node_flags(self) -> list[str]:
        pki = self.pki.folder
        return [
            f"--kubelet-client-certificate={pki}/kubelet-client.crt",
            f"--kubelet-client-key={pki}/kubelet-client.key",
            f"--kubelet-certificate-authority={pki}/ca.crt",
            "--enable-admission-plugins=NodeRestriction",
            "--kubelet-preferred-address-types=InternalIP",
        ]

    def start_controllers(self) -> None:
        pki = self.pki.folder
        self.start(
            *("kube-controller-manager", f"--kubeconfig={self.dir}/kcm.kubeconfig", "--use-service-account-credentials=true"),
            *(f"--cluster-signing-cert-file={pki}/ca.crt", f"--cluster-signing-key-file={pki}/ca.key", f"--root-ca-file={pki}/ca.crt"),
            *(f"--service-account-private-key-file={pki}/sa.key", "--leader-elect=false", "--bind-address=127.0.0.1"),
            *(f"--secure-port={self.port['kcm']}", "--controllers=*,-nodeipam,-node-route-controller", "--concurrent-gc-syncs=5"),
        )

    def start_scheduler(self) -> None:
        options = (f"--kubeconfig={self.dir}/scheduler.kubeconfig", f"--secure-port={self.port['scheduler']}")
        self.start("kube-scheduler", *options, "--leader-elect=false", "--bind-address=127.0.0.1")

    # --- kubectl ----------------------------------------------------------------------------------------------
    def kubectl(self, *args: str, stdin: str | None = None, check: bool = True) -> str:
        """What kubectl says, as administrator. With `check`, a failure raises RuntimeError with its words."""
        command = [str(assets() / "kubectl"), f"--kubeconfig={self.kubeconfig}", *args]
        done = subprocess.run(
            command, input=stdin, stdin=None if stdin else subprocess.DEVNULL, text=True, capture_output=True, check=False
        )
        if check and done.returncode:
            raise RuntimeError(f"{self.name}: kubectl {' '.join(args)}: {done.stderr.strip()}")
        return done.stdout

    def apply(self, *manifests: dict[str, Any]) -> None:
        self.kubectl("apply", "-f", "-", stdin=json.dumps({"apiVersion": "v1", "kind": "List", "items": list(manifests)}))

    def namespaces(self, *names: str) -> None:
        self.apply(*({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": n}} for n in names))

    def crds(self, *patterns: str) -> None:
        for pattern in patterns:
            for path in sorted(ocm_crds().glob(f"{pattern}.yaml")):
                self.kubectl("apply", "--server-side", "-f", str(path))
        self.kubectl("wait", "--for=condition=Established", "crd", "--all", "--timeout=60s")
