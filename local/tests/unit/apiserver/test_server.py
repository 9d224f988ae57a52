"""The server as a process: durability, authentication, and requests that are not supported."""

from __future__ import annotations

import asyncio
import signal
import stat
import subprocess
import threading
import time

import httpx2
import pytest
from aiohttp import web

import samples
from embedded import Embedded
from part import command
from processes import free_port
from samples import ACCOUNTS, CSRS, MAPS


def config_map(name, **data):
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data}


def as_user(server, token):
    return httpx2.Client(base_url=server.url, verify=server.context(), headers={"Authorization": f"Bearer {token}"}, timeout=20)


def made(http, path, body):
    answer = http.post(path, json=body)
    assert answer.status_code == 201, answer.text
    return answer.json()


# --- what stays ---------------------------------------------------------------------------------------------------
def write_until_killed(http, acknowledged):
    for i in range(100_000):
        try:
            answer = http.post(MAPS, json=config_map(f"m{i}", at=str(i)))
        except httpx2.HTTPError:
            return
        acknowledged[f"m{i}"] = answer.json()["metadata"]


def test_acknowledged_writes_survive_kill_9(tmp_path):
    server = Embedded(tmp_path / "s").start()
    for _ in range(3):
        acknowledged: dict = {}
        with samples.client(server.kubeconfig) as http:
            for old in http.get(MAPS).json()["items"]:
                http.delete(f"{MAPS}/{old['metadata']['name']}")
            writing = threading.Thread(target=write_until_killed, args=(http, acknowledged))
            writing.start()
            while len(acknowledged) < 40:
                time.sleep(0.001)
            server.stop(signal.SIGKILL)
            writing.join()
        server.start()
        with samples.client(server.kubeconfig) as http:
            listed = http.get(MAPS).json()
            found = {o["metadata"]["name"]: o["metadata"] for o in listed["items"]}
            assert {k: found.get(k) for k in acknowledged} == acknowledged
            assert int(listed["metadata"]["resourceVersion"]) >= max(int(m["resourceVersion"]) for m in acknowledged.values())
    assert server.stop() == 0


def test_a_restart_keeps_definitions_certificates_and_tokens(tmp_path):
    server = Embedded(tmp_path / "s").start()
    with samples.client(server.kubeconfig) as http:
        made(http, samples.CRDS, samples.CRD)
        before = made(http, samples.WIDGETS, samples.widget("a"))
        config = server.kubeconfig.read_text()
        assert server.stop() == 0
        server.start()
        assert http.get(f"{samples.WIDGETS}/a").json() == before
        assert server.kubeconfig.read_text() == config
    assert server.stop() == 0
    for name in ("admin.token", "admin.kubeconfig", "tls.key", "sa.key"):
        assert stat.S_IMODE((server.folder / name).stat().st_mode) == 0o600, name


def test_a_second_server_in_the_same_folder_is_refused(server):
    words = command("apiserver", folder=server.folder, listen=f"127.0.0.1:{free_port()}")
    done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert "does another API server use this folder?" in done.stderr


# --- who asks -----------------------------------------------------------------------------------------------------
def test_anonymous_requests_are_allowed_only_for_health(server):
    with httpx2.Client(base_url=server.url, verify=server.context()) as anonymous:
        assert anonymous.get("/readyz").text == "ok"
        answer = anonymous.get("/api/v1/namespaces")
        assert (answer.status_code, answer.json()["reason"]) == (401, "Unauthorized")
    with as_user(server, "wrong") as stranger:
        assert stranger.get("/version").status_code == 401


def test_a_certificate_request_names_the_authenticated_user(tmp_path):
    tokens = tmp_path / "tokens.csv"
    tokens.write_text('secret,system:open-cluster-management:c1:agent,u1,"group-a,group-b"\n')
    server = Embedded(tmp_path / "s", token_file=tokens).start()
    try:
        with as_user(server, "secret") as agent:
            body = samples.csr("r", username="admin", groups=["system:masters"])
            spec = made(agent, CSRS, body)["spec"]
            assert (spec["username"], spec["uid"]) == ("system:open-cluster-management:c1:agent", "u1")
            assert spec["groups"] == ["group-a", "group-b", "system:authenticated"]
            change = {"spec": {"username": "admin"}, "metadata": {"labels": {"a": "b"}}}
            assert agent.patch(f"{CSRS}/r", json=change, headers={"Content-Type": samples.MP}).json()["spec"] == spec
            approval = {"status": {"conditions": [{"type": "Approved", "status": "True", "reason": "r", "message": "m"}]}}
            found = agent.patch(f"{CSRS}/r/approval", json=approval, headers={"Content-Type": samples.MP}).json()
            assert found["status"]["conditions"][0]["type"] == "Approved"
            tokens.write_text("other,somebody,u2\n")
            assert agent.get(CSRS).status_code == 401
        with as_user(server, "other") as other:
            asked = made(other, CSRS, samples.csr("s"))["spec"]
            assert (asked["username"], asked["uid"], asked["groups"]) == ("somebody", "u2", ["system:authenticated"])
    finally:
        assert server.stop() == 0


