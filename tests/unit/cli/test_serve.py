"""`panal serve`, on a hub whose KServe does what the real one does: Pods of a version that crash leave those of the one before."""

import asyncio
import json
from copy import deepcopy

import pytest

from fake_client import FakeAccess, FakeClient
from panal.cli import proving, rollout, serve, served
from panal.cli.proving import Asking
from panal.cli.serve import Action, Wanted
from panal.client.problem import Code, Problem
from panal.kube import kinds
from panal.kube.connection import Reply
from panal.kube.errors import Conflict, Forbidden, Unavailable
from panal.serving.gate import Better, Requirement
from panal.serving.predictor import REVISION
from panal.serving.version import LABELS, read

DIGESTS = {name: f"sha256:{number:064x}" for number, name in enumerate(("one", "two", "broken", "other"))}


def run(name, **status):
    uri = f"pvc://models/ns/{name}/model.safetensors"
    content = {"phase": "Completed", "metrics": {"accuracy": 0.9}, "model": {"uri": uri, "digest": DIGESTS[name], "size": 1, "round": 2}}
    metadata = {"name": name, "namespace": "ns", "uid": f"uid-{name}"}
    return {"apiVersion": "federation-ai.open-cluster-management.io/v1alpha1", "kind": "FederatedLearning",
            "metadata": metadata, "spec": {}, "status": content | status}  # fmt: skip


class Killed(BaseException):
    """The process ends, without cleaning up."""


class Hub(FakeClient):
    """`broken`: the folders whose model cannot be loaded. `answers`: the digest of a folder's model, if it is not the run's. `writes`: the
    process is killed after so many writes. `gateway`: whether a controller takes HTTPRoutes.
    `meanwhile`: called once, when a command looks for Pods."""

    def __init__(self, *objects):
        super().__init__(*objects)
        self.broken, self.answers, self.writes, self.gateway, self.count = {"broken"}, {}, None, True, 0
        self.status, self.wrote, self.meanwhile = 200, [], None

    def managing(self, _):
        return self

    def _write(self, what):
        if self.writes is not None:
            self.writes -= 1
            if self.writes < 0:
                raise Killed
        self.wrote.append(what)
        self.count += 1

    async def create(self, obj):
        self._write(f"create {obj['kind']}")
        obj = obj | {"metadata": obj["metadata"] | {"resourceVersion": str(self.count), "uid": f"u{self.count}"}}
        self.objects[self._key(obj)] = obj
        return deepcopy(obj)

    async def replace(self, obj):
        now = self.objects[self._key(obj)]
        if now["metadata"]["resourceVersion"] != obj["metadata"]["resourceVersion"]:
            raise Conflict(409, "Conflict", "changed")
        self._write(f"replace {obj['kind']}")
        obj = obj | {"metadata": obj["metadata"] | {"resourceVersion": str(self.count), "uid": now["metadata"]["uid"]}}
        self.objects[self._key(obj)] = obj
        return deepcopy(obj)

    async def apply(self, obj, force=True):
        self._write(f"apply {obj['kind']} {obj['metadata']['name']}")
        before = self.objects.get(self._key(obj), {"metadata": {}})
        same = before.get("spec") == obj["spec"]
        generation = before["metadata"].get("generation", 0) + (not same)
        uid = before["metadata"].get("uid") or f"u{self.count}"
        obj = obj | {"metadata": obj["metadata"] | {"uid": uid, "generation": generation}}
        if obj["kind"] == "HTTPRoute":
            found = [{"type": each, "status": "True", "observedGeneration": generation} for each in ("Accepted", "ResolvedRefs")]
            obj["status"] = {"parents": [{"conditions": found}] if self.gateway else []}
        self.objects[self._key(obj)] = obj
        if obj["kind"] == "InferenceService":
            self._rollout(obj)
        return deepcopy(obj)

    def _rollout(self, service):
        name, served = service["metadata"]["name"], service["spec"]["predictor"]
        uri = next(each["value"] for each in served["containers"][0]["env"] if each["name"] == "STORAGE_URI")
        folder, revision = uri.rpartition("/")[2], served["annotations"][REVISION]
        pods = [(key, obj) for key, obj in self.objects.items() if key[0] == "Pod" and obj["service"] == name]
        ready = folder not in self.broken
        for key, obj in pods:
            if obj["metadata"]["annotations"][REVISION] == revision:
                revision = ""  # it runs
            elif ready or not obj["ready"]:
                del self.objects[key]
        if not revision:
            for key, obj in pods:
                if not obj["ready"]:
                    self.objects.pop(key, None)
            return
        self.count += 1
        state = {"state": {}} if ready else {"state": {"waiting": {"reason": "CrashLoopBackOff"}}, "restartCount": 5}
        status = {"conditions": [{"type": "Ready", "status": str(ready)}], "containerStatuses": [{"name": "kserve-container", **state}]}
        pod = f"{name}-{self.count}"
        self.objects["Pod", "ns", pod] = {"metadata": {"name": pod, "annotations": {REVISION: revision}}, "status": status, "service": name,
                                          "ready": ready, "folder": folder}  # fmt: skip

    async def list(self, kind, selector=None):
        if kind is kinds.POD and self.meanwhile:
            other, self.meanwhile = self.meanwhile, None
            await asyncio.to_thread(other)
        found = await super().list(kind, selector)
        if kind is kinds.POD:
            name = selector.labels.split(",")[0].partition("=")[2]
            found.items[:] = [obj for obj in found.items if obj["service"] == name]
        return found

    async def delete(self, kind, namespace, name, uid=""):
        self._write(f"delete {kind.kind} {name}")
        deleted = await super().delete(kind, namespace, name, uid)
        if deleted and kind is kinds.INFERENCE_SERVICE:
            gone = [key for key, obj in self.objects.items() if key[0] == "Pod" and obj["service"] == name]
            for key in gone:
                del self.objects[key]
        return deleted

    async def ask(self, kind, namespace, name, path, body=None):
        target = name.partition(":")[0]
        pods = [obj for key, obj in self.objects.items() if key[0] == "Pod" and obj["ready"]]
        of = target.removesuffix("-predictor")
        (pod,) = (p for p in pods if (p["service"] == of if kind is kinds.SERVICE else p["metadata"]["name"] == target))
        digest = self.answers.get(pod["folder"], DIGESTS[pod["folder"]])
        content = {"model_version": digest, "outputs": [7]} if body else {"versions": [digest]}
        return Reply(self.status, {}, json.dumps(content).encode())

    async def logs(self, namespace, pod, container, *, tail):
        yield b"FileNotFoundError: model.safetensors"


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch):
    monkeypatch.setattr(proving, "LOOK", 0)
    monkeypatch.setattr(served, "LOOK", 0)
    monkeypatch.setattr(served, "ROUTED", 0)
    monkeypatch.setattr(proving, "ANSWERING", 0)


