"""`panal.kube` against a real kube-apiserver: what only the real one can show."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import uuid
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

import clusters
from panal.api.crd import crd
from panal.kube import connection, kinds, metrics
from panal.kube.backoff import Backoff
from panal.kube.cache import Cache, Timing, Watched
from panal.kube.client import Client, Selector
from panal.kube.errors import AlreadyExists, ApiError, Conflict, Forbidden, Gone, Invalid, NotFound, Unauthorized, transient
from panal.kube.events import EventRecorder
from panal.kube.kinds import CONFIG_MAP, LEASE, SERVICE, Kind
from panal.kube.lease import LeaderLease, LeaseTiming
from panal.kube.objects import labels_of, uid_of, version_of

pytestmark = pytest.mark.real
QUICK = Backoff(first=0.1, cap=0.5)


async def eventually(condition, seconds=30.0):
    """Wait for something that other processes bring about."""
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.05)


@contextlib.asynccontextmanager
async def running(coroutine):
    task = asyncio.create_task(coroutine)
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@contextlib.asynccontextmanager
async def caching(client, *watched, timing=None):
    """A cache that runs, and the changes it told of as (name, "added" | "changed" | "deleted" | "same")."""
    cache, told = Cache(client, watched, timing or Timing(retries=QUICK)), []
    cache.subscribe(lambda _kind, old, new: told.append(((new or old)["metadata"]["name"], change(old, new))))
    async with running(cache.run()):
        yield cache, told


def change(old, new):
    if old is None:
        return "added"
    return "deleted" if new is None else "same" if new is old else "changed"


def config_map(namespace, name, labels=None, **data):
    metadata = {"namespace": namespace, "name": name, "labels": labels or {}}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}


@pytest.fixture
async def client(hub_api):
    async with Client.from_kubeconfig(hub_api.kubeconfig) as client:
        yield client


@pytest.fixture
async def namespace(client):
    """A new one, gone after the test."""
    name = f"kube-{uuid.uuid4().hex[:8]}"
    await client.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    yield name
    await client.delete(kinds.NAMESPACE, "", name)


# --- calls --------------------------------------------------------------------------------------------------------
async def test_applying_the_same_again_changes_nothing(client, namespace):
    first = await client.apply(config_map(namespace, "a", x="1"))
    second = await client.apply(config_map(namespace, "a", x="1"))
    assert version_of(second) == version_of(first)
    assert version_of(await client.apply(config_map(namespace, "a", x="2"))) != version_of(first)


async def test_apply_takes_our_fields_by_force_and_gives_up_those_left_out(client, namespace, hub_api):
    await client.apply(config_map(namespace, "a", ours="1", dropped="1"))
    theirs = json.dumps(config_map(namespace, "a", ours="2", theirs="2"))
    hub_api.kubectl("apply", "--server-side", "--force-conflicts", "--field-manager=other", "-f", "-", stdin=theirs)
    assert (await client.apply(config_map(namespace, "a", ours="3")))["data"] == {"ours": "3", "theirs": "2"}


async def test_status_is_applied_by_itself(client, namespace):
    service = {"apiVersion": "v1", "kind": "Service", "metadata": {"namespace": namespace, "name": "s"}}
    await client.apply(service | {"spec": {"ports": [{"port": 80}], "type": "LoadBalancer"}})
    status = {"loadBalancer": {"ingress": [{"ip": "10.1.2.3"}]}}
    await client.apply_status(service | {"spec": {"ignored": True}, "status": status})
    assert (await client.get(SERVICE, namespace, "s"))["status"]["loadBalancer"]["ingress"][0]["ip"] == "10.1.2.3"


async def test_a_status_does_not_create_its_object(client, namespace, hub_api):
    hub_api.kubectl("apply", "--server-side", "-f", "-", stdin=yaml.safe_dump(crd()))
    hub_api.kubectl("wait", "--for=condition=Established", "crd", f"{kinds.FEDERATED_LEARNING}")
    kind = kinds.FEDERATED_LEARNING
    missing = {"apiVersion": kind.api_version, "kind": kind.kind, "metadata": {"namespace": namespace, "name": "missing"}}
    with pytest.raises(NotFound):
        await client.apply_status(missing | {"status": {"phase": "Waiting"}})


async def test_what_the_server_refuses_has_a_class_of_its_own(client, namespace):
    await client.create(config_map(namespace, "a"))
    with pytest.raises(AlreadyExists):
        await client.create(config_map(namespace, "a"))
    with pytest.raises(Conflict) as conflict:
        await client.merge_patch(CONFIG_MAP, namespace, "a", {"metadata": {"resourceVersion": "1"}, "data": {"x": "1"}})
    assert transient(conflict.value)
    with pytest.raises(Invalid, match="NOT_A_NAME"):
        await client.create(config_map(namespace, "NOT_A_NAME"))
    with pytest.raises(NotFound):
        await client.get(CONFIG_MAP, namespace, "b")
    with pytest.raises(NotFound, match="CustomResourceDefinition"):
        await client.list(Kind("example.com", "v1", "Thing", "things"))


async def test_paging_gives_every_object_once_and_a_version_to_watch_from(client, namespace):
    for i in range(25):
        await client.create(config_map(namespace, f"c{i}", {"of": "pages"}))
    selector = Selector(namespace, labels="of=pages")
    listing = await client.list(CONFIG_MAP, selector, page_size=10)
    assert sorted(o["metadata"]["name"] for o in listing.items) == sorted(f"c{i}" for i in range(25))
    assert {(o["apiVersion"], o["kind"]) for o in listing.items} == {("v1", "ConfigMap")}
    await client.delete(CONFIG_MAP, namespace, "c7")
    async with client.watch(CONFIG_MAP, listing.resource_version, selector) as events:
        event = await anext(events)
    assert (event.type, event.object["metadata"]["name"]) == ("DELETED", "c7")


async def test_a_watch_ends_when_asked_to(client):
    listing = await client.list(LEASE)
    async with asyncio.timeout(20), client.watch(LEASE, listing.resource_version, seconds=1) as events:
        assert [event async for event in events if event.type == "ERROR"] == []


async def test_delete_spares_a_later_object_of_the_same_name(client, namespace):
    uid = uid_of(await client.create(config_map(namespace, "a")))
    assert not await client.delete(CONFIG_MAP, namespace, "a", uid=str(uuid.uuid4()))
    assert await client.delete(CONFIG_MAP, namespace, "a", uid=uid)
    assert not await client.delete(CONFIG_MAP, namespace, "a", uid=uid)


async def test_finalizers_come_and_go(client, namespace):
    obj = await client.create(config_map(namespace, "a"))
    for finalizer in ("fl.panal/one", "fl.panal/two", "fl.panal/three"):
        await client.add_finalizer(CONFIG_MAP, namespace, "a", finalizer)
    same = await client.add_finalizer(CONFIG_MAP, namespace, "a", "fl.panal/one")
    assert same["metadata"]["finalizers"] == ["fl.panal/one", "fl.panal/two", "fl.panal/three"]
    assert await client.remove_finalizers(CONFIG_MAP, namespace, "a", ["fl.panal/one"])
    assert not await client.remove_finalizers(CONFIG_MAP, namespace, "a", ["fl.panal/one"])
    assert not await client.remove_finalizers(CONFIG_MAP, namespace, "a", uid=str(uuid.uuid4()))
    await client.delete(CONFIG_MAP, namespace, "a")
    assert (await client.get(CONFIG_MAP, namespace, "a"))["metadata"]["finalizers"] == ["fl.panal/two", "fl.panal/three"]
    assert await client.remove_finalizers(CONFIG_MAP, namespace, "a", uid=uid_of(obj))
    with pytest.raises(NotFound):
        await client.get(CONFIG_MAP, namespace, "a")


async def test_what_the_server_is(client):
    assert (await client.server_version()).startswith("v1.")
    assert {"apps", "batch"} <= await client.groups()
    assert await client.serves(kinds.JOB)
    assert await client.serves(CONFIG_MAP)
    assert not await client.serves(replace(kinds.JOB, version="v7"))
    assert not await client.serves(replace(kinds.JOB, plural="tasks"))


# --- who we are ---------------------------------------------------------------------------------------------------
@pytest.fixture
def in_pod(hub_api, namespace, tmp_path, monkeypatch):
    """What a kubelet gives a pod of the namespace's default ServiceAccount; the token is written by the test."""
    view = ("config", "view", "--raw", "-o")
    server = hub_api.kubectl(*view, "jsonpath={.clusters[0].cluster.server}")
    host, port = server.removeprefix("https://").split(":")
    ca = hub_api.kubectl(
        "get", "configmap", "-n", "kube-system", "extension-apiserver-authentication", "-o", r"jsonpath={.data.client-ca-file}"
    )
    (tmp_path / "ca.crt").write_text(ca)
    (tmp_path / "namespace").write_text(namespace)
    monkeypatch.setattr(connection, "SERVICE_ACCOUNT", tmp_path)
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", host)
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", port)
    monkeypatch.delenv("KUBECONFIG", raising=False)
    return tmp_path


