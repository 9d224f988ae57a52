"""The client and the watch cache with misbehaving servers, over a real socket."""

import asyncio
import contextlib
import json

import pytest

from panal.kube.backoff import Backoff
from panal.kube.cache import Cache, Timing, Watched
from panal.kube.client import Client
from panal.kube.errors import ApiError, Conflict, Invalid, TooManyRequests, Unavailable, transient
from panal.kube.kinds import CONFIG_MAP, SECRET
from panal.kube.objects import labels_of

QUICK = Backoff(first=0.01, cap=0.02)


def config_map(name, version, labels=None):
    return {"metadata": {"namespace": "ns", "name": name, "resourceVersion": str(version), "labels": labels or {}, "managedFields": [{}]}}


def listing(version, *items, more=""):
    return {"metadata": {"resourceVersion": str(version)} | ({"continue": more} if more else {}), "items": list(items)}


def answer(body, code=200, headers=""):
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return f"HTTP/1.1 {code} X\r\nContent-Type: application/json\r\nContent-Length: {len(content)}\r\n{headers}\r\n".encode() + content


def status(code, reason, **more):
    return answer({"kind": "Status", "code": code, "reason": reason, "message": "no", **more}, code)


def stream(*events):
    """The beginning of a watch that does not end."""
    lines = b"".join(json.dumps({"type": type_, "object": obj}).encode() + b"\n" for type_, obj in events)
    chunk = f"{len(lines):x}\r\n".encode() + lines + b"\r\n" if lines else b""
    return b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk


ENDED = b"0\r\n\r\n"


class Server:
    """Sends what the test's function `respond` returns for the path of a request. None: no response. An incomplete response stays open."""

    def __init__(self):
        self.paths = []
        self.respond = lambda path: status(500, "InternalError")

    async def serve(self, reader, writer):
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while head := await reader.readuntil(b"\r\n\r\n"):
                path = head.split(b" ")[1].decode()
                self.paths.append(path)
                if (response := self.respond(path)) is not None:
                    writer.write(response)
                    await writer.drain()
        writer.close()


@pytest.fixture
async def server(tmp_path):
    server = Server()
    listener = await asyncio.start_server(server.serve, "127.0.0.1", 0)
    port = listener.sockets[0].getsockname()[1]
    config = {
        "current-context": "c",
        "clusters": [{"name": "c", "cluster": {"server": f"http://127.0.0.1:{port}"}}],
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u", "namespace": "here"}}],
        "users": [{"name": "u", "user": {"token": "t"}}],
    }
    server.kubeconfig = tmp_path / "kubeconfig"
    server.kubeconfig.write_text(json.dumps(config))
    yield server
    listener.close()


@pytest.fixture
async def client(server):
    async with Client.from_kubeconfig(server.kubeconfig, timeout=0.5) as client:
        yield client


@contextlib.asynccontextmanager
async def running(cache):
    task = asyncio.create_task(cache.run())
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def eventually(condition):
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.005)


# --- client -------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("response", "expected"),
    [
        (None, Unavailable),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{", Unavailable),
        (answer(b"<html>"), Unavailable),
        (answer(b"<html>", 502), Unavailable),
        (b"nonsense\r\n\r\n", Unavailable),
        (status(503, "ServiceUnavailable"), Unavailable),
        (status(409, "Conflict"), Conflict),
        (answer({"kind": "Status", "reason": "TooManyRequests"}, 429, "Retry-After: 7\r\n"), TooManyRequests),
    ],
)
async def test_temporary_errors_are_transient(server, client, response, expected):
    server.respond = lambda path: response
    with pytest.raises(expected) as error:
        await client.get(CONFIG_MAP, "ns", "a")
    assert transient(error.value)
    assert error.value.retry_after == (7 if expected is TooManyRequests else None)


@pytest.mark.parametrize(
    "response",
    [
        status(422, "Invalid"),
        status(400, "BadRequest"),
        status(409, "AlreadyExists"),
        status(404, "NotFound"),
        status(
            500, "", message="failed to create typed patch object (ns/a; v1, Kind=ConfigMap): .spec.x: field not declared in schema: no"
        ),
    ],
)
async def test_permanent_errors_are_not_transient(server, client, response):
    server.respond = lambda path: response
    with pytest.raises(ApiError, match="no") as error:
        await client.get(CONFIG_MAP, "ns", "a")
    assert not transient(error.value)