@pytest.fixture
def hub():
    return Hub(run("one"), run("two"), run("broken"))


def do(hub, name, action=Action.SERVE, **more):
    asking = Asking("v2", more.pop("probe", {"inputs": []}), 0)
    given = {"runtime": "registry/image:1"} if action in (Action.SERVE, Action.CANARY) else {}
    if action is Action.CANARY:
        given |= {"percent": 20, "gateway": "gateways/public", "hostname": "digits.example.com"}
    return serve.serve(FakeAccess({"hub": hub}), name, "ns", Wanted(action, "digits", asking, **(given | more)))


def state(hub):
    """The runs that are served, were served, are pending, and are a canary."""
    config = hub.objects.get(("ConfigMap", "ns", "digits-served"))
    found = read(config) if config else None
    return tuple(getattr(getattr(found, each, None), "run", None) for each in ("serving", "previous", "pending", "canary"))


def answers(hub, service="digits"):
    """The folder of the Pod that answers."""
    return [obj["folder"] for key, obj in hub.objects.items() if key[0] == "Pod" and obj["service"] == service and obj["ready"]]


def seen(hub):
    return state(hub), answers(hub), answers(hub, "digits-canary")


def weights(hub):
    (rule,) = hub.objects["HTTPRoute", "ns", "digits"]["spec"]["rules"]
    return {each["name"]: each["weight"] for each in rule["backendRefs"]}


def test_the_first_version_is_served_when_it_has_answered(hub, capsys):
    assert do(hub, "one") == Code.OK
    assert (state(hub), answers(hub)) == (("one", None, None, None), ["one"])
    assert f"digits answers with the model of one, {DIGESTS['one']}, as the answer states" in capsys.readouterr().out
    config = hub.objects["ConfigMap", "ns", "digits-served"]
    assert config["metadata"]["ownerReferences"][0]["kind"] == "InferenceService"
    assert hub.wrote[:2] == ["create ConfigMap", "apply InferenceService digits"]  # the state is written before what it is about