async def test_in_a_pod_the_token_is_read_anew_and_permissions_are_waited_for(hub_api, namespace, in_pod):
    (in_pod / "token").write_text("expired")
    async with Client.from_kubeconfig() as client:
        assert client.namespace == namespace
        with pytest.raises(Unauthorized):
            await client.get(CONFIG_MAP, namespace, "a")
        await eventually(lambda: hub_api.kubectl("get", "sa", "default", "-n", namespace, check=False))
        (in_pod / "token").write_text(hub_api.kubectl("create", "token", "default", "-n", namespace).strip())
        with pytest.raises(Forbidden):
            await client.get(CONFIG_MAP, namespace, "a")
        watched = (Watched(CONFIG_MAP, namespace=namespace), Watched(SERVICE, namespace=namespace))
        async with caching(client, *watched) as (cache, _):
            await eventually(lambda: len(cache.problems()) == 2)
            assert "forbidden" in cache.problems()[CONFIG_MAP]
            hub_api.kubectl("create", "role", "read", "--verb=list,watch", "--resource=configmaps", "-n", namespace)
            hub_api.kubectl("create", "rolebinding", "read", "--role=read", f"--serviceaccount={namespace}:default", "-n", namespace)
            await asyncio.wait_for(cache.wait_synced(CONFIG_MAP), 30)
            assert list(cache.problems()) == [SERVICE]
            assert not cache.synced()


