"""Runs that cannot work, on a real API server: it accepts each of them, and refuses an object of some, which their message explains."""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Iterator
from dataclasses import replace

import pytest
import yaml

from impossible_runs import CLUSTERS, FAILED, REFUSED_BY_THE_HUB, WAITING, Spec, client
from panal.api.crd import crd
from panal.api.names import COLLABORATOR_NAMESPACE
from panal.api.types import Phase, Status
from panal.hub.apply import REFUSED
from panal.hub.difference import stamped
from panal.kube.connection import APPLY_PATCH, Connection, Request
from panal.kube.errors import ApiError, Invalid
from panal.kube.kinds import FEDERATED_LEARNING, kind_of
from panal.kube.objects import Object, key_of
from panal.lifecycle.decide import decide
from panal.lifecycle.refused import by_a_cluster
from panal.lifecycle.world import Refusal, World
from worlds import NOW, fresh, manifests, reason_of, remedy, resource, run, running

pytestmark = pytest.mark.real
NAMESPACE = "ns"  # that of the worlds


class Hub:
    """An API server that is asked without storing anything."""

    def __init__(self, api) -> None:
        self._kubeconfig = api.kubeconfig

    def accepts(self, specs: list[Spec]) -> list[str]:
        """Why it does not, for those that it does not."""
        wanted = [resource(**copy.deepcopy(spec)) for spec in specs]
        for obj in wanted:
            obj["metadata"] = {"name": "digits", "namespace": NAMESPACE}
        path, query = FEDERATED_LEARNING.path(NAMESPACE), {"fieldValidation": "Strict"}
        answers = self._send([Request("create", "POST", path, query, obj) for obj in wanted])
        return [f"{spec}: {answer}" for spec, answer in zip(specs, answers, strict=True) if isinstance(answer, ApiError)]

    def refusal(self, objects: list[Object]) -> Refusal:
        """As the controller has it from `hub.apply`."""
        query = {"fieldManager": "panal", "force": "true"}
        requests = [Request("apply", "PATCH", kind_of(o).path(*key_of(o)), query, stamped(o), APPLY_PATCH) for o in objects]
        obj, error = next((o, e) for o, e in zip(objects, self._send(requests), strict=True) if isinstance(e, ApiError))
        assert isinstance(error, REFUSED), error
        namespace, name = key_of(obj)
        return Refusal(obj["kind"], namespace, name, error.message, isinstance(error, Invalid))

    def _send(self, requests: list[Request]) -> list[ApiError | Object]:
        async def one(connection: Connection, request: Request) -> ApiError | Object:
            try:
                return await connection.send(replace(request, query={**request.query, "dryRun": "All"}))
            except ApiError as error:
                return error

        async def every() -> list[ApiError | Object]:
            connection = Connection.open(self._kubeconfig, 30)
            try:
                return await asyncio.gather(*(one(connection, request) for request in requests))
            finally:
                await connection.close()

        return asyncio.run(every())


@pytest.fixture(scope="module")
def hub(hub_api) -> Iterator[Hub]:
    hub_api.kubectl("apply", "--server-side", "--force-conflicts", "-f", "-", stdin=yaml.safe_dump(crd()))
    hub_api.kubectl("wait", f"crd/{crd()['metadata']['name']}", "--for=condition=Established", "--timeout=30s")
    hub_api.namespaces(NAMESPACE, COLLABORATOR_NAMESPACE)
    yield Hub(hub_api)
    hub_api.kubectl("delete", "namespace", NAMESPACE, COLLABORATOR_NAMESPACE, "--timeout=120s")


def test_the_schema_accepts_them(hub: Hub) -> None:
    specs = [case.spec for case in (*FAILED, *WAITING, *CLUSTERS)] + [spec for spec, _, _ in REFUSED_BY_THE_HUB]
    assert len(specs) >= 100
    assert hub.accepts(specs) == []


def decided(world: World) -> Status:
    status = decide(world, NOW).status
    assert status is not None
    return status


@pytest.mark.parametrize(("spec", "kind", "field"), REFUSED_BY_THE_HUB, ids=[str(spec)[:80] for spec, _, _ in REFUSED_BY_THE_HUB])
def test_a_refused_object_is_explained_by_the_field_of_the_run(hub: Hub, spec: Spec, kind: str, field: str) -> None:
    world = fresh(run=run(**copy.deepcopy(spec)))
    refusal = hub.refusal(list(decide(world, NOW).apply))
    assert refusal.kind == kind
    status = decided(replace(world, refused=(refusal,)))
    assert (status.phase, reason_of(status)) == (Phase.FAILED, "ObjectRefused")
    assert status.message.startswith(f"{field}the hub refuses {kind} digits")
    assert status.message.endswith(remedy("ObjectRefused"))


@pytest.mark.parametrize(
    ("spec", "field"), [(s, f) for s, kind, f in REFUSED_BY_THE_HUB if kind == "Job"], ids=lambda value: str(value)[:80]
)
def test_a_refused_collaborator_is_explained_by_the_field_of_the_run(hub: Hub, spec: Spec, field: str) -> None:
    """The work agent reports what its cluster's API server answers."""
    asked = client(**spec["server"])
    assert hub.accepts([asked]) == []
    plan = decide(running(run=run(**copy.deepcopy(asked)), works={}), NOW)
    refusal = hub.refusal([manifests(plan)["StatefulSet"]])
    assert by_a_cluster(refusal.message).startswith(field.replace("server", "client"))
