"""Startup and readiness of a container by httpGet probes, with the rules of a kubelet.

The readiness probe begins when the startup probe has succeeded. If the startup probe fails, the container is stopped and restartPolicy
applies.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Literal

import aiohttp

from panal.kube.objects import Object

ProbeName = Literal["startupProbe", "readinessProbe"]
Unhealthy = Callable[[ProbeName, str], None]  # called at the failure threshold, with the last error


@dataclass(slots=True)
class Health:
    """The state of a running container. `changed` is called after every change of `ready` or `started`."""

    spec: Object
    ip: str
    changed: Callable[[], None]
    unhealthy: Unhealthy
    started: bool = False
    ready: bool = False
    task: asyncio.Task[None] | None = field(default=None)

    def begin(self) -> None:
        self.started = self.started or "startupProbe" not in self.spec
        self.ready = self.started and (self.ready or "readinessProbe" not in self.spec)
        self.task = asyncio.create_task(self.run(), name=f"probes of {self.spec['name']}")

    def end(self) -> None:
        if self.task:
            self.task.cancel()

    async def run(self) -> None:
        if not self.started:
            async for passed in self._verdicts("startupProbe"):
                if passed:
                    break
            self._set(started=True, ready="readinessProbe" not in self.spec)
        async for passed in self._verdicts("readinessProbe"):
            self._set(started=True, ready=passed)

    def _set(self, *, started: bool, ready: bool) -> None:
        if (started, ready) != (self.started, self.ready):
            self.started, self.ready = started, ready
            self.changed()

    async def _verdicts(self, name: ProbeName) -> AsyncIterator[bool]:
        """Yields the result each time a threshold is reached; nothing without a probe."""
        probe = self.spec.get(name)
        if not probe:
            return
        await asyncio.sleep(probe.get("initialDelaySeconds") or 0)
        in_row = {True: 0, False: 0}
        needed = {True: probe.get("successThreshold") or 1, False: probe.get("failureThreshold") or 3}
        while True:
            problem = await self._problem(probe)
            passed = not problem
            in_row = {passed: in_row[passed] + 1, not passed: 0}
            if in_row[passed] >= needed[passed]:
                if problem:
                    self.unhealthy(name, problem)
                yield passed
            await asyncio.sleep(probe.get("periodSeconds") or 10)

    async def _problem(self, probe: Object) -> str:
        """Runs the probe once, and returns the error or an empty string."""
        if "httpGet" not in probe:
            what = ", ".join(k for k in probe if not k.endswith(("Seconds", "Threshold")))
            return f"{what} is not supported by this node, which knows httpGet"
        try:
            async with asyncio.timeout(probe.get("timeoutSeconds") or 1):
                return await self._http(probe["httpGet"])
        except TimeoutError:
            return f"no answer within {probe.get('timeoutSeconds') or 1} s"
        except (OSError, aiohttp.ClientError) as error:
            return str(error)

    async def _http(self, action: Object) -> str:
        port = port_number(self.spec, action["port"])
        url = f"http://{self.ip}:{port}{action.get('path') or '/'}"
        async with aiohttp.ClientSession() as http, http.get(url, allow_redirects=False) as answer:
            return "" if 200 <= answer.status < 400 else f"HTTP probe failed with statuscode: {answer.status}"


def port_number(container: Object, port: int | str) -> int:
    """The port number for a number or the name of a container port; 0 for an unknown name."""
    if isinstance(port, int) or port.isdigit():
        return int(port)
    named = [p["containerPort"] for p in container.get("ports") or () if p.get("name") == port]
    return int(named[0]) if named else 0
