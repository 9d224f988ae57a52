"""Changes the spec of an existing run, for the command line and the dashboard: `suspend`, `stop`, and more rounds."""

from __future__ import annotations

from typing import Literal

from panal.api.status import ENDED
from panal.client.problem import Code, Problem
from panal.kube.client import Client
from panal.kube.kinds import FEDERATED_LEARNING
from panal.kube.objects import Object

Switch = Literal["suspend", "stop"]


def refuse_ended(run: Object) -> None:
    """Raises Problem for a run that has ended."""
    name, before = run["metadata"]["name"], (run.get("status") or {}).get("phase", "Waiting")
    if before in ENDED:
        raise Problem(Code.REFUSED, f"{name} is already {before}", f"A run that has ended can only be deleted: `panal delete {name}`.")


async def switch(client: Client, run: Object, field: Switch, value: bool) -> str:
    """Sets `spec.suspend` or `spec.stop`. Returns what happens now. Raises Problem."""
    refuse_ended(run)
    if bool(run["spec"].get(field)) == value:
        return f"spec.{field} is already {str(value).lower()}"
    metadata = run["metadata"]
    now = await client.merge_patch(FEDERATED_LEARNING, metadata["namespace"], metadata["name"], {"spec": {field: value}})
    if bool(now["spec"].get(field)) != value:
        raise Problem(Code.REFUSED, f"panal on this hub does not support spec.{field}", "Install a later version of panal on the hub.")
    return _said(metadata["name"], field, value)


def _said(name: str, field: Switch, value: bool) -> str:
    if field == "stop":
        return f"ends as Failed with the reason Stopped; `panal get {name}` shows it"
    if value:
        return f"suspended; its Pods end, and `panal resume {name}` resumes it after the last stored round"
    return f"resumed; it goes on after the last stored round, and `panal get {name} -w` follows it"


async def more_rounds(client: Client, run: Object, rounds: int) -> str:
    """Sets `spec.server.rounds`. Returns what happens now. Raises Problem; the API server refuses fewer rounds once the run has started."""
    refuse_ended(run)
    metadata = run["metadata"]
    patch = {"spec": {"server": {"rounds": rounds}}}
    await client.merge_patch(FEDERATED_LEARNING, metadata["namespace"], metadata["name"], patch)
    return f"trains for {rounds} rounds"