async def test_a_list_whose_version_expires_is_repeated_without_pages(server, client):
    def respond(path):
        if "continue=" in path:
            return status(410, "Expired")
        return answer(
            listing(5, config_map("a", 1), more="next") if "limit=" in path else listing(9, config_map("a", 1), config_map("b", 2))
        )

    server.respond = respond
    complete = await client.list(CONFIG_MAP)
    assert ([o["metadata"]["name"] for o in complete.items], complete.resource_version) == (["a", "b"], "9")


async def test_the_namespace_is_that_of_the_kubeconfig(client):
    assert client.namespace == "here"


# --- cache --------------------------------------------------------------------------------------------------------
async def test_a_silent_watch_ends_and_continues_at_its_last_version(server, client):
    watches = []

    def respond(path):
        if "watch=1" not in path:
            return answer(listing(10, config_map("a", 3)))
        watches.append(path)
        return (
            stream(("BOOKMARK", {"metadata": {"resourceVersion": "12"}})) if len(watches) == 1 else stream(("ADDED", config_map("b", 13)))
        )

    server.respond = respond
    cache = Cache(client, [Watched(CONFIG_MAP)], Timing(silence=0.1, retries=QUICK))
    async with running(cache):
        await eventually(lambda: cache.get(CONFIG_MAP, "ns", "b"))
        await eventually(lambda: len(watches) > 2)
    assert "resourceVersion=10&" in watches[0]
    assert "resourceVersion=12&" in watches[1]
    assert "resourceVersion=13&" in watches[2]
    assert sum("watch=1" not in path for path in server.paths) == 1


@pytest.mark.parametrize(
    "expired",
    [
        stream(("ERROR", {"kind": "Status", "code": 410, "reason": "Expired", "message": "too old"})),
        status(410, "Expired"),
        status(504, "Timeout", details={"causes": [{"reason": "ResourceVersionTooLarge"}]}),
    ],
    ids=["event", "response", "restored from an older backup"],
)
async def test_an_expired_version_causes_another_list_and_a_comparison(server, client, expired):
    lists = [listing(10, config_map("stays", 1), config_map("goes", 2)), listing(20, config_map("stays", 1), config_map("comes", 15))]

    def respond(path):
        if "watch=1" not in path:
            return answer(lists.pop(0))
        return expired if "resourceVersion=10" in path else stream()

    server.respond = respond
    changes = []
    cache = Cache(client, [Watched(CONFIG_MAP)], Timing(retries=QUICK))
    cache.subscribe(lambda kind, old, new: changes.append((old and old["metadata"]["name"], new and new["metadata"]["name"])))
    async with running(cache):
        await eventually(lambda: ("goes", None) in changes)
    assert changes == [(None, "stays"), (None, "goes"), (None, "comes"), ("goes", None)]


async def test_watches_that_end_immediately_are_retried_with_a_delay(server, client):
    server.respond = lambda path: stream() + ENDED if "watch=1" in path else answer(listing(1))
    cache = Cache(client, [Watched(CONFIG_MAP)], Timing(retries=Backoff(first=0.2, cap=0.2, jitter=lambda: 0.0)))
    async with running(cache):
        await cache.wait_synced()
        await asyncio.sleep(0.5)
    assert 2 <= len(server.paths) <= 5


async def test_an_unavailable_kind_is_reported_and_does_not_affect_others(server, client):
    def respond(path):
        if path.startswith("/api/v1/secrets"):
            return status(403, "Forbidden")
        return stream() if "watch=1" in path else answer(listing(1, config_map("a", 1)))

    server.respond = respond
    cache = Cache(client, [Watched(CONFIG_MAP), Watched(SECRET)], Timing(retries=QUICK))
    async with running(cache):
        await cache.wait_synced(CONFIG_MAP)
        await eventually(cache.problems)
        assert not cache.synced()
        assert cache.problems() == {SECRET: "403 Forbidden: no"}
        healthy = respond
        server.respond = lambda path: healthy(path.replace("secrets", "configmaps"))
        await asyncio.wait_for(cache.wait_synced(), 5)
        await eventually(lambda: not cache.problems())