def test_a_service_account_token_is_invalid_without_its_account(server, http):
    made(http, ACCOUNTS, {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "runner"}})
    request = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {"expirationSeconds": 600}}
    status = made(http, f"{ACCOUNTS}/runner/token", request)["status"]
    with as_user(server, status["token"]) as runner:
        asked = made(runner, CSRS, samples.csr("of-the-runner"))["spec"]
        assert asked["username"] == "system:serviceaccount:default:runner"
        assert "system:serviceaccounts:default" in asked["groups"]
        http.delete(f"{ACCOUNTS}/runner")
        assert runner.get("/version").status_code == 401
    with as_user(server, status["token"][:-2] + "AA") as forger:
        assert forger.get("/version").status_code == 401
    refused = http.post(f"{ACCOUNTS}/default/token", json=request)
    assert refused.status_code == 404


# --- logs ---------------------------------------------------------------------------------------------------------
@pytest.fixture
async def node(tmp_path):
    """A log server like the local node's, which returns the request."""

    async def answer(request):
        if request.headers.get("Authorization") != "Bearer node-secret":
            return web.Response(status=401)
        if "previous" in request.query:
            return web.Response(status=400, text='previous terminated container "c" in pod "p" not found')
        if "limitBytes" in request.query:
            response = web.StreamResponse()
            await response.prepare(request)
            await response.write(b"half of a")
            request.transport.close()
            return response
        return web.Response(text=f"{request.path} {request.query_string}\n")

    application = web.Application()
    application.router.add_get("/containerLogs/{tail:.*}", answer)
    runner = web.AppRunner(application)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield runner.addresses[0][1]
    await runner.cleanup()


async def test_logs_come_from_the_pods_node(node, tmp_path):
    token = tmp_path / "token"
    token.write_text("node-secret")
    server = Embedded(tmp_path / "s", node_token=token).start()

    def ask():
        with samples.client(server.kubeconfig) as http:
            made(http, "/api/v1/nodes", {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n"}})
            status = {"addresses": [{"type": "InternalIP", "address": "127.0.0.1"}], "daemonEndpoints": {"kubeletEndpoint": {"Port": node}}}
            http.patch("/api/v1/nodes/n/status", json={"status": status}, headers={"Content-Type": samples.MP})
            made(http, ACCOUNTS, {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default"}})
            pods = "/api/v1/namespaces/default/pods"
            two = [{"name": "c", "image": "x"}, {"name": "d", "image": "x"}]
            made(http, pods, samples.pod("p", containers=two))
            assert http.get(f"{pods}/p/log?container=c").text == ""  # no node yet
            made(http, f"{pods}/p/binding", {"target": {"name": "n"}})
            with pytest.raises(httpx2.RemoteProtocolError, match="incomplete chunked read"):
                http.get(f"{pods}/p/log?container=c&limitBytes=9")  # never taken for the whole log
            return [http.get(f"{pods}/p/log{q}") for q in ("?container=c&tailLines=3", "", "?container=zz", "?container=c&previous=true")]

    try:
        good, which, unknown, previous = await asyncio.to_thread(ask)
    finally:
        assert server.stop() == 0
    assert good.text == "/containerLogs/default/p/c tailLines=3\n"
    assert which.json()["message"] == "a container name must be specified for pod p, choose one of: [c d]"
    assert unknown.json()["message"] == "container zz is not valid for pod p"
    assert (previous.status_code, "previous terminated container" in previous.json()["message"]) == (400, True)


# --- what is not served -------------------------------------------------------------------------------------------
def test_protobuf_is_refused_with_a_remedy(http):
    answer = http.post(MAPS, content=b"k8s\x00", headers={"Content-Type": "application/vnd.kubernetes.protobuf"})
    assert answer.status_code == 415
    assert "use `kubectl apply`" in answer.json()["message"]
    assert "--dry-run=client -o yaml | kubectl apply -f -" in answer.json()["message"]


def test_a_body_that_is_too_large_is_refused(http):
    assert http.post(MAPS, json=config_map("large", a="x" * (4 << 20))).status_code == 413


@pytest.mark.parametrize("path", ["/api/v1/namespaces/default/pods/p/exec", "/api/v1/namespaces/default/pods/p/eviction"])
def test_unknown_subresources(http, path):
    assert http.post(path, json={}).json()["reason"] == "NotFound"
