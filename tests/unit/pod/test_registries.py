"""What registries get of a model: the folder that MLflow loads, and the version in a Kubeflow Model Registry."""

from __future__ import annotations

import asyncio
import json
import math
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

import publications
from certificates import authority
from panal.api.export import Listing
from panal.api.status import PublishedModelRegistry
from panal.lifecycle.decide import decide
from panal.pod import registering
from panal.pod.registries.lineage import metrics
from panal.pod.registries.model_registry import custom_properties, model_format
from panal.pod.registries.packing import packed
from panal.pod.tracking.server import ServerError
from worlds import MODEL, NOW, applied, done, run, status_after


@pytest.mark.parametrize("graph", ["model.onnx", "graphs/line.onnx"])
def test_exported_files_are_below_a_folder_of_their_own(graph: str, tmp_path: Path) -> None:
    model, digest = tmp_path / "model.safetensors", f"sha256:{'a' * 64}"
    model.touch()
    (tmp_path / "export").mkdir()
    names = (graph, "python_env.yaml", "conda.yaml", "MLmodel", "requirements.txt", model.name)
    files = [{"name": name, "size": 1, "digest": digest, "check": ""} for name in names]
    listing = Listing.model_validate({"function": "app:export", "files": files})
    (tmp_path / "export/export.json").write_text(listing.model_dump_json(by_alias=True))
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    found = packed(model, "run", scratch)
    assert {name for name in found if not name.startswith("export/")} == {"MLmodel", "requirements.txt", "model.safetensors"}
    assert {f"export/{name}" for name in names} <= found.keys()
    assert found["model.safetensors"] == model
    flavors = json.loads(found["MLmodel"].read_text())["flavors"]
    assert {each["data"] for each in flavors.values()} == {f"export/{graph}"}
    assert found[f"export/{graph}".rpartition("/")[0] + "/MLmodel"] == found["MLmodel"], "which mlflow.onnx reads"


# --- a Kubeflow Model Registry ----------------------------------------------------------------------------------
class Registry:
    """Answers as the real one does (`tests/model_registry`): names are unique below a parent, and _ in a searched name is any character."""

    def __init__(self, api: str = "v1alpha3") -> None:
        self.api, self.entities, self.asked = api, [], []

    def answer(self, method: str, path: str, body: dict[str, Any], query: Mapping[str, str]) -> tuple[int, Any]:
        root = f"/api/model_registry/{self.api}/"
        if not path.startswith(root):
            return 404, "404 page not found\n"
        place = path.removeprefix(root)
        here = [each for each in self.entities if each["place"] == place]
        if method == "GET":
            self.asked.append(query)
            return 200, self.page(here, query)
        if any(each["name"] == body["name"] for each in here):
            return 409, {"code": "Conflict", "message": f"{body['name']} already exists: conflict"}
        made = body | {"place": place, "id": str(len(self.entities) + 1)}
        self.entities.append(made)
        return 201, made

    def page(self, entities: list[dict[str, Any]], query: Mapping[str, str]) -> dict[str, Any]:
        """One that does not know filterQuery: one entity, and the way to the next."""
        first = int(query.get("nextPageToken", 0))
        rest = len(entities) > first + 1
        return {"items": entities[first : first + 1], "size": 1, "pageSize": 1, "nextPageToken": str(first + 1) if rest else ""}

    def named(self, end: str) -> list[str]:
        return [each["name"] for each in self.entities if each["place"].endswith(end)]


@asynccontextmanager
async def registry(served: Registry | tuple[int, str], tls: ssl.SSLContext | None = None) -> AsyncIterator[str]:
    async def answer(request: web.Request) -> web.Response:
        if isinstance(served, tuple):
            return web.Response(status=served[0], text=served[1])
        body = await request.json() if request.can_read_body else {}
        status, found = served.answer(request.method, request.path, body, request.query)
        return web.Response(status=status, text=found if isinstance(found, str) else json.dumps(found))

    app = web.Application()
    app.router.add_route("*", "/{any:.*}", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls).start()
    try:
        yield f"http{'s' if tls else ''}://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


