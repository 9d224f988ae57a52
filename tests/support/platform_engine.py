"""The engine that is the local platform: a hub and managed clusters (by default four), all parts panal's own, started as `panal up` does.

All clusters share one image store, so no image can be missing on one of them alone. A cluster that is cut off is stopped: its process
and all its Pods.
"""

from __future__ import annotations

import asyncio
import json
import signal
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from api import Api, api
from faulty_api import Fault, FaultyApi
from local_pods import LocalPods, begin_store, leftovers, make_app
from panal_local.commands.install import bring_up, controller
from panal_local.supervisor.folder import HUB, SUPERVISOR, Folder
from panal_local.supervisor.process import find, signal_process
from panal_local.supervisor.starting import begin
from panal_local.supervisor.state import Program, State
from panal_local.supervisor.stopping import end, living
from runs import SPOKES
from waiting import eventually

CONTROLLER = "hub-controller"


@dataclass(frozen=True)
class Platform(LocalPods):
    folder: Folder
    state: State
    at_once: int = 3
    spread: int = 5
    clusters: int = len(SPOKES)

    @classmethod
    @contextmanager
    def at(cls, root: Path, clusters: int = len(SPOKES)) -> Iterator[Platform]:
        folder = Folder(root)
        try:
            begin_store(folder.images)
            engine = cls(folder, asyncio.run(bring_up(folder, clusters, {}, print)), clusters=clusters)
            make_app(folder.images, root)
            engine.up()
            engine.hub.make_namespace("runs")
            yield engine
            for cluster in engine.state.tokens:
                engine.restore(cluster)
        finally:
            end(folder)
        eventually(lambda: not leftovers(root), lambda: f"nothing is left: {leftovers(root)}", 5)  # a shim ends just after its node

    def up(self) -> None:
        """What `panal up` does at a folder that has its state; the controller is less patient."""
        begin(self.folder, self.clusters, {}, [self._controller()])

    def _controller(self) -> Program:
        usual = controller()
        limits = {"PANAL_CLEANUP_LIMIT_SECONDS": "20", "PANAL_AUTHORITY_SPREAD_SECONDS": str(self.spread)}
        return replace(usual, env={**usual.env, **limits})

    # --- as tests see it ------------------------------------------------------------------------------------------
    @property
    def hub(self) -> Api:  # type: ignore[override]
        return api(self.folder.admin(HUB))

    def spoke(self, name: str) -> Api:
        return api(self.folder.admin(name))

    def node(self, cluster: str) -> Path:
        return self.folder.node(cluster)

    def parts_of(self, cluster: str) -> list[int]:
        found = find(self.folder, cluster)
        return [found.pid] if found else []

    def tag(self, image: str, name: str, clusters: list[str]) -> None:
        """It is nowhere."""

    def aggregator_address(self) -> str:
        return self.state.node_address(HUB)

    def kill_part(self, name: str) -> None:
        """kill -9 of a part, such as `cluster1`; the supervisor starts it again. That one itself is started by `panal up`."""
        eventually(lambda: signal_process(self.folder, name, signal.SIGKILL), f"{name} is killed", 20)
        if name == SUPERVISOR:
            eventually(lambda: find(self.folder, name) is None, "the supervisor has ended", 5)
            self.up()

    def kill_everything(self) -> None:
        """kill -9 of all parts together, the supervisor first; then `panal up`. Containers go on."""
        for name in sorted(living(self.folder), key=lambda name: name != SUPERVISOR):
            signal_process(self.folder, name, signal.SIGKILL)
        eventually(lambda: not living(self.folder), "all have ended", 5)
        self.up()

    def kill_controller(self) -> None:
        self.kill_part(CONTROLLER)

    def restart_controller(self) -> None:
        before = self._times_led()
        signal_process(self.folder, CONTROLLER, signal.SIGTERM)
        eventually(lambda: self._times_led() > before, "the new controller leads", 60)

    @contextmanager
    def behind(self, fault: Fault) -> Iterator[FaultyApi]:
        """The controller reaches the hub's API server through a proxy with that fault."""
        tls = ssl.create_default_context(cafile=str(self.folder.authority(HUB)))
        with FaultyApi(self.state.server(HUB), tls, fault).in_thread() as proxy:
            config = json.loads(self.folder.admin(HUB).read_text())
            config["clusters"][0]["cluster"] = {"server": proxy.url}
            kubeconfig = self.folder.root / "faulty.kubeconfig"
            kubeconfig.write_text(json.dumps(config))
            usual = self._controller()
            self._restart_as(replace(usual, env={**usual.env, "KUBECONFIG": str(kubeconfig)}))
            yield proxy
            self._restart_as(usual)

    def _restart_as(self, program: Program) -> None:
        before = self._times_led()
        begin(self.folder, self.clusters, {}, [program])
        eventually(lambda: self._times_led() > before, "the new controller leads", 60)

    def _times_led(self) -> int:
        return self.folder.log(CONTROLLER).read_text().count(" is the leader ")

    @contextmanager
    def without_api(self) -> Iterator[None]:
        """Killed, while nobody starts it again."""
        signal_process(self.folder, SUPERVISOR, signal.SIGSTOP)
        signal_process(self.folder, HUB, signal.SIGKILL)
        yield
        signal_process(self.folder, SUPERVISOR, signal.SIGCONT)