def test_a_version_that_crashes_is_taken_back(hub):
    do(hub, "one")
    with pytest.raises(Problem, match=r"crashes .* its log ends with: FileNotFoundError.* digits continues with the model of one") as found:
        do(hub, "broken")
    assert found.value.code == Code.NOT_SERVED
    assert (state(hub), answers(hub)) == (("one", None, None, None), ["one"])
    assert hub.objects["InferenceService", "ns", "digits"]["spec"]["predictor"]["containers"][0]["env"][0]["value"] == "pvc://models/ns/one"


def test_of_a_first_version_that_crashes_nothing_is_left(hub):
    with pytest.raises(Problem, match="No version of digits has answered before, and it is removed"):
        do(hub, "broken")
    assert not [key for key in hub.objects if key[0] != "FederatedLearning"]


@pytest.mark.parametrize("first", [[], ["one"]], ids=["the first version", "a later version"])
def test_a_command_that_fails_takes_nothing_back_that_another_one_has_proven(hub, monkeypatch, first):
    for name in first:
        do(hub, name)
    waiting = serve.replace

    async def overtaken(service, wanted, *more, **options):
        real = rollout.prove

        async def prove(*given):
            monkeypatch.setattr(rollout, "prove", real)
            hub.broken.add("broken")
            other = await served.Service.find(hub, "ns", "digits")
            found = await serve._version(other, run("two"), Wanted(Action.SERVE, "digits", given[3], runtime="registry/image:1"))
            await waiting(other, found, given[3], lambda line: None)
            return await real(*given)

        monkeypatch.setattr(rollout, "prove", prove)
        return await waiting(service, wanted, *more, **options)

    monkeypatch.setattr(serve, "replace", overtaken)
    with pytest.raises(Problem, match="somebody else has changed digits"):
        do(hub, "broken")
    assert (state(hub)[0], answers(hub)) == ("two", ["two"])


def lose_state(hub):
    del hub.objects["ConfigMap", "ns", "digits-served"]


def outdate_state(hub):
    hub.objects["ConfigMap", "ns", "digits-served"]["metadata"]["ownerReferences"][0]["uid"] = "another"


@pytest.mark.parametrize("lose", [lose_state, outdate_state])
def test_a_service_whose_state_is_gone_is_not_removed(hub, lose):
    """Neither by a later command, which finds the state that the first one has written."""
    do(hub, "one")
    lose(hub)
    for action in (Action.SERVE, Action.SERVE, Action.ROLLBACK):
        with pytest.raises(Problem, match="which said what it served before, was gone") as found:
            do(hub, "broken", action)
        assert found.value.code == Code.NOT_SERVED
        assert (state(hub), answers(hub)) == ((None, None, "broken", None), ["one"])
    assert do(hub, "two") == Code.OK
    assert (state(hub), answers(hub)) == (("two", None, None, None), ["two"])


def test_an_inference_service_of_somebody_else_is_no_canary(hub):
    do(hub, "one")
    foreign = {"kind": "InferenceService", "metadata": {"name": "digits-canary", "namespace": "ns", "uid": "x"}, "spec": {"own": True}}
    hub.objects["InferenceService", "ns", "digits-canary"] = foreign
    with pytest.raises(Problem, match="digits-canary exists, and is not the canary of digits"):
        do(hub, "two", Action.CANARY)
    assert hub.objects["InferenceService", "ns", "digits-canary"] == foreign
    assert state(hub) == ("one", None, None, None)


def test_a_service_that_has_taken_the_place_of_the_canary_is_not_removed(hub):
    do(hub, "one")
    do(hub, "two", Action.CANARY)
    hub.objects["InferenceService", "ns", "digits-canary"]["metadata"]["ownerReferences"] = []
    do(hub, "two", Action.ROLLBACK)
    assert (state(hub), answers(hub, "digits-canary")) == (("one", None, None, None), ["two"])


def test_a_canary_is_not_served_as_a_service_of_its_own(hub):
    do(hub, "one")
    do(hub, "two", Action.CANARY)
    before = len(hub.wrote)
    wanted = Wanted(Action.SERVE, "digits-canary", Asking("v2", None, 0), "registry/image:1")
    with pytest.raises(Problem, match="digits-canary is the canary of another service") as found:
        serve.serve(FakeAccess({"hub": hub}), "one", "ns", wanted)
    assert (found.value.code, len(hub.wrote)) == (Code.REFUSED, before)


