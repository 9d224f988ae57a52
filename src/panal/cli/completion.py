"""Completion of names: runs, their namespaces, and managed clusters, as the hub has them that the command would use.

A shell waits for it. So it ends after PATIENCE, and without an answer it completes nothing and says nothing.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable

import typer

from panal.client.choose import choose
from panal.client.problem import Problem
from panal.kube.client import Selector
from panal.kube.errors import KubeError
from panal.kube.kinds import FEDERATED_LEARNING, MANAGED_CLUSTER, Kind
from panal.kube.objects import Object

PATIENCE = 1.0  # seconds


def runs(command: typer.Context, incomplete: str) -> list[str]:
    found = _objects(command, FEDERATED_LEARNING, command.params.get("namespace") or "")
    return _matching((each["metadata"]["name"] for each in found), incomplete)


def runs_by_namespace(command: typer.Context, incomplete: str) -> list[str]:
    """NAME, or NAMESPACE/NAME if there is a slash."""
    if "/" not in incomplete:
        return runs(command, incomplete)
    found = _objects(command, FEDERATED_LEARNING)
    return _matching((f"{each['metadata']['namespace']}/{each['metadata']['name']}" for each in found), incomplete)


def what_to_get(command: typer.Context, incomplete: str) -> list[str]:
    return [*_matching(("runs", "clusters"), incomplete), *runs(command, incomplete)]


def namespaces(command: typer.Context, incomplete: str) -> list[str]:
    """Those that have runs."""
    return _matching((each["metadata"]["namespace"] for each in _objects(command, FEDERATED_LEARNING)), incomplete)


def clusters(command: typer.Context, incomplete: str) -> list[str]:
    return _matching((each["metadata"]["name"] for each in _objects(command, MANAGED_CLUSTER)), incomplete)


def _matching(names: Iterable[str], incomplete: str) -> list[str]:
    return sorted({name for name in names if name.startswith(incomplete)})


def _objects(command: typer.Context, kind: Kind, namespace: str = "") -> list[Object]:
    """Read with the options that are before the word."""
    given = command.params
    logging.disable()
    try:
        access = choose(given.get("kubeconfig"), given.get("context"), given.get("folder"))

        async def read() -> list[Object]:
            async with asyncio.timeout(PATIENCE), access.open() as client:
                return (await client.list(kind, Selector(namespace))).items

        return asyncio.run(read())
    except (Problem, KubeError, OSError, ValueError):  # a TimeoutError is an OSError
        return []
    finally:
        logging.disable(logging.NOTSET)
