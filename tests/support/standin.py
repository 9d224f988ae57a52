"""A hub and managed clusters on embedded API servers, with the local platform's stand-in for Open Cluster Management."""

from __future__ import annotations

import os
import signal
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from api import Api, api
from panal.kube.errors import KubeError
from panal.kube.kinds import NAMESPACE
from part import command
from processes import free_port
from waiting import eventually

AGENT = "system:open-cluster-management"


@dataclass
class Standin:
    """Processes by name: `hub` and `<cluster>` are API servers, `ocm` the hub's controllers, `<cluster>-agent` an agent."""

    root: Path
    clusters: tuple[str, ...]
    lease_seconds: int = 4
    kubeconfigs: dict[str, Path] = field(default_factory=dict)  # of API servers that are not ours to start
    _commands: dict[str, list[str]] = field(default_factory=dict)
    _running: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def up(self) -> None:
        for name in {"hub", *self.clusters} - self.kubeconfigs.keys():
            self._api_server(name)
        for name in self._running:
            eventually(lambda name=name: self.answers(name), f"{name} answers", 60)
        self._run("ocm", command("hub", kubeconfig=self.kubeconfig("hub")))
        for name in self.clusters:
            own = self.own_kubeconfig(name) if "hub" not in self.kubeconfigs else self.kubeconfig("hub")
            if own.parent == self.root:
                self._own_kubeconfig(own, name)
            spoke = {"kubeconfig": self.kubeconfig(name), "cluster": name, "lease_seconds": self.lease_seconds}
            self._run(f"{name}-agent", command("agent", hub_kubeconfig=own, **spoke))

    def down(self) -> None:
        for name in list(self._running):
            self.kill(name)

    def kill(self, name: str) -> None:
        """kill -9."""
        process = self._running.pop(name)
        process.kill()
        process.wait(20)

    def pause(self, name: str) -> None:
        os.kill(self._running[name].pid, signal.SIGSTOP)

    def go_on(self, name: str) -> None:
        os.kill(self._running[name].pid, signal.SIGCONT)

    def start(self, name: str) -> None:
        """What was killed comes back."""
        with (self.root / f"{name}.log").open("ab") as log:
            self._running[name] = subprocess.Popen(self._commands[name], stdout=log, stderr=log)

    def alive(self) -> list[str]:
        return [name for name, process in self._running.items() if process.poll() is None]

    def log(self, name: str) -> str:
        return (self.root / f"{name}.log").read_text()

    def own_kubeconfig(self, cluster: str) -> Path:
        """The cluster's own identity on the hub."""
        return self.root / f"{cluster}-agent.kubeconfig"

    def control(self, name: str) -> None:
        """Starts the local platform's controllers for an API server: garbage collection, among others."""
        volumes = self.root / f"{name}-volumes"
        self._run(f"{name}-controllers", command("controllers", kubeconfig=self.kubeconfig(name), volumes=volumes))

    def kubeconfig(self, name: str) -> Path:
        return self.kubeconfigs.get(name) or self.root / name / "admin.kubeconfig"

    def __getitem__(self, name: str) -> Api:
        return api(self.kubeconfig(name))

    def _run(self, name: str, words: list[str]) -> None:
        self._commands[name] = words
        self.start(name)

    def _api_server(self, name: str) -> None:
        tokens = self.root / "tokens.csv"
        if not tokens.exists():
            rows = [f'token-{c},{AGENT}:{c}:agent,{c},"{AGENT}:{c},{AGENT}:managed-clusters"' for c in self.clusters]
            tokens.write_text("\n".join(rows) + "\n")
        more = {"token_file": tokens} if name == "hub" else {}
        self._run(name, command("apiserver", folder=self.root / name, listen=f"127.0.0.1:{free_port()}", **more))

    def answers(self, name: str) -> bool:
        if not self.kubeconfig(name).exists():
            return False
        try:
            return self[name].get(NAMESPACE, "", "default") is not None
        except KubeError:
            return False

    def _own_kubeconfig(self, path: Path, cluster: str) -> None:
        """With the cluster's own identity."""
        config = yaml.safe_load(self.kubeconfig("hub").read_text())
        config["users"][0]["user"] = {"token": f"token-{cluster}"}
        for each in config["clusters"]:
            if authority := each["cluster"].get("certificate-authority"):
                each["cluster"]["certificate-authority"] = str(Path(self.kubeconfig("hub").parent, authority))
        path.write_text(yaml.safe_dump(config))