async def test_indexes_are_updated_before_subscribers_are_called(server, client, caplog):
    changes = stream(
        ("MODIFIED", config_map("a", 3, {"run": "new"})),
        ("ADDED", config_map("b", 4, {"run": "new"})),
        ("DELETED", config_map("b", 5)),
    )
    first = answer(listing(1, config_map("a", 1, {"run": "old"})))
    server.respond = lambda path: changes if "watch=1" in path else first
    seen = []
    cache = Cache(client, [Watched(CONFIG_MAP, indexes={"run": lambda obj: labels_of(obj).values()})], Timing(retries=QUICK))

    def failing(kind, old, new):
        raise RuntimeError("a defect in a subscriber")

    cache.subscribe(failing)
    cache.subscribe(lambda *_: seen.append([len(cache.by_index(CONFIG_MAP, "run", value)) for value in ("old", "new")]))
    async with running(cache):
        await eventually(lambda: len(seen) == 4)
    assert seen == [[1, 0], [0, 1], [0, 2], [0, 1]]
    assert [obj["metadata"]["name"] for obj in cache.list(CONFIG_MAP, "ns")] == ["a"]
    assert cache.list(CONFIG_MAP, "elsewhere") == []
    assert "managedFields" not in cache.list(CONFIG_MAP)[0]["metadata"]
    assert "a subscriber of the watch cache failed" in caplog.text


async def test_an_optional_kind_that_the_server_lacks_is_no_problem_and_may_come_and_go(server, client, monkeypatch, caplog):
    monkeypatch.setattr("panal.kube.cache.ABSENT", 0.02)
    has, seen = False, []

    def respond(path):
        if path == "/api/v1":
            return answer({"resources": [{"name": "configmaps"}] if has else []})
        if not has:
            return status(404, "NotFound")
        return stream() + ENDED if "watch" in path else answer(listing(1, config_map("a", 1)))

    server.respond = respond
    cache = Cache(client, [Watched(CONFIG_MAP, optional=True)], timing=Timing(retries=QUICK))
    cache.subscribe(lambda kind, old, new: seen.append((old is None, new is None)))
    async with running(cache):
        await eventually(cache.synced)
        await eventually(lambda: server.paths.count("/api/v1") > 2)
        assert (cache.served(CONFIG_MAP), cache.problems(), caplog.text) == (False, {}, "")
        assert set(server.paths) == {"/api/v1"}
        has = True
        await eventually(lambda: cache.list(CONFIG_MAP))
        assert cache.served(CONFIG_MAP)
        has = False
        await eventually(lambda: not cache.served(CONFIG_MAP))
        assert cache.list(CONFIG_MAP) == []
        assert cache.problems() == {}
    assert seen == [(True, False), (False, True)]


async def test_an_optional_kind_that_is_forbidden_is_a_problem_but_is_not_waited_for(server, client):
    server.respond = lambda path: answer({"resources": [{"name": "configmaps"}]}) if path == "/api/v1" else status(403, "Forbidden")
    cache = Cache(client, [Watched(CONFIG_MAP, optional=True)], timing=Timing(retries=QUICK))
    async with running(cache):
        async with asyncio.timeout(10):
            await cache.wait_synced()
        assert not cache.served(CONFIG_MAP)
        assert list(cache.problems()) == [CONFIG_MAP]


def test_a_kind_cannot_be_watched_twice(server, client):
    with pytest.raises(ValueError, match="configmaps is watched twice"):
        Cache(client, [Watched(CONFIG_MAP), Watched(CONFIG_MAP, namespace="ns")])


async def test_status_422_raises_invalid(server, client):
    server.respond = lambda path: status(422, "Invalid")
    with pytest.raises(Invalid):
        await client.apply({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"namespace": "ns", "name": "a"}})