async def published(uri: str, folder: Path, uid: str = "0a1b2c3d-x", name: str = "digits", ca: str = "") -> PublishedModelRegistry:
    model = folder / "model.safetensors"
    (folder / "metadata.json").write_text(json.dumps(publications.METADATA))
    wanted = publications.server(uri, name, model="s3://models/m.safetensors", export="", secret="token", authorities=ca)
    said = publications.content(uid, modelRegistry=wanted)
    found = (await registering.publish(publications.variables(model, said), folder)).model_registry
    assert found
    return found


@pytest.mark.parametrize("api", ["v1alpha3", "v1"])
async def test_a_model_becomes_one_version_whatever_was_there_before(tmp_path: Path, api: str) -> None:
    """Also with a registry that does not know filterQuery, and has more pages."""
    served = Registry(api)
    async with registry(served) as uri:
        for name in ("digitsXv2", "digits_v2"):
            found = await published(uri, tmp_path, name=name)
            assert await published(uri, tmp_path, name=name) == found
        await published(uri, tmp_path, "another", name="digits_v2")
        assert await published(uri, tmp_path, name="digits_v2") == found
    assert served.named("registered_models") == ["digitsXv2", "digits_v2"]
    assert served.named("/versions") == ["digits-aaaaaaaa-0a1b2c3d", "digits-aaaaaaaa-0a1b2c3d", "digits-aaaaaaaa-another"]
    assert served.named("/artifacts") == ["digitsXv2", "digits_v2", "digits_v2"]
    artifact = served.entities[2]
    assert (artifact["uri"], artifact["modelFormatName"], artifact["artifactType"]) == (
        "s3://models/m.safetensors", "safetensors", "model-artifact",
    )  # fmt: skip
    assert artifact["customProperties"]["accuracy"] == {"metadataType": "MetadataDoubleValue", "double_value": 0.9}
    assert artifact["customProperties"]["panal.uid"] == {"metadataType": "MetadataStringValue", "string_value": "0a1b2c3d-x"}
    assert served.asked[-1]["filterQuery"] == "name = 'digits_v2'"


async def test_a_version_without_its_artifact_gets_it(tmp_path: Path) -> None:
    served = Registry()
    async with registry(served) as uri:
        found = await published(uri, tmp_path)
        served.entities.pop()
        assert await published(uri, tmp_path) == found
    assert served.named("/artifacts") == ["digits"]
    assert len(served.entities) == 3


NONE_THERE = "uri: {uri} does not answer as a Model Registry does; give the URL of its REST API, without /api/model_registry"
REFUSALS = {
    "token": (401, "no", "secretName: the server refuses the credentials (the Secret token): no"),
    "right": (403, "no", "secretName: the server refuses the credentials (the Secret token): no"),
    "sign-in": (302, "", "uri: the server answers 302, a redirect; give the URL of its API, and credentials"),
    "elsewhere": (404, "", NONE_THERE),
    "page": (200, "<html>", NONE_THERE),
    "list": (200, "[]", NONE_THERE),
    "object": (200, "{}", NONE_THERE),
    "items": (200, '{"items": 1}', NONE_THERE),
}  # fmt: skip


async def test_the_container_reads_what_the_controller_says(tmp_path: Path) -> None:
    served = Registry()
    (tmp_path / "metadata.json").write_text(json.dumps(publications.METADATA))
    async with registry(served) as uri:
        spec = {"publish": {"modelRegistry": {"uri": uri, "name": "digits"}}}
        before = done(run=run(done().run.status, **spec))
        (job,) = applied(decide(replace(before, run=run(status_after(before), **spec), works={}), NOW), "Job")
        (container,) = job["spec"]["template"]["spec"]["containers"]
        env = {each["name"]: each["value"] for each in container["env"]}
        found = await registering.publish(env | {"PANAL_MODEL": str(tmp_path / "model.safetensors")}, tmp_path)
    assert found.model_registry
    assert found.model_registry.version.startswith(f"digits-{MODEL.digest.removeprefix('sha256:')[:8]}-")
    assert served.entities[-1]["uri"] == MODEL.uri


