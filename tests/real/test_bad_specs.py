"""What the API server refuses: every mistake in every field of the spec, and rules over several fields. Each message names the field.

Nothing is stored: every request is a dry run.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest
import yaml

from bad_specs import VALID, bad_specs
from panal.api.crd import crd
from panal.api.names import API_VERSION, KIND
from panal.kube.connection import Connection, Request
from panal.kube.errors import ApiError, Invalid
from panal.kube.kinds import FEDERATED_LEARNING
from panal.kube.objects import Object

pytestmark = pytest.mark.real

NAMESPACE = "fl-bad-specs"
AT_ONCE = 32
DRY_RUN = {"dryRun": "All", "fieldValidation": "Strict"}


def answers(api, resources: list[Object]) -> list[ApiError | Object]:
    """What the API server answers to each of them, in their order."""

    async def ask() -> list[ApiError | Object]:
        connection, slots = Connection.open(api.kubeconfig, 30), asyncio.Semaphore(AT_ONCE)

        async def one(resource: Object) -> ApiError | Object:
            async with slots:
                try:
                    return await connection.send(Request("create", "POST", FEDERATED_LEARNING.path(NAMESPACE), DRY_RUN, resource))
                except ApiError as error:
                    return error

        try:
            return await asyncio.gather(*map(one, resources))
        finally:
            await connection.close()

    return asyncio.run(ask())


def resource(spec: Object, name: str = "run") -> Object:
    return {"apiVersion": API_VERSION, "kind": KIND, "metadata": {"name": name, "namespace": NAMESPACE}, "spec": spec}


def with_images(server: Object | None = None, client: Object | None = None) -> Object:
    return {"server": VALID["server"] | (server or {}), "client": VALID["client"] | (client or {})}


def stored(**storage: object) -> Object:
    return with_images(server={"storage": storage})


def listening(*names: str) -> Object:
    return with_images(server={"listeners": [{"name": name} for name in names]})


def selecting(number: int, needed: int | None = None) -> Object:
    return with_images({"minAvailableClients": needed} if needed else None, {"placement": {"numberOfClusters": number}})


STORAGE, TOO_FEW = "spec.server.storage: ", "client.placement.numberOfClusters is lower than server.minAvailableClients"
# The specs, and what the message has: the field's path, and what is wrong.
RULES: dict[str, tuple[list[Object], str, str]] = {
    "an environment variable of panal": (
        [with_images(server={"env": [{"name": name}]}) for name in ("PANAL_", "PANAL_CLUSTER", "PANAL_POD_DIR")],
        "spec.server.env[0].name: ",
        "are reserved; choose another name",
    ),
    "an environment variable of panal, as a second one": (
        [with_images(client={"env": [{"name": "A"}, {"name": name}]}) for name in ("PANAL_ROUNDS", "PANAL_DATA_PATH")],
        "spec.client.env[1].name: ",
        "are reserved; choose another name",
    ),
    "two listeners of one name": (
        [listening("a", "a"), listening("a", "b", "a"), listening("", "a", "", "a")],
        "spec.server.listeners: ",
        "listeners: names must be unique",
    ),
    "a bucket without a name": ([stored(type="S3Bucket"), stored(type="S3Bucket", path="a")], STORAGE, "storage.s3: required"),
    "a prefix outside the bucket": (
        [stored(type="S3Bucket", s3={"bucketName": "models", "prefix": prefix}) for prefix in ("..", "a/..", "../a/")],
        "spec.server.storage.s3: ",
        "storage.s3.prefix: must not contain ..",
    ),
    "a path that is not a folder of a node": (
        [stored(type="HostPath", **path) for path in ({}, {"path": ""}, {"path": "/"}, {"path": "a"}, {"path": "./a"}, {"path": " /a"})],
        STORAGE,
        "storage.path: required with type HostPath",
    ),
    "a folder outside the volume": (
        [stored(path=path) for path in ("..", "../a", "/..", "a/..", "a/../b", "/a/b/../..", "a//../b")],
        STORAGE,
        "storage.path: must not contain ..",
    ),
    "fewer clusters than are needed": ([selecting(0), selecting(1, 2), selecting(9, 10)], "spec: ", TOO_FEW),
    "no image of the aggregator": (
        [{"client": VALID["client"]}, {**VALID, "server": {}}, {**VALID, "server": {"image": ""}}],
        "spec.server.image: ",
        "name the image that holds the app",
    ),
    "no image of the collaborators": (
        [{"server": VALID["server"]}, {**VALID, "client": {}}, {**VALID, "client": {"image": ""}}],
        "spec.client.image: ",
        "name the image that holds what the app needs",
    ),
}
NAMES = ("a" * 41, "1run", "my.run", "9", "a.b", "a" * 253)
NO_NAMES = ("Run", "-run", "run-", "my_run", "a b", "run/a", "ä", "a" * 254)  # of any object of Kubernetes


@pytest.fixture(scope="module", params=["hub_api", "embedded_api"])
def api(request) -> Iterator[object]:
    """A real API server, and the one of the local platform: both give the same verdicts."""
    found = request.getfixturevalue(request.param)
    found.kubectl("apply", "--server-side", "--force-conflicts", "-f", "-", stdin=yaml.safe_dump(crd()))
    found.kubectl("wait", f"crd/{crd()['metadata']['name']}", "--for=condition=Established", "--timeout=30s")
    found.namespaces(NAMESPACE)
    yield found
    found.kubectl("delete", "namespace", NAMESPACE, "--wait=false")


def test_what_is_around_the_mistakes_is_valid(api) -> None:
    (answer,) = answers(api, [resource(VALID)])
    assert not isinstance(answer, ApiError), answer


def test_every_mistake_is_refused_by_the_name_of_its_field(api) -> None:
    cases = bad_specs()
    assert len(cases) >= 300
    found = zip(cases, answers(api, [resource(bad.spec) for bad in cases]), strict=True)
    wrong = [f"{bad.id}: {answer}" for bad, answer in found if not (isinstance(answer, Invalid) and bad.path in answer.message)]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("rule", RULES)
def test_a_rule_over_several_fields_is_explained(api, rule: str) -> None:
    specs, path, words = RULES[rule]
    for spec, answer in zip(specs, answers(api, list(map(resource, specs))), strict=True):
        assert isinstance(answer, Invalid), spec
        assert path in answer.message
        assert words in answer.message


def test_names_are_refused_that_cannot_name_the_objects_of_a_run(api) -> None:
    for words, names in (("metadata.name: must have at most 40 characters", NAMES), ("metadata.name: Invalid value", NO_NAMES)):
        for name, answer in zip(names, answers(api, [resource(VALID, name) for name in names]), strict=True):
            assert isinstance(answer, Invalid), name
            assert words in answer.message
