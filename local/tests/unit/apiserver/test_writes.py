"""Objects that are created, changed, applied and deleted."""

from __future__ import annotations

import pytest

import samples
from samples import ACCOUNTS, AP, CORE, JOBS, MAPS, MP, NAMESPACES, PODS, SERVICES, SM, WIDGETS, bare, config_map, named, widget


def made(http, path, body):
    answer = http.post(path, json=body)
    assert answer.status_code == 201, answer.text
    return answer.json()


def patched(http, path, body, media=MP):
    answer = http.patch(path, json=body, headers={"Content-Type": media})
    assert answer.status_code in (200, 201), answer.text
    return answer.json()


def applied(http, obj, manager="one", path=WIDGETS, force="false", subresource=""):
    address = f"{path}/{obj['metadata']['name']}{subresource}?fieldManager={manager}&force={force}"
    return http.patch(address, json=obj, headers={"Content-Type": AP})


# --- create and update --------------------------------------------------------------------------------------------
def test_defaults_are_set(widgets):
    obj = made(widgets, WIDGETS, widget("filled", strategy=None, clients=[{"name": "a"}], free={"any": [1, {"thing": None}]}, size="1Gi"))
    assert obj["spec"] == {
        "rounds": 3, "strategy": "FedAvg", "clients": [{"name": "a", "role": "x"}], "free": {"any": [1, {"thing": None}]}, "size": "1Gi",
    }  # fmt: skip
    assert obj["metadata"]["generation"] == 1


def test_an_object_exists_once(widgets):
    made(widgets, WIDGETS, widget("once"))
    answer = widgets.post(WIDGETS, json=widget("once"))
    assert (answer.status_code, answer.json()["reason"]) == (409, "AlreadyExists")


def test_a_name_is_generated(widgets):
    assert made(widgets, WIDGETS, {**widget(), "metadata": {"generateName": "g-"}})["metadata"]["name"].startswith("g-")


def test_a_dry_run_stores_nothing(widgets):
    assert widgets.post(f"{WIDGETS}?dryRun=All", json=widget("dry")).status_code == 201
    assert widgets.get(f"{WIDGETS}/dry").status_code == 404


def test_the_generation_counts_changes_of_the_spec(widgets):
    made(widgets, WIDGETS, widget("counted"))
    for change in ({"metadata": {"labels": {"a": "b"}}}, {"spec": {"rounds": 4}}, {"spec": {"rounds": 4}}):
        obj = patched(widgets, f"{WIDGETS}/counted", change)
    assert obj["metadata"]["generation"] == 2


def test_status_and_spec_are_written_separately(widgets):
    made(widgets, WIDGETS, {**widget("apart"), "status": {"phase": "P"}})
    assert "status" not in patched(widgets, f"{WIDGETS}/apart", {"status": {"phase": "P"}})
    obj = patched(widgets, f"{WIDGETS}/apart/status", {"status": {"phase": "P"}, "spec": {"rounds": 77}})
    assert (obj["status"], obj["spec"]["rounds"], obj["metadata"]["generation"]) == ({"phase": "P"}, 3, 1)


def test_a_replacement_needs_the_latest_version(widgets):
    obj = made(widgets, WIDGETS, widget("put"))
    assert widgets.put(f"{WIDGETS}/put", json=widget("put", rounds=4)).status_code == 422
    replaced = widgets.put(f"{WIDGETS}/put", json={**obj, "spec": {"rounds": 4}})
    assert replaced.json()["spec"] == {"rounds": 4, "strategy": "FedAvg"}
    assert widgets.put(f"{WIDGETS}/put", json={**obj, "spec": {"rounds": 5}}).json()["reason"] == "Conflict"


def test_a_json_patch_is_atomic(widgets):
    """kubectl sends one when it migrates to server-side apply."""
    made(widgets, WIDGETS, widget("jp"))
    operations = [{"op": "replace", "path": "/spec/rounds", "value": 4}, {"op": "test", "path": "/metadata/resourceVersion", "value": "1"}]
    refused = widgets.patch(f"{WIDGETS}/jp", json=operations, headers={"Content-Type": samples.JP})
    assert (refused.status_code, widgets.get(f"{WIDGETS}/jp").json()["spec"]["rounds"]) == (422, 3)
    assert patched(widgets, f"{WIDGETS}/jp", operations[:1], samples.JP)["spec"]["rounds"] == 4