# --- cache --------------------------------------------------------------------------------------------------------
async def test_a_selected_watch_sees_objects_enter_and_leave_the_selection(client, namespace):
    await client.create(config_map(namespace, "before", {"run": "r"}))
    watched = Watched(CONFIG_MAP, label_selector="run", indexes={"run": lambda obj: [labels_of(obj)["run"]]})
    async with caching(client, watched) as (cache, told):
        await cache.wait_synced()
        await client.create(config_map(namespace, "other"))
        await client.create(config_map(namespace, "a", {"run": "r"}))
        await client.merge_patch(CONFIG_MAP, namespace, "a", {"metadata": {"labels": {"run": "s"}}})
        await eventually(lambda: cache.by_index(CONFIG_MAP, "run", "s"))
        assert [o["metadata"]["name"] for o in cache.by_index(CONFIG_MAP, "run", "r")] == ["before"]
        assert {o["metadata"]["name"] for o in cache.list(CONFIG_MAP, namespace)} == {"before", "a"}
        assert "managedFields" not in cache.get(CONFIG_MAP, namespace, "a")["metadata"]
        await client.merge_patch(CONFIG_MAP, namespace, "a", {"metadata": {"labels": {"run": None}}})
        await eventually(lambda: cache.get(CONFIG_MAP, namespace, "a") is None)
        assert told == [("before", "added"), ("a", "added"), ("a", "changed"), ("a", "deleted")]


