"""What makes a machine a Kubernetes node: containerd, kubelet, kube-proxy, DNS and a few volumes.

Needs root and the Debian packages that bridge.py names; works with cgroup v1 and without systemd.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bridge import CNI_PLUGINS, Bridge, run
from imagefile import write_image
from machine import DNS_IP, Machine

if TYPE_CHECKING:
    from cluster import Cluster

PAUSE_IMAGE = "localhost/pause:1"
VOLUMES = 8


class Node(Machine):
    """One machine with what runs on it. `cluster` is the Cluster that it belongs to; `number` is 0 for the hub."""

    def __init__(self, cluster: Cluster, bridge: Bridge, number: int) -> None:
        super().__init__(cluster.dir, cluster.name, bridge, number)
        self.cluster = cluster

    def write(self, name: str, content: str | dict[str, Any]) -> Path:
        path = self.dir / "etc" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        text = content if isinstance(content, str) else json.dumps(content, indent=1)
        if not path.exists() or path.read_text() != text:  # kube-proxy ends when its file is written
            path.write_text(text)
        return path

    def start_containerd(self, pause: Path) -> None:
        self.write(
            "cni/10-bridge.conflist",
            {
                "cniVersion": "1.0.0",
                "name": "pods",
                "plugins": [
                    {
                        "type": "bridge",
                        "bridge": "cni0",
                        "isGateway": True,
                        "ipMasq": True,
                        "hairpinMode": True,
                        "ipam": {
                            "type": "host-local",
                            "dataDir": "/run/cni-ipam",
                            "routes": [{"dst": "0.0.0.0/0"}],
                            "ranges": [[{"subnet": f"{self.pods}.0/24"}]],
                        },
                    },
                    {"type": "portmap", "capabilities": {"portMappings": True}},
                ],
            },
        )
        # restrict_oom_score_adj: lowering a score needs CAP_SYS_RESOURCE, which a VM or container may lack.
        config = self.write(
            "containerd.toml",
            f"""