def test_a_canary_that_fails_leaves_that_of_another_command(hub):
    do(hub, "one")

    def other():
        do(hub, "broken", Action.ROLLBACK)
        do(hub, "two", Action.CANARY)

    hub.meanwhile = other
    with pytest.raises(Problem, match="somebody else has changed digits at the same time"):
        do(hub, "broken", Action.CANARY)
    assert seen(hub) == (("one", None, None, "two"), ["one"], ["two"])
    assert weights(hub) == {"digits-predictor": 80, "digits-canary-predictor": 20}


def test_a_rollback_of_a_canary_that_was_changed_meanwhile_changes_nothing(hub):
    do(hub, "one")
    do(hub, "two", Action.CANARY)
    get = hub.get

    async def changed(kind, namespace, name):
        found = await get(kind, namespace, name)
        if kind is kinds.CONFIG_MAP:
            hub.objects["ConfigMap", "ns", "digits-served"]["metadata"]["resourceVersion"] = "x"
        return found

    hub.get = changed
    with pytest.raises(Problem, match="somebody else has changed digits at the same time"):
        do(hub, "two", Action.ROLLBACK)
    assert answers(hub, "digits-canary") == ["two"]
    assert weights(hub) == {"digits-predictor": 80, "digits-canary-predictor": 20}


def test_a_service_that_was_created_again_meanwhile_is_not_removed(hub):
    hub.meanwhile = lambda: hub.objects["InferenceService", "ns", "digits"]["metadata"].update(uid="another")
    with pytest.raises(Problem, match="does not answer"):
        do(hub, "broken")
    assert ("InferenceService", "ns", "digits") in hub.objects


def test_a_first_version_that_was_interrupted_is_rolled_back(hub):
    kill(hub, "one", writes=3)
    assert do(hub, "one", Action.ROLLBACK) == Code.OK
    assert not [key for key in hub.objects if key[0] != "FederatedLearning"]


def test_a_command_that_was_interrupted_does_not_stop_that_of_another_run(hub, capsys):
    kill(hub, "one", writes=3)
    assert do(hub, "two") == Code.OK
    assert "warning: the model of one was to be served by digits, and has not been proven to answer" in capsys.readouterr().err
    assert (state(hub), answers(hub)) == (("two", None, None, None), ["two"])


def kill(hub, name, writes):
    hub.writes = writes
    with pytest.raises(Killed):
        do(hub, name)
    hub.writes = None
    assert state(hub) == (None, None, name, None)


def test_a_version_that_answers_with_another_model_is_taken_back(hub):
    do(hub, "one")
    hub.answers["two"] = DIGESTS["other"]
    with pytest.raises(Problem, match=f"the model {DIGESTS['other']} answers, and the model of two is {DIGESTS['two']}"):
        do(hub, "two")
    assert (state(hub), answers(hub)) == (("one", None, None, None), ["one"])


def test_a_refused_probe_does_not_replace_what_serves(hub):
    do(hub, "one")
    hub.status = 400
    with pytest.raises(Problem, match="status 400") as found:
        do(hub, "two")
    assert found.value.code == Code.NOT_SERVED
    assert "got the model of one again, but" in str(found.value)  # the same probe does not prove the previous one either
    assert state(hub) == ("one", None, "two", None)
    hub.status = 200
    assert do(hub, "two", Action.ROLLBACK) == Code.OK
    assert (state(hub), answers(hub)) == (("one", None, None, None), ["one"])


def test_a_runtime_without_a_digest_is_proven_by_its_pods(hub, capsys):
    hub.answers["one"] = "1"
    do(hub, "one")
    assert "the runtime states no digest that could be compared, but all its Pods (digits-" in capsys.readouterr().out


def test_the_gate_changes_nothing(hub):
    do(hub, "one")
    before = len(hub.wrote)
    with pytest.raises(Problem, match=r"accuracy > 0.95: it is 0.9 .*better accuracy") as found:
        do(hub, "two", requirements=[Requirement("accuracy", ">", 0.95)], better=[Better("accuracy")])
    assert found.value.code == Code.GATE
    assert len(hub.wrote) == before