class Waited(BaseException):
    """Another attempt would be made."""


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    sleep = asyncio.sleep

    async def wait(seconds: float) -> None:
        if seconds >= registering.FIRST:
            raise Waited
        await sleep(seconds)

    monkeypatch.setattr(registering.asyncio, "sleep", wait)


async def test_a_registry_without_its_database_is_asked_again(tmp_path: Path, impatient: None) -> None:
    async with registry((503, '{"message": "Datastore service is down"}')) as uri:
        with pytest.raises(Waited):
            await published(uri, tmp_path)


@pytest.mark.parametrize("case", REFUSALS)
async def test_what_is_wrong_is_said_at_once_with_the_field(tmp_path: Path, case: str, impatient: None) -> None:
    status, body, said = REFUSALS[case]
    async with registry((status, body)) as uri:
        with pytest.raises(ServerError) as raised:
            await published(uri, tmp_path)
        assert str(raised.value) == "spec.publish.modelRegistry." + said.format(uri=uri)


@pytest.mark.parametrize(
    ("address", "trusted", "said"),
    [
        ("127.0.0.1", True, ""),
        (
            "127.0.0.1",
            False,
            "caBundle: the certificate of {uri} is not accepted: unable to get local issuer certificate; name the authority",
        ),
        (
            "127.0.0.2",
            True,
            "uri: the certificate of {uri} is not accepted: IP address mismatch, .*; give the name that is in the certificate",
        ),
    ],
)
async def test_a_certificate_that_is_not_accepted_is_said_at_once(
    tmp_path: Path, address: str, trusted: bool, said: str, impatient: None
) -> None:
    issuer = authority()
    own = issuer.issue("registry", x509.IPAddress(ip_address(address)), usages=[ExtendedKeyUsageOID.SERVER_AUTH])
    (tmp_path / "tls.pem").write_bytes(own.key + own.certificate)
    (tmp_path / "ca.crt").write_bytes(issuer.certificate)
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(tmp_path / "tls.pem")
    async with registry(Registry(), tls) as uri:
        ca = str(tmp_path / "ca.crt") if trusted else ""
        if not said:
            assert (await published(uri, tmp_path, ca=ca)).name == "digits"
            return
        with pytest.raises(ServerError, match=said.format(uri=uri)) as raised:
            await published(uri, tmp_path, ca=ca)
        assert raised.value.args[0].startswith("spec.publish.modelRegistry.")


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        (["notes.txt", "a/model.ONNX"], ("onnx", "1")),
        (["trees.ubj"], ("xgboost", "1")),
        (["model.safetensors"], ("safetensors", None)),
        (["weights.bin"], (None, None)),
    ],
)
def test_the_format_is_that_of_the_first_known_file(files: list[str], expected: tuple[str | None, str | None]) -> None:
    found = model_format(files)
    assert (found.get("modelFormatName"), found.get("modelFormatVersion")) == expected


def test_a_metric_never_hides_the_origin() -> None:
    found = custom_properties({"panal.uid": "u"}, {"panal.uid": 1.0, "x" * 300: 2.0, "": 3.0})
    assert found["panal.uid"]["string_value"] == "u"
    assert sorted(map(len, found)) == [9, 255]


def test_numbers_that_are_none_are_left_out() -> None:
    assert metrics({"metrics": {"a": 1, "b": "NaN", "c": math.inf, "d": math.nan}}) == {"a": 1}
    assert metrics({"metrics": None}) == {}
