"""For any request, the response is a Status with a client error, never 500, and the server keeps running."""

from __future__ import annotations

import http.client
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import samples

WORDS = ["metadata", "spec", "status", "name", "labels", "finalizers", "containers", "template", "data", "kind", "apiVersion", "ports",
         "ownerReferences", "clients", "tags", "rounds", "conditions", "resourceVersion", "managedFields", "volumes",
         "env", "$patch"]  # fmt: skip
NUMBERS = st.one_of(st.integers(-(2**70), 2**70), st.floats(allow_nan=False, allow_infinity=False))
LEAVES = st.one_of(st.none(), st.booleans(), NUMBERS, st.text(max_size=8), st.sampled_from(WORDS))
VALUES = st.recursive(
    LEAVES, lambda v: st.one_of(st.lists(v, max_size=4), st.dictionaries(st.sampled_from(WORDS), v, max_size=5)), max_leaves=25
)
PATHS = [
    "/api/v1/namespaces/default/configmaps", "/api/v1/namespaces/default/pods", "/api/v1/namespaces/default/services",
    "/apis/batch/v1/namespaces/default/jobs", "/apis/apps/v1/namespaces/default/statefulsets", "/api/v1/namespaces", "/api/v1/nodes",
    "/apis/certificates.k8s.io/v1/certificatesigningrequests", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions",
    "/apis/samples.example.com/v1/namespaces/default/widgets", "/api/v1/namespaces/default/events",
    "/apis/rbac.authorization.k8s.io/v1/namespaces/default/rolebindings", "/api/v1/namespaces/default/persistentvolumeclaims",
    "/apis/networking.k8s.io/v1/namespaces/default/networkpolicies", "/apis/coordination.k8s.io/v1/namespaces/default/leases",
]  # fmt: skip
QUERIES = ["labelSelector", "fieldSelector", "limit", "resourceVersion"]
TYPES = [samples.J, samples.MP, samples.JP, samples.SM, samples.AP]


@pytest.fixture(scope="module")
def ready(http):
    assert http.post(samples.CRDS, json=samples.CRD).status_code == 201
    there = (
        (PATHS[0], samples.config_map("here", data={"a": "b"})),
        (PATHS[9], samples.widget("here")),
        (PATHS[7], samples.csr("here")),
    )
    for path, body in there:
        assert http.post(path, json=body).status_code == 201
    return http


def blamed(answer):
    """A client error or success. An apply with unknown fields is 500, as with kube-apiserver, with a message that says why."""
    return answer.status_code < 500 or "typed patch object" in answer.text


@settings(max_examples=40)
@given(
    method=st.sampled_from(["POST", "PUT", "PATCH", "DELETE"]), path=st.sampled_from(PATHS), content=st.sampled_from(TYPES), value=VALUES
)
def test_bodies_of_any_shape(ready, method, path, content, value):
    where = path if method == "POST" else f"{path}/here?fieldManager=f"
    answer = ready.request(method, where, content=json.dumps(value), headers={"Content-Type": content})
    assert blamed(answer), answer.text


@settings(max_examples=30)
@given(path=st.sampled_from(PATHS), spec=VALUES, meta=VALUES)
def test_objects_of_any_shape(ready, path, spec, meta):
    kind = {"widgets": ("Widget", "samples.example.com/v1")}.get(path.rpartition("/")[2])
    body = {"metadata": {"name": "x", **(meta if isinstance(meta, dict) else {"labels": meta})}, "spec": spec, "data": spec, "status": spec}
    if kind:
        body |= {"kind": kind[0], "apiVersion": kind[1]}
    for query in ("?dryRun=All", "?dryRun=All&fieldValidation=Strict"):
        answer = ready.post(path + query, json=json.loads(json.dumps(body)))
        assert blamed(answer), answer.text


@settings(max_examples=20)
@given(path=st.sampled_from(PATHS), name=st.sampled_from(QUERIES),
       value=st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), max_size=12))  # fmt: skip
def test_queries_of_any_shape(ready, path, name, value):
    assert ready.get(path, params={name: value}).status_code in (200, 400)


HARD = ["[" * 100_000, '{"a":' * 5_000 + "1" + "}" * 5_000, "\ud800".encode("utf-8", "surrogatepass"), b"\xff\xfe", "{}}", "nan"]


@pytest.mark.parametrize("body", HARD, ids=range(len(HARD)))
@pytest.mark.parametrize("content", [samples.J, samples.AP])
def test_malformed_bodies(ready, body, content):
    method, path = ("POST", PATHS[0]) if content == samples.J else ("PATCH", f"{PATHS[0]}/here?fieldManager=f")
    answer = ready.request(method, path, content=body, headers={"Content-Type": content})
    assert 400 <= answer.status_code < 500, answer.text
    assert answer.json()["kind"] == "Status"


def test_the_server_still_works(ready):
    assert ready.get(f"{PATHS[0]}/here").json()["data"]["a"] == "b"


@pytest.mark.parametrize("token", ["é", "a.b.é", "é.é.é", "\udce9"])
def test_invalid_tokens(server, token):
    asked = http.client.HTTPSConnection("127.0.0.1", server.port, context=server.context())
    asked.putrequest("GET", "/version")
    asked.putheader("Authorization", b"Bearer " + token.encode(errors="surrogateescape"))
    asked.endheaders()
    assert asked.getresponse().status == 401
    asked.close()