def test_the_previous_version_comes_back_once(hub):
    do(hub, "one")
    do(hub, "two")
    assert (state(hub), answers(hub)) == (("two", "one", None, None), ["two"])
    with pytest.raises(Problem, match="it is the model of two that would be rolled back"):
        do(hub, "one", Action.ROLLBACK)
    do(hub, "two", Action.ROLLBACK)
    assert (state(hub), answers(hub)) == (("one", None, None, None), ["one"])
    with pytest.raises(Problem, match="no version before the model of one"):
        do(hub, "one", Action.ROLLBACK)


def test_the_same_version_again_keeps_the_previous(hub):
    for name in ("one", "two", "two"):
        do(hub, name)
    assert state(hub) == ("two", "one", None, None)


def test_a_canary_gets_its_share_and_is_promoted(hub, capsys):
    do(hub, "one")
    do(hub, "two", Action.CANARY)
    assert (state(hub), answers(hub), answers(hub, "digits-canary")) == (("one", None, None, "two"), ["one"], ["two"])
    assert weights(hub) == {"digits-predictor": 80, "digits-canary-predictor": 20}
    with pytest.raises(Problem, match="digits has a canary, the model of two"):
        do(hub, "one")
    with pytest.raises(Problem, match="its canary is the model of two"):
        do(hub, "one", Action.PROMOTE)
    do(hub, "two", Action.CANARY, percent=60, gateway="", hostname="")
    assert weights(hub) == {"digits-predictor": 40, "digits-canary-predictor": 60}
    do(hub, "two", Action.PROMOTE)
    assert (state(hub), answers(hub), answers(hub, "digits-canary")) == (("two", "one", None, None), ["two"], [])
    assert weights(hub) == {"digits-predictor": 100}
    do(hub, "two", Action.ROLLBACK)
    assert (state(hub), answers(hub)) == (("one", None, None, None), ["one"])


def test_a_canary_that_crashes_gets_no_requests(hub):
    do(hub, "one")
    with pytest.raises(Problem, match="The canary is removed, and digits continues with the model of one"):
        do(hub, "broken", Action.CANARY)
    assert (state(hub), answers(hub, "digits-canary")) == (("one", None, None, None), [])
    assert ("HTTPRoute", "ns", "digits") not in hub.objects


def test_a_canary_that_no_gateway_leads_to_is_removed(hub):
    do(hub, "one")
    hub.gateway = False
    with pytest.raises(Problem, match="the Gateway gateways/public does not split the requests: no controller has answered"):
        do(hub, "two", Action.CANARY)
    assert state(hub) == ("one", None, None, None)
    assert {key[0] for key in hub.objects} == {"FederatedLearning", "ConfigMap", "InferenceService", "Pod"}


def test_a_canary_is_rolled_back(hub, capsys):
    do(hub, "one")
    do(hub, "two", Action.CANARY)
    do(hub, "two", Action.ROLLBACK)
    assert (state(hub), weights(hub)) == (("one", None, None, None), {"digits-predictor": 100})
    assert "digits continues with the model of one" in capsys.readouterr().out


def test_a_canary_stays_where_its_gateway_does_not_take_the_new_weights(hub):
    do(hub, "one")
    do(hub, "two", Action.CANARY)
    hub.gateway = False
    with pytest.raises(Problem, match="the Gateway gateways/public does not lead to it"):
        do(hub, "two", Action.ROLLBACK)
    assert answers(hub, "digits-canary") == ["two"]


def test_a_canary_needs_a_version_and_a_gateway(hub):
    with pytest.raises(Problem, match="no version that serves"):
        do(hub, "two", Action.CANARY)
    do(hub, "one")
    with pytest.raises(Problem, match="has no HTTPRoute"):
        do(hub, "two", Action.CANARY, gateway="", hostname="")
    assert state(hub) == ("one", None, None, None)


