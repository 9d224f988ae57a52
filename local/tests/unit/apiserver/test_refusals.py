"""Invalid objects are refused with the messages of kube-apiserver, which name the field."""

from __future__ import annotations

import pytest

import samples
from panal_local.apiserver.schema import check, pattern
from samples import CLAIMS, MAPS, NAMESPACES, SECRETS, SERVICES, WIDGETS, bare, claim, config_map, named, service, widget

WIDGET = 'Widget.samples.example.com "x" is invalid: '
UNREAD = 'Widget in version "v1" cannot be handled as a Widget: '
MAP = 'ConfigMap in version "v1" cannot be handled as a ConfigMap: '
STRICT = "?fieldValidation=Strict"
CREATED = [
    # custom resources
    ("unknown field", WIDGETS + STRICT, widget("x", bogus=1), 400, UNREAD + 'strict decoding error: unknown field "spec.bogus"'),
    ("minimum", WIDGETS, widget("x", rounds=0), 422,
     WIDGET + "spec.rounds: Invalid value: 0: spec.rounds in body should be greater than or equal to 1"),
    ("type", WIDGETS, widget("x", rounds="three"), 422,
     'spec.rounds: Invalid value: "string": spec.rounds in body must be of type integer: "string"'),
    ("type of the spec", WIDGETS, {**widget("x"), "spec": []}, 422,
     'spec: Invalid value: "array": spec in body must be of type object: "array"'),
    ("enum", WIDGETS, widget("x", strategy="Z"), 422,
     'spec.strategy: Unsupported value: "Z": supported values: "FedAvg", "FedProx"'),
    ("rule with a path", WIDGETS, widget("x", low=5, high=1), 422, WIDGET + 'spec.low: Invalid value: "object": low must not exceed high'),
    ("rule with a reason", WIDGETS, widget("x", rounds=13), 422, WIDGET + "spec: Forbidden: not that"),
    ("rules after other problems", WIDGETS, widget("x", rounds="three"), 422, "some validation rules were not checked"),
    ("required", WIDGETS, bare("x"), 422, "spec.rounds: Required value"),
    ("key of a list", WIDGETS, widget("x", clients=[{"weight": 1}]), 422, "spec.clients[0].name: Required value"),
    ("key of a list twice", WIDGETS, widget("x", clients=[{"name": "a"}] * 2), 422,
     WIDGET + 'spec.clients[1]: Duplicate value: {"name":"a"}'),
    ("item of a set twice", WIDGETS, widget("x", tags=["a", "a"]), 422, WIDGET + 'spec.tags[1]: Duplicate value: "a"'),
    ("items", WIDGETS, widget("x", clients=[{"name": str(i)} for i in range(6)]), 422,
     "spec.clients: Too many: 6: must have at most 5 items"),
    ("length", WIDGETS, widget("x", clients=[{"name": "n" * 21}]), 422,
     "spec.clients[0].name: Too long: may not be more than 20 bytes"),
    ("time", WIDGETS, widget("x", when="yesterday"), 422,
     'spec.when: Invalid value: "yesterday": spec.when in body must be of type date-time: "yesterday"'),
    ("name", WIDGETS, widget("D_4"), 422, 'metadata.name: Invalid value: "D_4": a lowercase RFC 1123 subdomain must consist of'),
    ("no name", WIDGETS, {**widget(), "metadata": {}}, 422, "metadata.name: Required value: name or generateName is required"),
    ("label", WIDGETS, widget("x", {"labels": {"a b": "c"}}), 422, 'metadata.labels: Invalid value: "a b": name part must consist of'),
    ("label's value", WIDGETS, widget("x", {"labels": {"a": "b c"}}), 422,
     'metadata.labels: Invalid value: "b c": a valid label must be an empty string or'),
    ("kind", WIDGETS, {**widget("x"), "kind": "Other"}, 400,
     'Other in version "samples.example.com/v1" cannot be handled as a Widget'),
    ("version", WIDGETS, {**widget("x"), "apiVersion": "samples.example.com/v2"}, 400,
     "the API version in the data (samples.example.com/v2) does not match the expected API version (samples.example.com/v1)"),
    ("namespace", WIDGETS, widget("x", {"namespace": "other"}), 400,
     "the namespace of the provided object does not match the namespace sent on the request"),
    ("unknown namespace", WIDGETS.replace("default", "nope"), widget("x"), 404, 'namespaces "nope" not found'),
    # built-in kinds that users apply
    ("unknown field of a built-in kind", MAPS + STRICT, config_map("x", bogus=1), 400,
     MAP + 'strict decoding error: unknown field "bogus"'),
    ("type of a built-in kind", MAPS, config_map("x", data={"a": 1}), 400,
     MAP + "json: cannot unmarshal number into Go struct field ConfigMap.data of type string"),
    ("key of a config map", MAPS, config_map("x", data={"a b": "1"}), 422,
     'data[a b]: Invalid value: "a b": a valid config key must consist of'),
    ("size of a config map", MAPS, config_map("x", data={"a": "x" * ((1 << 20) + 1)}), 422, "Too long: may not be more than 1048576 bytes"),
    ("annotations", MAPS, config_map("x", {"annotations": {"a": "x" * (256 << 10)}}), 422,
     "metadata.annotations: Too long: may not be more than 262144 bytes"),
    ("base64", SECRETS, named("v1", "Secret", "x", data={"a": "*"}), 400, "illegal base64 data at input byte 0"),
    ("claim without mode", CLAIMS, claim("x", accessModes=[]), 422, "spec.accessModes: Required value: at least 1 access mode is required"),
    ("claim without size", CLAIMS, claim("x", resources={}), 422, "spec.resources[storage]: Required value"),
    ("quantity", CLAIMS, claim("x", resources={"requests": {"storage": "much"}}), 400, "quantities must match the regular expression"),
    ("name of a namespace", NAMESPACES, named("v1", "Namespace", "a.b"), 422,
     'Namespace "a.b" is invalid: metadata.name: Invalid value: "a.b": must not contain dots'),
    # what a listener of a run becomes
    ("node port out of range", SERVICES, service("x", type="NodePort", ports=[{"port": 80, "nodePort": 80}]), 422,
     "spec.ports[0].nodePort: Invalid value: 80: provided port is not in the valid range. The range of valid ports is 30000-32767"),
    ("node port taken", SERVICES, service("x", type="NodePort", ports=[{"port": 80, "nodePort": 31234}]), 422,
     "spec.ports[0].nodePort: Invalid value: 31234: provided port is already allocated"),
]  # fmt: skip
PATCHED = [
    ("unknown field", f"{WIDGETS}/there{STRICT}", {"spec": {"bogus": 1}}, 422, 'strict decoding error: unknown field "spec.bogus"'),
    ("type", f"{WIDGETS}/there", {"spec": []}, 422, 'spec: Invalid value: "array": spec in body must be of type object: "array"'),
    ("rule about the former value", f"{WIDGETS}/there", {"spec": {"fixed": "y"}}, 422,
     'Widget.samples.example.com "there" is invalid: spec.fixed: Invalid value: "string": fixed may not change'),
    ("former version", f"{WIDGETS}/there", {"metadata": {"resourceVersion": "1"}}, 409,
     'Operation cannot be fulfilled on widgets.samples.example.com "there": the object has been modified; please apply'),
    ("another object", f"{WIDGETS}/there", {"metadata": {"uid": "x"}}, 422, 'metadata.uid: Invalid value: "x": field is immutable'),
    ("not there", f"{WIDGETS}/none", {}, 404, 'widgets.samples.example.com "none" not found'),
    ("type of a built-in kind", f"{MAPS}/fixed", {"metadata": {"labels": {"a": 1}}}, 422,
     "json: cannot unmarshal number into Go struct field ObjectMeta.metadata.labels of type string"),
    ("immutable data", f"{MAPS}/fixed", {"data": {"z": "1"}}, 422,
     'ConfigMap "fixed" is invalid: data: Forbidden: field is immutable when `immutable` is set'),
    ("type of a secret", f"{SECRETS}/there", {"type": "other"}, 422,
     'Secret "there" is invalid: type: Invalid value: "other": field is immutable'),
    ("spec of a claim", f"{CLAIMS}/there", {"spec": {"storageClassName": "other"}}, 422,
     "spec: Forbidden: spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims"),
]  # fmt: skip