async def test_a_resync_tells_everything_again(client, namespace):
    await client.create(config_map(namespace, "a", {"run": "r"}))
    watched = Watched(CONFIG_MAP, label_selector="run", namespace=namespace)
    async with caching(client, watched, timing=Timing(resync=1, retries=QUICK)) as (_, told):
        await eventually(lambda: len(told) >= 3)
        assert set(told[1:]) == {("a", "same")}


class OwnApi:
    """An API server that belongs to one test module: it may be killed and frozen. After `hub_api`, which skips."""

    def __init__(self, root):
        (self.cluster,) = clusters.up(root, 0, only_api=True)
        self.kubeconfig = self.cluster.kubeconfig

    def kill(self):
        self.cluster.processes.end("kube-apiserver", kill=True)

    def start(self):
        self.cluster.processes.start_again("kube-apiserver")

    def signal(self, number):
        os.kill(int((self.cluster.processes.pids / "kube-apiserver").read_text()), number)


@pytest.fixture(scope="module")
def own_api(hub_api, tmp_path_factory):
    root = Path(tmp_path_factory.mktemp("own-api"))
    try:
        yield OwnApi(root)
    finally:
        clusters.down(root)


@pytest.fixture
async def own_client(own_api):
    async with Client.from_kubeconfig(own_api.kubeconfig, timeout=6) as client:
        yield client


async def in_spite_of_all(call):
    """Call until it goes well, as a reconcile would; the first attempt may have happened although nothing came back."""
    while True:
        try:
            return await call()
        except AlreadyExists:
            return None
        except ApiError as error:
            if not transient(error) and not isinstance(error, Forbidden):
                raise
            await asyncio.sleep(0.2)


async def create_in_spite_of_all(client, obj):
    await in_spite_of_all(lambda: client.create(obj))


async def delete_in_spite_of_all(client, *where):
    await in_spite_of_all(lambda: client.delete(*where))


async def test_the_cache_misses_nothing_when_the_api_server_is_killed(own_api, own_client):
    async with caching(own_client, Watched(CONFIG_MAP, namespace="default", label_selector="of=kill")) as (cache, told):
        await cache.wait_synced()

        async def create_all():
            for i in range(60):
                await create_in_spite_of_all(own_client, config_map("default", f"kill-{i}", {"of": "kill"}))
                await asyncio.sleep(0.02)

        async with running(create_all()) as creating:
            await eventually(lambda: len(told) >= 20)
            await asyncio.to_thread(own_api.kill)
            await eventually(cache.problems)
            await asyncio.to_thread(own_api.start)
            await asyncio.wait_for(creating, 60)
        await eventually(lambda: len(cache.list(CONFIG_MAP)) == 60)
        assert not cache.problems()
        assert sorted(told) == sorted((f"kill-{i}", "added") for i in range(60))


async def test_what_was_deleted_while_the_version_expired_is_noticed(own_api, own_client):
    for name in ("stays", "goes"):
        await create_in_spite_of_all(own_client, config_map("default", name, {"of": "gone"}))
    slow = Timing(retries=Backoff(first=8, cap=8, jitter=lambda: 0.0))
    async with caching(own_client, Watched(CONFIG_MAP, namespace="default", label_selector="of=gone"), timing=slow) as (cache, told):
        await cache.wait_synced()
        expired = metrics.WATCH_RESTARTS.labels("configmaps", "Expired")._value
        before = expired.get()
        for i in range(20):  # the server's version goes on; a server started later knows nothing of the time before
            await own_client.create({"apiVersion": "v1", "kind": "Secret", "metadata": {"namespace": "default", "name": f"s{i}"}})
        await asyncio.to_thread(own_api.kill)
        await eventually(cache.problems)
        await asyncio.to_thread(own_api.start)
        await delete_in_spite_of_all(own_client, CONFIG_MAP, "default", "goes")
        await eventually(lambda: cache.get(CONFIG_MAP, "default", "goes") is None, 60)
        assert expired.get() > before
        assert told[-1] == ("goes", "deleted")
        assert cache.get(CONFIG_MAP, "default", "stays")
    with pytest.raises(Gone):
        async with own_client.watch(CONFIG_MAP, "1") as events:
            await anext(events)