@pytest.mark.parametrize("moment", range(12))
@pytest.mark.parametrize(
    ("before", "name", "action"),
    [
        ([], "one", Action.SERVE),
        ([("one", Action.SERVE)], "two", Action.SERVE),
        ([("one", Action.SERVE)], "two", Action.CANARY),
        ([("one", Action.SERVE), ("two", Action.CANARY)], "two", Action.PROMOTE),
        ([("one", Action.SERVE), ("two", Action.SERVE)], "two", Action.ROLLBACK),
        ([("one", Action.SERVE), ("two", Action.CANARY)], "two", Action.ROLLBACK),
    ],
)
def test_a_command_that_is_killed_is_given_again(hub, before, name, action, moment):
    """Whatever write was its last, the same command then ends as if it had not been killed."""
    other = Hub(run("one"), run("two"))
    for each, of in (*before, (name, action)):
        do(other, each, of)
    for each, of in before:
        do(hub, each, of)
    hub.writes = moment
    try:
        do(hub, name, action)
    except Killed:
        pass
    else:
        assert state(hub) == state(other)
        return
    hub.writes = None
    assert answers(hub) in ([], ["one"], ["two"])  # one version at a time, and none is lost
    assert answers(hub) or not before
    if seen(hub) != seen(other):
        do(hub, name, action)
    assert seen(hub) == seen(other)


def test_what_others_have_made_is_left_alone(hub):
    hub.objects["InferenceService", "ns", "digits"] = {"kind": "InferenceService", "metadata": {"name": "digits", "uid": "x"}}
    with pytest.raises(Problem, match="`panal serve` has not created it") as found:
        do(hub, "one")
    assert found.value.code == Code.REFUSED
    assert hub.wrote == []


def test_the_state_of_a_service_that_was_deleted_does_not_count(hub):
    do(hub, "one")
    hub.objects["InferenceService", "ns", "digits"]["metadata"]["uid"] = "another"
    do(hub, "two")
    assert state(hub) == ("two", None, None, None)


def test_a_service_in_knative_mode_is_refused(hub):
    do(hub, "one")
    hub.objects["InferenceService", "ns", "digits"]["status"] = {"deploymentMode": "Serverless"}
    with pytest.raises(Problem, match="in the mode Serverless"):
        do(hub, "two")


def test_another_command_at_the_same_time_is_noticed(hub):
    do(hub, "one")
    apply = hub.apply

    async def changed(obj, force=True):
        hub.objects["ConfigMap", "ns", "digits-served"]["metadata"]["resourceVersion"] = "x"
        return await apply(obj, force)

    hub.apply = changed
    with pytest.raises(Problem, match="somebody else has changed digits at the same time"):
        do(hub, "two")


@pytest.mark.parametrize(
    ("error", "why"),
    [
        (Forbidden(403, "Forbidden", "services/proxy is forbidden"), "it cannot be proven .* services/proxy is forbidden"),
        (Unavailable(503, "", "the API server is busy"), "the API server is busy"),
    ],
)
def test_what_cannot_be_asked_is_not_proven(hub, error, why):
    async def refused(*_):
        raise error

    hub.ask = refused
    with pytest.raises(Problem, match=why) as found:
        do(hub, "one")
    assert found.value.code == Code.NOT_SERVED


def test_kserve_must_be_there(hub):
    async def serves(kind):
        return kind is not kinds.INFERENCE_SERVICE

    hub.serves = serves
    with pytest.raises(Problem, match="KServe is not installed"):
        do(hub, "one")


def test_a_model_in_a_folder_of_a_node_is_refused(hub):
    hub.objects["FederatedLearning", "ns", "one"]["status"]["model"]["uri"] = "file:///srv/one/model.safetensors"
    with pytest.raises(Problem, match="which KServe does not serve") as found:
        do(hub, "one")
    assert "docs/how-to/store-models.md" in found.value.remedy
    assert hub.wrote == []


def test_a_runtime_that_does_not_exist_is_named(hub):
    with pytest.raises(Problem, match="there is no ServingRuntime torch in ns, and no ClusterServingRuntime"):
        do(hub, "one", runtime="torch")


def test_json_has_the_state_and_the_proof(hub, capsys):
    do(hub, "one", as_json=True)
    found = json.loads(capsys.readouterr().out)
    assert (found["service"], found["action"], found["serving"]["run"], found["previous"]) == ("digits", "serve", "one", None)
    assert found["proof"]["digest"] == found["serving"]["digests"][0] == DIGESTS["one"]
    assert found["proof"]["answer"]["outputs"] == [7]


def test_everything_carries_the_label(hub):
    do(hub, "one")
    do(hub, "two", Action.CANARY)
    made = [obj for key, obj in hub.objects.items() if key[0] in ("ConfigMap", "InferenceService", "HTTPRoute")]
    assert len(made) == 4
    assert all(LABELS.items() <= obj["metadata"]["labels"].items() for obj in made)
