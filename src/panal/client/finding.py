"""Finds a run by its name."""

from __future__ import annotations

from panal.client.problem import Code, Problem
from panal.kube.client import Client, Selector
from panal.kube.kinds import FEDERATED_LEARNING
from panal.kube.objects import Object


async def find(client: Client, name: str, namespace: str | None) -> Object:
    """The run of that name, in `namespace` or in any namespace. Raises Problem if there is none, or more than one."""
    if namespace:
        return await client.get(FEDERATED_LEARNING, namespace, name)
    found = (await client.list(FEDERATED_LEARNING, Selector(fields=f"metadata.name={name}"))).items
    if len(found) > 1:
        where = ", ".join(sorted(run["metadata"]["namespace"] for run in found))
        raise Problem(Code.USAGE, f"the namespaces {where} each have a run {name}", "Give one namespace with -n.")
    if not found:
        raise Problem(Code.NOT_FOUND, f"the run {name} does not exist", "`panal get` lists the runs.")
    return found[0]


async def with_model(client: Client, name: str, namespace: str | None) -> Object:
    run = await find(client, name, namespace)
    if not (run.get("status") or {}).get("model"):
        raise Problem(Code.NOT_FOUND, f"{name} has no stored model", f"`panal get {name}` shows its state.")
    return run


def split(name: str, namespace: str | None) -> tuple[str, str | None]:
    before, slash, after = name.partition("/")
    return (after, before) if slash else (name, namespace)
