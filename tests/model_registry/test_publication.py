"""A model in a real Kubeflow Model Registry: what its own client reads, and that there is one version after a crash at any moment."""

from __future__ import annotations

import json
import os
import ssl
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

import mlflow_server
import publications
from certificates import authority
from model_registry_server import Server, serving
from panal.api.status import PublishedModelRegistry
from panal.pod import registering
from panal.pod.registries.model_registry import ModelRegistry
from panal.pod.tracking.server import ServerError
from processes import free_port
from publications import DIGEST, exported, variables

MODEL, EXPORT = "pvc://models/team/digits/u/model.safetensors", "pvc://models/team/digits/u/export"


Handler = Callable[[web.Request], Awaitable[web.Response]]


class Killed(BaseException):
    """The process ends here."""


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return exported(tmp_path / "model")


def content(uri: str, name: str, uid: str = "", export: str = EXPORT, **more: Any) -> dict[str, Any]:
    wanted = publications.server(uri, name, model=MODEL, export=export, **more)
    return publications.content(uid or f"uid-{name}", modelRegistry=wanted)


async def published(model: Path, said: dict[str, Any], scratch: Path) -> PublishedModelRegistry:
    found = (await registering.publish(variables(model, said), scratch)).model_registry
    assert found
    return found


async def test_the_registrys_own_client_reads_the_version(server: Server, model: Path, tmp_path: Path) -> None:
    found = await published(model, content(server.uri, "digits", "0a1b2c3d-uid"), tmp_path)
    name = f"digits-{'a' * 8}-0a1b2c3d"
    assert (found.name, found.version) == ("digits", name)
    assert found.uri == f"model-registry://{server.uri.removeprefix('http://')}/digits/{name}"
    version, artifact = server.read(
        f"version = registry.get_model_version('digits', {name!r})\n"
        f"artifact = registry.get_model_artifact('digits', {name!r})\n"
        "print(json.dumps([each.model_dump(mode='json') for each in (version, artifact)]))"
    )
    assert (version["id"], version["state"], version["author"]) == (found.id, "LIVE", "panal")
    assert version["description"] == "Model of team/digits after round 3"
    assert version["external_id"] == f"0a1b2c3d-uid:{DIGEST}"
    assert (artifact["uri"], artifact["state"]) == (EXPORT, "LIVE")
    assert (artifact["model_format_name"], artifact["model_format_version"]) == ("onnx", "1")
    for properties in (version["custom_properties"], artifact["custom_properties"]):
        assert (properties["accuracy"], properties["top@5"]) == (0.9, 0.99)
        assert "loss" not in properties, "which is not finite"
        assert (properties["panal.uid"], properties["panal.model.digest"]) == ("0a1b2c3d-uid", DIGEST)
        assert (properties["panal.model.uri"], properties["panal.validated"]) == ("pvc://models/x/model.safetensors", "True")
        assert json.loads(properties["panal.clusters"]) == {"hospital-a": 3, "hospital-b": 1}


async def test_a_model_without_an_export_is_where_the_run_has_stored_it(server: Server, model: Path, tmp_path: Path) -> None:
    (model.parent / "export/export.json").unlink()
    found = await published(model, content(server.uri, "plain", export=""), tmp_path)
    (artifact,) = server.artifacts(found.id)
    assert (artifact["uri"], artifact["modelFormatName"], "modelFormatVersion" in artifact) == (MODEL, "safetensors", False)


@pytest.mark.parametrize("arrives", [True, False])
@pytest.mark.parametrize("last", range(1, 7))
async def test_a_job_that_was_killed_at_any_request_makes_one_version(
    server: Server, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, last: int, arrives: bool
) -> None:
    """The process ends before the request, or before its answer."""
    ask, count = ModelRegistry._ask, 0
    said = content(server.uri, f"killed-{last}-{arrives}")

    async def dying(self: ModelRegistry, *words: Any, **what: Any) -> dict[str, Any]:
        nonlocal count
        count += 1
        if count == last and not arrives:
            raise Killed
        answer = await ask(self, *words, **what)
        if count == last:
            raise Killed
        return answer

    monkeypatch.setattr(ModelRegistry, "_ask", dying)
    with pytest.raises(Killed):
        await published(model, said, tmp_path)
    count = 10
    found = await published(model, said, tmp_path)
    (version,) = server.versions(found.name)
    assert (version["id"], version["name"]) == (found.id, found.version)
    assert len(server.artifacts(found.id)) == 1
    assert await published(model, said, tmp_path) == found, "another attempt finds it"