def test_a_strategic_merge_knows_the_keys_of_lists(http):
    made(http, SERVICES, samples.service("s", ports=[{"name": "a", "port": 1}, {"name": "b", "port": 2}]))
    obj = patched(http, f"{SERVICES}/s", {"spec": {"ports": [{"port": 2, "name": "c"}, {"port": 1, "$patch": "delete"}]}}, SM)
    assert [(p["name"], p["port"]) for p in obj["spec"]["ports"]] == [("c", 2)]


# --- what the server fills in for built-in kinds ------------------------------------------------------------------
def test_a_secret_is_encoded(http):
    obj = made(http, samples.SECRETS, named("v1", "Secret", "s", stringData={"a": "b"}))
    assert (obj["data"], obj["type"], "stringData" in obj) == ({"a": "Yg=="}, "Opaque", False)


def test_a_service_gets_an_address_and_ports(http):
    obj = made(http, SERVICES, samples.service("n", type="NodePort"))
    assert obj["spec"]["clusterIP"].startswith("10.96.")
    (port,) = obj["spec"]["ports"]
    assert (port["protocol"], 30000 <= port["nodePort"] < 32768) == ("TCP", True)
    again = patched(http, f"{SERVICES}/n", {"metadata": {"labels": {"a": "b"}}})
    assert again["spec"] == obj["spec"]
    assert made(http, SERVICES, samples.service("h", clusterIP="None"))["spec"]["clusterIP"] == "None"


def test_a_job_selects_its_pods(http):
    obj = made(http, JOBS, samples.job("j"))
    uid = obj["metadata"]["uid"]
    assert obj["spec"]["selector"] == {"matchLabels": {"batch.kubernetes.io/controller-uid": uid}}
    assert obj["spec"]["template"]["metadata"]["labels"]["batch.kubernetes.io/controller-uid"] == uid


def test_a_pod_gets_its_account_token_and_node(http):
    refused = http.post(PODS, json=samples.pod("p"))
    assert 'error looking up service account default/default: serviceaccount "default" not found' in refused.json()["message"]
    made(http, ACCOUNTS, named("v1", "ServiceAccount", "default"))
    obj = made(http, PODS, samples.pod("p", automountServiceAccountToken=True))
    assert obj["spec"]["serviceAccountName"] == "default"
    assert obj["spec"]["containers"][0]["volumeMounts"][0]["mountPath"] == "/var/run/secrets/kubernetes.io/serviceaccount"
    assert obj["status"]["phase"] == "Pending"
    made(http, f"{PODS}/p/binding", {"target": {"kind": "Node", "name": "n"}})
    assert http.get(f"{PODS}?fieldSelector=spec.nodeName%3Dn").json()["items"][0]["metadata"]["name"] == "p"
    assert http.post(f"{PODS}/p/binding", json={"target": {"name": "m"}}).json()["reason"] == "Conflict"
    going = http.delete(f"{PODS}/p").json()["metadata"]
    assert going["deletionGracePeriodSeconds"] == 30
    assert http.request("DELETE", f"{PODS}/p", json={"gracePeriodSeconds": 0}).status_code == 200
    assert http.get(f"{PODS}/p").status_code == 404


def test_a_gated_pod_gets_no_node_until_its_gates_are_removed(http):
    made(http, ACCOUNTS, named("v1", "ServiceAccount", "gated"))
    pod = samples.pod("gated", serviceAccountName="gated", schedulingGates=[{"name": "a.example/x"}, {"name": "fl.panal/site-policy"}])
    (condition,) = made(http, PODS, pod)["status"]["conditions"]
    assert (condition["type"], condition["status"], condition["reason"]) == ("PodScheduled", "False", "SchedulingGated")
    assert condition["message"] == "Scheduling is blocked due to non-empty scheduling gates"
    decided = {"type": "fl.panal/site-policy", "status": "True", "reason": "Allowed"}
    for gates in ([{"$patch": "delete", "name": "a.example/x"}], [{"$patch": "delete", "name": "fl.panal/site-policy"}]):
        refused = http.post(f"{PODS}/gated/binding", json={"target": {"name": "n"}}).json()
        assert (refused["reason"], "non-empty .spec.schedulingGates" in refused["message"]) == ("Conflict", True)
        obj = patched(http, f"{PODS}/gated", {"spec": {"schedulingGates": gates}}, SM)
    assert not obj["spec"].get("schedulingGates")
    patched(http, f"{PODS}/gated/status", {"status": {"conditions": [decided]}}, SM)
    made(http, f"{PODS}/gated/binding", {"target": {"name": "n"}})
    found = {c["type"]: c["status"] for c in http.get(f"{PODS}/gated").json()["status"]["conditions"]}
    assert found == {"PodScheduled": "True", "fl.panal/site-policy": "True"}