async def test_a_frozen_api_server_is_noticed_and_forgiven(own_api, own_client):
    quick = Timing(silence=3, retries=QUICK)
    async with caching(own_client, Watched(CONFIG_MAP, namespace="default", label_selector="of=frost"), timing=quick) as (cache, told):
        await cache.wait_synced()
        own_api.signal(signal.SIGSTOP)
        try:
            await eventually(cache.problems)
            assert "in time" in cache.problems()[CONFIG_MAP]
        finally:
            own_api.signal(signal.SIGCONT)
        await create_in_spite_of_all(own_client, config_map("default", "thawed", {"of": "frost"}))
        await eventually(lambda: ("thawed", "added") in told)
        await eventually(lambda: not cache.problems())


# --- leadership and Events ----------------------------------------------------------------------------------------
async def test_leadership_goes_over_within_the_duration_and_at_once_when_released(client, namespace):
    timing = LeaseTiming(duration=6, every=0.5, margin=1, attempt=2)
    a, b = (LeaderLease(client, namespace, "leader", name, timing) for name in ("a", "b"))
    await asyncio.wait_for(a.acquire(), 30)
    async with running(a.hold()) as holding, running(b.acquire()) as waiting:
        await asyncio.sleep(1.5 * timing.duration)
        assert (a.leading(), b.leading(), holding.done(), waiting.done()) == (True, False, False, False)
        holding.cancel()  # dies without a word
        await asyncio.wait_for(waiting, timing.duration + 2)
    assert (a.leading(), b.leading()) == (False, True)
    assert (await client.get(LEASE, namespace, "leader"))["spec"]["leaseTransitions"] == 1
    async with running(a.acquire()) as waiting:
        await b.release()
        await asyncio.wait_for(waiting, timing.duration - 1)
    assert (await client.get(LEASE, namespace, "leader"))["spec"]["holderIdentity"] == "a"


async def test_kubectl_tells_the_story(client, namespace, hub_api):
    obj = await client.create(config_map(namespace, "run"))
    recorder = EventRecorder(client, "panal", "panal-controller-0")
    await recorder.record(obj, "Normal", "ClustersSelected", "3 clusters: cluster1, cluster2, cluster3")
    await recorder.record(obj, "Warning", "ImagePullFailed", "cluster2: image example/app:1 cannot be pulled " + "…" * 2000)
    for _ in range(3):
        await recorder.record(obj, "Normal", "Completed", "3 rounds")
    listed = hub_api.kubectl("get", "events", "-n", namespace, "--sort-by=.eventTime", "--no-headers").splitlines()
    assert [line.split()[1:4] for line in listed] == [
        ["Normal", "ClustersSelected", "configmap/run"],
        ["Warning", "ImagePullFailed", "configmap/run"],
        ["Normal", "Completed", "configmap/run"],
    ]
    described = hub_api.kubectl("describe", "configmap", "run", "-n", namespace)
    assert "ClustersSelected" in described
    assert "panal  3 rounds" in described


async def test_an_event_in_a_namespace_that_is_not_there_is_no_error(client, caplog):
    await EventRecorder(client).record(config_map("nowhere", "run"), "Normal", "Completed", "3 rounds")
    assert "not written" in caplog.text