async def test_two_jobs_at_the_same_time_make_one_version(
    server: Server, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each looks before the other has created anything, so the registry refuses the second."""
    ask, said = ModelRegistry._ask, content(server.uri, "at-once")
    others: list[PublishedModelRegistry] = []

    async def overtaken(self: ModelRegistry, method: str, path: str, **what: Any) -> dict[str, Any]:
        if method == "POST" and not others:
            monkeypatch.setattr(ModelRegistry, "_ask", ask)
            others.append(await published(model, said, tmp_path))
        return await ask(self, method, path, **what)

    monkeypatch.setattr(ModelRegistry, "_ask", overtaken)
    found = await published(model, said, tmp_path)
    assert others == [found]
    assert len(server.versions("at-once")) == 1
    assert len(server.artifacts(found.id)) == 1


async def test_another_run_of_the_same_name_is_another_version(server: Server, model: Path, tmp_path: Path) -> None:
    uids = ("11111111-a", "22222222-b", "11111111-a")
    found = [await published(model, content(server.uri, "several", uid), tmp_path) for uid in uids]
    assert found[0] == found[2] != found[1]
    assert len(server.versions("several")) == 2


async def test_a_name_is_not_a_pattern(server: Server, model: Path, tmp_path: Path) -> None:
    """The registry's search by name takes _ for any character."""
    first = await published(model, content(server.uri, "modelXv2"), tmp_path)
    found = await published(model, content(server.uri, "model_v2"), tmp_path)
    assert (found.name, len(server.versions("model_v2"))) == ("model_v2", 1)
    assert found.id != first.id


async def test_an_archived_model_and_a_foreign_version_are_named(server: Server, model: Path, tmp_path: Path) -> None:
    said = content(server.uri, "old")
    found = await published(model, said, tmp_path)
    server.change(f"model_versions/{found.id}", customProperties={})
    with pytest.raises(ServerError, match=r"^spec\.publish\.modelRegistry\.name: old has a version .* of another origin"):
        await published(model, said, tmp_path)
    server.change(f"registered_models/{server.model('old')['id']}", state="ARCHIVED")
    with pytest.raises(ServerError, match=r"^spec\.publish\.modelRegistry\.name: the registered model old is archived; restore it"):
        await published(model, said, tmp_path)


async def test_a_registry_that_is_away_is_asked_again(store: str, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    port = free_port()
    started: list[Server] = []
    (tmp_path / "later").mkdir()
    later = serving(tmp_path / "later", store, port)

    async def starting(_: float) -> None:
        if not started:
            started.append(later.__enter__())

    monkeypatch.setattr(registering.asyncio, "sleep", starting)
    try:
        found = await published(model, content(f"http://127.0.0.1:{port}", "late"), tmp_path)
        assert found.name == "late"
    finally:
        later.__exit__(None, None, None)


@pytest.fixture
async def guarded(server: Server, tmp_path: Path) -> AsyncIterator[str]:
    """The registry behind TLS and a proxy that asks for a token, as OpenShift AI has it. The authority is in `ca.crt`."""
    issuer = authority()
    own = issuer.issue("registry", x509.IPAddress(ip_address("127.0.0.1")), usages=[ExtendedKeyUsageOID.SERVER_AUTH])
    (tmp_path / "ca.crt").write_bytes(issuer.certificate)
    (tmp_path / "tls.pem").write_bytes(own.key + own.certificate)
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(tmp_path / "tls.pem")

    async def forward(request: web.Request) -> web.Response:
        given = request.headers.get("Authorization")
        if given is None:
            return web.Response(status=302, headers={"Location": "/oauth/start"})
        if given != "Bearer right":
            return web.Response(status=403, text="Forbidden")
        return await forwarded(request, f"{server.uri}{request.path_qs}")

    async with proxy(forward, tls) as port:
        yield f"https://127.0.0.1:{port}"


@asynccontextmanager
async def proxy(handler: Handler, tls: ssl.SSLContext | None = None) -> AsyncIterator[int]:
    app = web.Application()
    app.router.add_route("*", "/{any:.*}", handler)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls).start()
    try:
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()


async def forwarded(request: web.Request, to: str) -> web.Response:
    body, headers = await request.read(), {"Content-Type": "application/json"}
    async with aiohttp.ClientSession() as http, http.request(request.method, to, data=body, headers=headers) as answer:
        return web.Response(status=answer.status, body=await answer.read(), content_type="application/json")


async def test_the_token_and_the_authority_of_a_guarded_registry(
    guarded: str, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def said(token: str | None, ca: Path | None) -> str:
        bundle = {"authorities": str(ca), "bundle": "key ca.crt of ConfigMap registry-ca"} if ca else {}
        env = variables(model, content(guarded, "guarded", secret="registry", **bundle))
        try:
            found = await registering.publish(env | ({"MODEL_REGISTRY_TOKEN": token} if token else {}), tmp_path)
        except ServerError as error:
            return str(error)
        return found.model_registry.name if found.model_registry else ""

    ca = tmp_path / "ca.crt"
    assert await said("right\n", ca) == "guarded"
    wrong = await said("wrong", ca)
    assert wrong == "spec.publish.modelRegistry.secretName: the server refuses the credentials (the Secret registry): Forbidden"
    redirected = await said(None, ca)
    assert redirected.startswith(
        "spec.publish.modelRegistry.uri: the server answers 302, a redirect; give the URL of its API, and credentials"
    )
    unknown = await said("right", None)
    assert unknown.startswith(f"spec.publish.modelRegistry.caBundle: the certificate of {guarded} is not accepted: ")
    assert unknown.endswith("; name the authority that issued it")
    monkeypatch.setattr(registering, "LEFT", 200.0)  # it could still come
    absent = await said("right", tmp_path / "none.crt")
    assert absent == "spec.publish.modelRegistry.caBundle: there is no key ca.crt of ConfigMap registry-ca"


async def test_a_registry_that_has_only_the_newer_api(server: Server, model: Path, tmp_path: Path) -> None:
    """It says what the server of the tests says, at the other path."""

    async def renamed(request: web.Request) -> web.Response:
        if "/v1/" not in request.path:
            return web.Response(status=404, text="404 page not found")
        return await forwarded(request, f"{server.uri}{request.path_qs.replace('/v1/', '/v1alpha3/', 1)}")

    async with proxy(renamed) as port:
        found = await published(model, content(f"http://127.0.0.1:{port}", "newer"), tmp_path)
    assert len(server.versions("newer")) == len(server.artifacts(found.id)) == 1


def test_the_program_says_what_is_wrong(server: Server, model: Path, tmp_path: Path) -> None:
    def ended(said: dict[str, Any]) -> subprocess.CompletedProcess[str]:
        env = os.environ | variables(model, said) | {"PANAL_TERMINATION_LOG": str(tmp_path / "message"), "MODEL_REGISTRY_TOKEN": "s3cret"}
        command = [sys.executable, "-m", "panal.pod.registering"]
        return subprocess.run(command, env=env, capture_output=True, text=True, check=False, timeout=120)

    right = ended(content(server.uri, "program"))
    assert right.returncode == 0
    message = json.loads((tmp_path / "message").read_text())
    assert message.keys() == {"modelRegistry"}
    assert message["modelRegistry"]["name"] == "program"
    wrong = ended(content(f"{server.uri}/api", "program"))
    assert wrong.returncode == 1
    last = wrong.stderr.strip().splitlines()[-1]
    assert last == (
        f"spec.publish.modelRegistry.uri: {server.uri}/api does not answer as a Model Registry does; give the URL of its REST API, "
        "without /api/model_registry"
    )
    away = ended(content(f"http://127.0.0.1:{free_port()}", "program") | {"seconds": 0})
    assert "spec.publish.modelRegistry.uri: http://127.0.0.1" in away.stderr
    assert not any("s3cret" in text for each in (right, wrong, away) for text in (each.stdout, each.stderr))


async def test_both_registries_get_the_model_independently(
    server: Server, model: Path, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    with mlflow_server.serving(tmp_path_factory.mktemp("mlflow")) as mlflow:
        said = content(server.uri, "both") | {"mlflow": publications.server(mlflow.uri, "both", experiment="both")}
        absent = said | {"modelRegistry": said["modelRegistry"] | {"uri": f"{server.uri}/nowhere"}}
        with pytest.raises(ServerError, match=r"^models:/both/1 is registered; spec\.publish\.modelRegistry\.uri: ") as failed:
            await registering.publish(variables(model, absent), tmp_path)
        assert "does not answer as a Model Registry does" in str(failed.value)
        found = await registering.publish(variables(model, said), tmp_path)
        assert found.mlflow
        assert found.mlflow.uri == "models:/both/1"
        assert len(mlflow.versions("both")) == len(server.versions("both")) == 1