@pytest.mark.parametrize("gates", [None, []])
def test_gates_can_be_removed_by_a_merge_patch(http, gates):
    name = f"merged-{gates is None}".lower()
    made(http, ACCOUNTS, named("v1", "ServiceAccount", name))
    made(http, PODS, samples.pod(name, serviceAccountName=name, schedulingGates=[{"name": "fl.panal/site-policy"}]))
    assert not patched(http, f"{PODS}/{name}", {"spec": {"schedulingGates": gates}})["spec"].get("schedulingGates")
    made(http, f"{PODS}/{name}/binding", {"target": {"name": "n"}})


# --- server-side apply --------------------------------------------------------------------------------------------
def test_applying_the_same_again_changes_nothing(widgets):
    first = applied(widgets, widget("same", clients=[{"name": "a", "weight": 1.5}]))
    assert first.status_code == 201
    again = applied(widgets, widget("same", clients=[{"name": "a", "weight": 1.5}]))
    assert (again.status_code, again.json()) == (200, first.json())


def test_a_field_of_another_manager_is_a_conflict_unless_forced(widgets):
    applied(widgets, widget("c", clients=[{"name": "a", "weight": 1}]))
    assert applied(widgets, bare("c", clients=[{"name": "b", "weight": 2}]), "two").status_code == 200
    one = applied(widgets, bare("c", rounds=8), "two")
    assert (one.status_code, one.json()["message"]) == (409, 'Apply failed with 1 conflict: conflict with "one": .spec.rounds')
    two = applied(widgets, bare("c", rounds=8, clients=[{"name": "a", "weight": 4}]), "two").json()
    assert two["message"] == 'Apply failed with 2 conflicts: conflicts with "one":\n- .spec.rounds\n- .spec.clients[name="a"].weight'
    assert applied(widgets, bare("c", rounds=8), "two", force="true").json()["spec"]["rounds"] == 8


def test_a_field_set_by_an_update_is_a_conflict_too(widgets):
    applied(widgets, widget("u"))
    patched(widgets, f"{WIDGETS}/u?fieldManager=hand", {"spec": {"rounds": 20}})
    refused = applied(widgets, widget("u"))
    assert refused.json()["message"] == ('Apply failed with 1 conflict: conflict with "hand" using samples.example.com/v1: .spec.rounds')


def test_an_omitted_field_is_removed_unless_another_manager_owns_it(widgets):
    applied(widgets, widget("left", {"labels": {"a": "b"}}, tags=["a", "b"], limits={"k": "v"}))
    applied(widgets, bare("left", tags=["b", "c"]), "two")
    obj = applied(widgets, widget("left")).json()
    assert (obj["spec"], "labels" in obj["metadata"]) == ({"rounds": 3, "strategy": "FedAvg", "tags": ["b", "c"]}, False)


def test_the_status_is_applied_separately(widgets):
    assert applied(widgets, {**widget("none"), "status": samples.READY}, "three", subresource="/status").status_code == 404
    applied(widgets, widget("told"))
    obj = applied(widgets, {**widget("told", rounds=9), "status": samples.READY}, "three", subresource="/status").json()
    assert (obj["status"], obj["spec"]["rounds"]) == (samples.READY, 3)
    obj = applied(widgets, {**widget("told"), "status": {"phase": "Q"}}, "three", subresource="/status").json()
    assert obj["status"] == {"phase": "Q"}


TYPED = "failed to create typed patch object (default/x; samples.example.com/v1, Kind=Widget): "
MISFITS = [
    (widget("x", bogus=1), TYPED + ".spec.bogus: field not declared in schema"),
    (widget("x", rounds="x"), "spec.rounds in body must be of type integer"),
    (widget("x", clients=[{"name": "a"}] * 2), TYPED + '.spec.clients: duplicate entries for key [name="a"]'),
    (widget("x", {"managedFields": [{"manager": "x"}]}), "metadata.managedFields must be nil"),
    (widget("x", {"uid": "abc"}), "uid mismatch: the provided object specified uid abc, and no existing object was found"),
]


