"""The controller of a checkout as a process, measured from outside: memory and CPU from /proc, counts from its metrics."""

from __future__ import annotations

import asyncio
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp
from benchmarks.control_plane.hub import Hub

from processes import free_port

TICKS = os.sysconf("SC_CLK_TCK")
WRITES = ("apply", "create", "patch", "update", "delete")
CALM = 4.0  # seconds without writes and reconciles, and nearly without computing, after which a controller counts as quiet
# Older checkouts have no setting for the resync.
START = """
import functools, os
from panal.hub import main, settings
from panal.kube.cache import Timing
assert main.__file__.startswith(os.environ["CHECKOUT"]), main.__file__
if "resync" not in settings.Settings.__dataclass_fields__:
    main.Cache = functools.partial(main.Cache, timing=Timing(resync=float(os.environ["PANAL_RESYNC_SECONDS"])))
main.main()
"""
SAMPLE = re.compile(r"^(\w+)(?:\{(.*)\})? (\S+)$", re.MULTILINE)


class Metrics:
    """The samples of one scrape."""

    def __init__(self, text: str) -> None:
        self._samples = [(name, labels, float(value)) for name, labels, value in SAMPLE.findall(text)]

    def total(self, name: str, *labels: str) -> float:
        """The sum of the samples of that name with all of these labels, each as `name="value"`."""
        return sum(value for found, having, value in self._samples if found == name and all(label in having for label in labels))

    def by(self, name: str, label: str) -> dict[str, float]:
        return {re.findall(f'{label}="([^"]*)"', having)[0]: value for found, having, value in self._samples if found == name}

    @property
    def requests(self) -> float:
        """All requests but watches, which are as many without work."""
        return self.total("panal_kube_requests_total") - self.total("panal_kube_requests_total", 'verb="watch"')

    @property
    def writes(self) -> float:
        return sum(self.total("panal_kube_requests_total", f'verb="{verb}"') for verb in WRITES)

    @property
    def activity(self) -> float:
        """Grows with all that a controller does for runs and clusters. Renewals of its Lease are writes as well: one each few seconds."""
        return self.total("panal_reconciles_total") + self.total("panal_addon_reconciles_total") + self.writes


@dataclass
class Controller:
    process: subprocess.Popen[bytes]
    port: int
    log: Path
    session: aiohttp.ClientSession

    @classmethod
    @asynccontextmanager
    async def of(cls, checkout: Path, hub: Hub, resync: int = 900, server: str = "") -> AsyncIterator[Controller]:
        """Started, and leading. It ends with the context, and the context fails if it ends before. `server`: the URL of the API server if
        it is not the hub's."""
        port, log = free_port(), hub.dir / "log/controller.log"
        process = started(checkout, hub, port, log, resync, server)
        try:
            patience = aiohttp.ClientTimeout(total=60)
            async with aiohttp.ClientSession(timeout=patience) as session, asyncio.TaskGroup() as tasks:
                found = cls(process, port, log, session)
                watching = tasks.create_task(found._fail_if_it_ends())
                await found._until_leading()
                yield found
                watching.cancel()
        except BaseException:
            print(log.read_text(errors="replace")[-4000:], file=sys.stderr)
            raise
        finally:
            process.terminate()
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    async def metrics(self) -> Metrics:
        async with self.session.get(f"http://127.0.0.1:{self.port}/metrics") as response:
            return Metrics(await response.text())

    def cpu(self) -> float:
        """Seconds computed so far."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICKS

    def rss(self) -> float:
        return self._status("VmRSS")

    def forget_peak(self) -> None:
        Path(f"/proc/{self.process.pid}/clear_refs").write_text("5")

    def peak(self) -> float:
        """The largest resident memory since `forget_peak`."""
        return self._status("VmHWM")

    async def until_quiet(self, seconds: float) -> None:
        """Raises TimeoutError if it is busy for longer."""
        end = time.monotonic() + seconds
        before, computed = (await self.metrics()).activity, self.cpu()
        while time.monotonic() < end:
            await asyncio.sleep(CALM)
            now, spent = (await self.metrics()).activity, self.cpu()
            if now - before <= CALM and spent - computed < 0.05 * CALM:
                return
            before, computed = now, spent
        raise TimeoutError(f"the controller is busy after {seconds:.0f} s")

    async def until(self, shows: Callable[[Metrics], bool], what: str, seconds: float) -> None:
        """Raises TimeoutError with `what`."""
        end = time.monotonic() + seconds
        while not shows(await self.metrics()):
            if time.monotonic() > end:
                raise TimeoutError(f"{what}: not after {seconds:.0f} s")
            await asyncio.sleep(0.5)

    def _status(self, name: str) -> float:
        """A value of /proc/PID/status, in MiB."""
        lines = Path(f"/proc/{self.process.pid}/status").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith(f"{name}:")) / 1024

    async def _fail_if_it_ends(self) -> None:
        code = await asyncio.to_thread(self.process.wait)
        raise RuntimeError(f"the controller has ended with exit code {code}")

    async def _until_leading(self) -> None:
        end = time.monotonic() + 120
        while time.monotonic() < end and self.process.poll() is None:
            try:
                if (await self.metrics()).total("panal_leader"):
                    return
            except aiohttp.ClientError:
                pass
            await asyncio.sleep(0.2)
        raise TimeoutError("the controller does not lead")


def started(checkout: Path, hub: Hub, port: int, log: Path, resync: int, server: str = "") -> subprocess.Popen[bytes]:
    env = os.environ | {
        "CHECKOUT": str(checkout),
        "PYTHONPATH": f"{checkout}/src:{checkout}/local/src",
        "KUBECONFIG": str(_kubeconfig(hub, server)),
        "POD_NAMESPACE": "panal-system",
        "PANAL_POD_TOOLS_IMAGE": "panal/pod-tools:0.1.0",
        "PANAL_GATEWAY_IMAGE": "panal/gateway:0.1.0",
        "PANAL_PORT": str(port),
        "PANAL_RESYNC_SECONDS": str(resync),
        "PANAL_METRICS_AUTHENTICATION": "false",
    }
    with log.open("wb") as output:
        return subprocess.Popen([sys.executable, "-c", START], env=env, cwd=hub.dir, stdout=output, stderr=output)


def _kubeconfig(hub: Hub, server: str) -> Path:
    config = json.loads(hub.kubeconfig.read_text())
    if server:
        config["clusters"][0]["cluster"] = {"server": server}
    config["users"][0]["user"] = {"token": hub.token()}
    path = hub.dir / "panal.kubeconfig"
    path.write_text(json.dumps(config))
    return path