@pytest.fixture(scope="module")
def there(widgets):
    node_port = service("taken", type="NodePort", ports=[{"port": 80, "nodePort": 31234}])
    for path, body in (
        (WIDGETS, widget("there", fixed="x")),
        (MAPS, config_map("fixed", immutable=True, data={"a": "b"})),
        (SECRETS, named("v1", "Secret", "there", stringData={"a": "b"})),
        (CLAIMS, claim("there", storageClassName="odd")),
        (SERVICES, node_port),
    ):
        assert widgets.post(path, json=body).status_code == 201
    return widgets


@pytest.mark.parametrize(("path", "body", "code", "words"), [case[1:] for case in CREATED], ids=[case[0] for case in CREATED])
def test_an_invalid_object_is_not_created(there, path, body, code, words):
    answer = there.post(path, json=body)
    assert (answer.status_code, answer.json()["kind"]) == (code, "Status")
    assert words in answer.json()["message"]


@pytest.mark.parametrize(("path", "body", "code", "words"), [case[1:] for case in PATCHED], ids=[case[0] for case in PATCHED])
def test_an_invalid_change_is_refused(there, path, body, code, words):
    answer = there.patch(path, json=body, headers={"Content-Type": samples.MP})
    assert answer.status_code == code
    assert words in answer.json()["message"]