@pytest.mark.parametrize(("obj", "words"), MISFITS)
def test_an_invalid_configuration_is_refused(widgets, obj, words):
    if "namespace" not in obj["metadata"]:
        obj = {**obj, "metadata": {**obj["metadata"], "namespace": "default"}}
    assert words in applied(widgets, obj).json()["message"]


def test_apply_needs_a_manager(widgets):
    answer = widgets.patch(f"{WIDGETS}/s", json=widget("s"), headers={"Content-Type": AP})
    assert "fieldManager: Required value: is required for apply patch" in answer.json()["message"]


# --- delete -------------------------------------------------------------------------------------------------------
def test_finalizers_delay_a_deletion(widgets):
    made(widgets, WIDGETS, widget("f", {"finalizers": ["a.b/c"]}))
    assert widgets.delete(f"{WIDGETS}/f").json()["metadata"]["deletionTimestamp"]
    assert patched(widgets, f"{WIDGETS}/f", {"spec": {"rounds": 5}})["spec"]["rounds"] == 5
    patched(widgets, f"{WIDGETS}/f", {"metadata": {"finalizers": None}})
    assert widgets.get(f"{WIDGETS}/f").status_code == 404


@pytest.mark.parametrize(("policy", "finalizer"), [("Orphan", "orphan"), ("Foreground", "foregroundDeletion")])
def test_a_propagation_policy_becomes_a_finalizer(widgets, policy, finalizer):
    made(widgets, WIDGETS, widget(policy.lower()))
    going = widgets.request("DELETE", f"{WIDGETS}/{policy.lower()}", json={"propagationPolicy": policy}).json()
    assert going["metadata"]["finalizers"] == [finalizer]


def test_a_deletion_with_another_uid_is_refused(widgets):
    made(widgets, WIDGETS, widget("later"))
    refused = widgets.request("DELETE", f"{WIDGETS}/later", json={"preconditions": {"uid": "x"}})
    assert (refused.status_code, widgets.get(f"{WIDGETS}/later").status_code) == (409, 200)


def test_a_namespace_is_removed_when_it_is_finalized(http):
    made(http, NAMESPACES, named("v1", "Namespace", "ending"))
    maps = f"{NAMESPACES}/ending/configmaps"
    made(http, maps, config_map("x"))
    assert http.delete(f"{NAMESPACES}/ending").json()["status"]["phase"] == "Terminating"
    refused = http.post(maps, json=config_map("y")).json()
    assert "unable to create new content in namespace ending because it is being terminated" in refused["message"]
    http.delete(f"{maps}/x")
    http.put(f"{NAMESPACES}/ending/finalize", json=named("v1", "Namespace", "ending", spec={"finalizers": []}))
    assert http.get(f"{NAMESPACES}/ending").status_code == 404


def test_objects_are_deleted_with_their_crd(http):
    spec = {**samples.CRD["spec"], "group": "gone.example.com"}
    made(http, samples.CRDS, {**samples.CRD, "metadata": {"name": "widgets.gone.example.com"}, "spec": spec})
    path = WIDGETS.replace("samples", "gone")
    made(http, path, widget() | {"apiVersion": "gone.example.com/v1"})
    assert http.delete(f"{samples.CRDS}/widgets.gone.example.com").status_code == 200
    assert http.get(path).status_code == 404
    assert http.get(f"{MAPS}/none").json()["reason"] == "NotFound"


def test_certificate_requests_are_approved_through_a_subresource(http):
    made(http, samples.CSRS, samples.csr("r", username="admin"))
    judged = {"status": {"conditions": [{"type": "Approved", "status": "True", "reason": "Test", "message": "m"}]}}
    obj = patched(http, f"{samples.CSRS}/r/approval", {**judged, "spec": {"usages": ["server auth"]}})
    assert (obj["status"]["conditions"][0]["type"], obj["spec"]["usages"]) == ("Approved", ["client auth"])


def test_events_are_selected_by_their_object(http):
    about = {"kind": "Pod", "name": "p", "namespace": "default", "apiVersion": "v1"}
    made(http, f"{CORE}/events", samples.event("e", "default", about))
    found = http.get(f"{CORE}/events?fieldSelector=involvedObject.name%3Dp%2CinvolvedObject.namespace%3Ddefault").json()
    assert [e["reason"] for e in found["items"]] == ["Tested"]