version = 2
disabled_plugins = ["io.containerd.internal.v1.opt"]
[plugins."io.containerd.grpc.v1.cri"]
sandbox_image = "{PAUSE_IMAGE}"
restrict_oom_score_adj = true
[plugins."io.containerd.grpc.v1.cri".cni]
bin_dir = "{CNI_PLUGINS}"
conf_dir = "{self.dir}/etc/cni"
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"
""",
        )
        self.cluster.start("containerd", f"--config={config}", inside=True, program=shutil.which("containerd"))
        end = time.monotonic() + 30
        while subprocess.run(self.enter("ctr", "version"), capture_output=True).returncode:
            if time.monotonic() > end:
                sys.exit(f"{self.name}: containerd does not answer; see {self.cluster.processes.logs}/containerd.log")
            time.sleep(0.1)
        if PAUSE_IMAGE not in self.images():
            archive = self.dir / "pause.tar"
            write_image(archive, PAUSE_IMAGE, pause)
            self.load(archive)

    def images(self) -> list[str]:
        return run(*self.enter("ctr", "-n", "k8s.io", "images", "list", "-q")).split()

    def load(self, archive: Path) -> None:
        """Import an image from a file that `buildah push ... docker-archive:FILE:NAME` wrote, unless this node has that very file."""
        seen = self.dir / "loaded" / archive.name
        version = f"{archive.stat().st_size} {archive.stat().st_mtime_ns}"
        if seen.exists() and seen.read_text() == version:
            return
        with archive.open("rb") as file:
            done = subprocess.run(self.enter("ctr", "-n", "k8s.io", "images", "import", "-"), stdin=file, capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(f"{self.name}: import of {archive}: {done.stderr.strip()}")
        seen.parent.mkdir(exist_ok=True)
        seen.write_text(version)

    def start_kubelet(self) -> None:
        pki = self.cluster.pki.folder
        config = self.write(
            "kubelet.json",
            {
                "apiVersion": "kubelet.config.k8s.io/v1beta1",
                "kind": "KubeletConfiguration",
                "address": self.ip,
                "authentication": {
                    "x509": {"clientCAFile": f"{pki}/ca.crt"},
                    "webhook": {"enabled": True},
                    "anonymous": {"enabled": False},
                },
                "authorization": {"mode": "Webhook"},
                "tlsCertFile": f"{pki}/kubelet.crt",
                "tlsPrivateKeyFile": f"{pki}/kubelet.key",
                "containerRuntimeEndpoint": "unix:///run/containerd/containerd.sock",
                "cgroupDriver": "cgroupfs",
                "failCgroupV1": False,
                "clusterDomain": "cluster.local",
                "clusterDNS": [DNS_IP],
                "resolvConf": str(self.write("resolv.conf", f"nameserver {DNS_IP}\n")),
                "oomScoreAdj": 0,
                "maxOpenFiles": os.sysconf("SC_OPEN_MAX"),
                "volumePluginDir": "/var/lib/kubelet/plugins",
                "imageGCHighThresholdPercent": 100,
                "evictionHard": {"nodefs.available": "0%", "nodefs.inodesFree": "0%", "imagefs.available": "0%"},
                "syncFrequency": "10s",
                "nodeStatusUpdateFrequency": "5s",
                "nodeStatusReportFrequency": "5s",
                "healthzPort": 0,
            },
        )
        self.cluster.start(
            "kubelet",
            f"--config={config}",
            f"--kubeconfig={self.cluster.dir}/kubelet-node.kubeconfig",
            f"--hostname-override={self.name}",
            f"--node-ip={self.ip}",
            inside=True,
        )

    def ready(self) -> bool:
        """Whether the node has said that it is ready since its machine was started."""
        text = self.cluster.kubectl(
            "get",
            "node",
            self.name,
            "-o",
            "jsonpath={range .status.conditions[?(@.type=='Ready')]}{.status} {.lastHeartbeatTime}{end}",
            check=False,
        )
        if not text.startswith("True "):
            return False
        said = datetime.strptime(text.split()[1], "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
        return said.timestamp() > (self.dir / "pid").stat().st_mtime

    def start_proxy(self) -> None:
        config = self.write(
            "kube-proxy.json",
            {
                "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
                "kind": "KubeProxyConfiguration",
                "mode": "iptables",
                "clientConnection": {"kubeconfig": f"{self.cluster.dir}/kube-proxy.kubeconfig"},
                "hostnameOverride": self.name,
                "clusterCIDR": f"{self.pods}.0/24",
                "oomScoreAdj": 0,
                "healthzBindAddress": "127.0.0.1:10256",
                "iptables": {"syncPeriod": "30s", "minSyncPeriod": "0.2s"},
                # Those limits can only be set outside a network namespace.
                "conntrack": {"maxPerCore": 0, "min": 0, "tcpEstablishedTimeout": "0s", "tcpCloseWaitTimeout": "0s"},
            },
        )
        self.cluster.start("kube-proxy", f"--config={config}", inside=True)

    def start_dns(self) -> None:
        """CoreDNS runs on the machine, not in a Pod; the usual Service leads to it. It knows <cluster>.test for every machine."""
        corefile = self.write(
            "Corefile",
            f""".:53 {{
  bind {self.ip}
  errors
  kubernetes cluster.local in-addr.arpa {{
    kubeconfig {self.cluster.dir}/coredns.kubeconfig
    fallthrough in-addr.arpa
    ttl 5
  }}
  hosts {self.bridge.hosts} test
  cache 5
}}
""",
        )
        ports = [{"name": "dns", "port": 53, "protocol": "UDP"}, {"name": "dns-tcp", "port": 53, "protocol": "TCP"}]
        self.cluster.apply(
            {
                "apiVersion": "rbac.authorization.k8s.io/v1",
                "kind": "ClusterRole",
                "metadata": {"name": "coredns"},
                "rules": [
                    {"apiGroups": [""], "resources": ["services", "pods", "namespaces"], "verbs": ["list", "watch"]},
                    {"apiGroups": ["discovery.k8s.io"], "resources": ["endpointslices"], "verbs": ["list", "watch"]},
                ],
            },
            {
                "apiVersion": "rbac.authorization.k8s.io/v1",
                "kind": "ClusterRoleBinding",
                "metadata": {"name": "coredns"},
                "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "coredns"},
                "subjects": [{"kind": "User", "name": "coredns", "apiGroup": "rbac.authorization.k8s.io"}],
            },
            {
                "apiVersion": "v1",
                "kind": "Service",
                "metadata": {"name": "kube-dns", "namespace": "kube-system"},
                "spec": {"clusterIP": DNS_IP, "ports": ports},
            },
            {
                "apiVersion": "discovery.k8s.io/v1",
                "kind": "EndpointSlice",
                "addressType": "IPv4",
                "ports": ports,
                "metadata": {"name": "kube-dns", "namespace": "kube-system", "labels": {"kubernetes.io/service-name": "kube-dns"}},
                "endpoints": [{"addresses": [self.ip], "conditions": {"ready": True}}],
            },
            *self.volumes(),
        )
        self.cluster.start("coredns", str(corefile), inside=True)

    def volumes(self) -> list[dict[str, Any]]:
        """Folders of the machine's own disk, /srv."""
        for i in range(1, VOLUMES + 1):
            (self.dir / "disk" / f"volume{i}").mkdir(exist_ok=True)
        return local_volumes(self.name, "/srv", VOLUMES)


def local_volumes(node: str, folder: str, count: int) -> list[dict[str, Any]]:
    """A default storage class with a few volumes on one node: FOLDER/volume1, volume2, ... Nothing makes more of them."""
    here = [{"matchExpressions": [{"key": "kubernetes.io/hostname", "operator": "In", "values": [node]}]}]
    return [
        {
            "apiVersion": "storage.k8s.io/v1",
            "kind": "StorageClass",
            "provisioner": "kubernetes.io/no-provisioner",
            "volumeBindingMode": "WaitForFirstConsumer",
            "metadata": {"name": "local", "annotations": {"storageclass.kubernetes.io/is-default-class": "true"}},
        },
        *(
            {
                "apiVersion": "v1",
                "kind": "PersistentVolume",
                "metadata": {"name": f"volume{i}"},
                "spec": {
                    "capacity": {"storage": "10Gi"},
                    "accessModes": ["ReadWriteOnce"],
                    "storageClassName": "local",
                    "persistentVolumeReclaimPolicy": "Retain",
                    "local": {"path": f"{folder}/volume{i}"},
                    "nodeAffinity": {"required": {"nodeSelectorTerms": here}},
                },
            }
            for i in range(1, count + 1)
        ),
    ]