def test_unknown_fields_are_removed_with_a_warning(there):
    for path, body in ((WIDGETS, widget("odd", bogus=1)), (MAPS, config_map("odd", bogus=1))):
        answer = there.post(path, json=body)
        assert "unknown field" in answer.headers["Warning"]
        assert "bogus" not in answer.text


def test_an_update_may_keep_invalid_values(there):
    """An update of one field is not refused because of other fields, which an older CRD allowed."""
    definition = there.get(f"{samples.CRDS}/widgets.samples.example.com").json()
    assert there.post(WIDGETS, json=widget("old", rounds=90)).status_code == 201
    version = definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]["rounds"]
    version["maximum"] = 50
    assert there.put(f"{samples.CRDS}/widgets.samples.example.com", json=definition).status_code == 200
    change = {"metadata": {"labels": {"a": "b"}}}
    assert there.patch(f"{WIDGETS}/old", json=change, headers={"Content-Type": samples.MP}).status_code == 200
    refused = there.patch(f"{WIDGETS}/old", json={"spec": {"rounds": 91}}, headers={"Content-Type": samples.MP})
    assert "spec.rounds in body should be less than or equal to 50" in refused.json()["message"]


DEFINITIONS = [
    ({"names": {"kind": "X", "plural": "x"}}, 'must be spec.names.plural+"."+spec.group'),
    ({"conversion": {"strategy": "Webhook"}}, "the local platform has no conversion webhooks; use strategy None"),
    (
        {"versions": [{**samples.VERSION, "storage": False}]},
        "the local platform needs one version, which is served and stored",
    ),
    ({"versions": [{"name": "v1", "served": True, "storage": True}]}, "schemas are required"),
]


@pytest.mark.parametrize(("spec", "words"), DEFINITIONS)
def test_an_invalid_crd_is_refused(there, spec, words):
    answer = there.post(samples.CRDS, json={**samples.CRD, "spec": {**samples.CRD["spec"], **spec}})
    assert answer.status_code == 422
    assert words in answer.json()["message"]


@pytest.mark.parametrize(
    "wrong", [{"type": "text"}, {"x-kubernetes-validations": [{"rule": "self +"}]}, {"pattern": "("}, {"properties": True}]
)
def test_an_invalid_schema_is_refused(there, wrong):
    schema = {"type": "object", "properties": {"spec": {"type": "string", **wrong}}}
    version = {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}
    answer = there.post(samples.CRDS, json={**samples.CRD, "spec": {**samples.CRD["spec"], "versions": [version]}})
    assert answer.status_code in (400, 422)
    assert "openAPIV3Schema" in answer.json()["message"]


def test_a_line_break_at_the_end_of_a_text_is_part_of_it():
    assert pattern("^[a-z]+$").search("run")
    assert not pattern("^[a-z]+$").search("run\n")
    assert pattern(r"^1\$$").search("1$")


def test_an_object_has_at_least_as_many_fields_as_its_schema_says():
    schema = {"type": "object", "minProperties": 1, "properties": {"a": {"type": "string"}}}
    assert [cause.field for cause in check({}, schema, "spec.from")] == ["spec.from"]
    assert not list(check({"a": "b"}, schema, "spec.from"))
