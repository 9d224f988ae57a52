"""The contract of the API: one list of requests, as panal and kubectl send them, and what a real API server answers.

`contract.json` holds the answers of kube-apiserver. The embedded server is held to them in `make test`, and the real one in `make
test-real`, so that they stay true; `python tests/support/contract.py KUBECONFIG` records them anew. What differs on purpose is in
`DIFFERENCES`, each with its reason. Values that differ from run to run, such as uids, are made the same before comparing.
"""

from __future__ import annotations

import base64
import json
import re
import ssl
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
import yaml

ANSWERS = Path(__file__).with_name("contract.json")
NS = "contract"
J, MP, JP, SM, AP = (f"application/{n}json" for n in ("", "merge-patch+", "json-patch+", "strategic-merge-patch+", ""))
AP = "application/apply-patch+yaml"
TABLE = {"Accept": "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"}
METADATA = {"Accept": "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io"}


@dataclass(frozen=True)
class Case:
    """`body` is sent as JSON, or as it is if it is text."""

    name: str
    method: str
    path: str
    body: Any = None
    content_type: str = ""
    headers: dict[str, str] = field(default_factory=dict)


CSR = """-----BEGIN CERTIFICATE REQUEST-----
MIHIMG8CAQAwDTELMAkGA1UEAwwCYzEwWTATBgcqhkjOPQIBBggqhkjOPQMBBwNC
AAS2M57+kBCiaUBJ56146KnONfCtS/ASET6wSrUYCfNIUePHW6oHn8+7vru1fj/C
Dxtl/O4Lbqh/B6aUdZBy2lU2oAAwCgYIKoZIzj0EAwIDSQAwRgIhAL44hopmE4UE
FOefzOBp5OBqpJAqSZ+bdJPHptmvz4ZiAiEA8qNujipfOEMtokeVhTGXpstFOrFL
88+ceMX0NRzjFPw=
-----END CERTIFICATE REQUEST-----
"""
CERTIFICATE = """-----BEGIN CERTIFICATE-----
MIIBBTCBraADAgECAgEFMAoGCCqGSM49BAMCMA0xCzAJBgNVBAMMAmMxMB4XDTI2
MDEwMTAwMDAwMFoXDTQ2MDEwMTAwMDAwMFowDTELMAkGA1UEAwwCYzEwWTATBgcq
hkjOPQIBBggqhkjOPQMBBwNCAAS2M57+kBCiaUBJ56146KnONfCtS/ASET6wSrUY
CfNIUePHW6oHn8+7vru1fj/CDxtl/O4Lbqh/B6aUdZBy2lU2MAoGCCqGSM49BAMC
A0cAMEQCIFqVhSL85uCbJk9i3S8Sro2s2EEzeYcAMDvyOkEheaCrAiACKsStUJ44
uX3T89Pnib0LEXnvsArj+lLIVu9wPBGGpw==
-----END CERTIFICATE-----
"""
SPEC = {
    "type": "object",
    "required": ["rounds"],
    "properties": {
        "rounds": {"type": "integer", "minimum": 1, "maximum": 100},
        "strategy": {"type": "string", "enum": ["FedAvg", "FedProx"], "default": "FedAvg"},
        "low": {"type": "integer"},
        "high": {"type": "integer"},
        "ratio": {"type": "number"},
        "tags": {"type": "array", "items": {"type": "string"}, "x-kubernetes-list-type": "set"},
        "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
        "size": {"x-kubernetes-int-or-string": True},
        "limits": {"type": "object", "additionalProperties": {"type": "string"}},
        "clients": {
            "type": "array",
            "maxItems": 5,
            "x-kubernetes-list-type": "map",
            "x-kubernetes-list-map-keys": ["name"],
            "items": {
                "type": "object",
                "required": ["name"],
                "properties": {
                    "name": {"type": "string", "maxLength": 20},
                    "weight": {"type": "number"},
                    "role": {"type": "string", "default": "x"},
                },
            },
        },
        "when": {"type": "string", "format": "date-time"},
        "fixed": {"type": "string", "x-kubernetes-validations": [{"rule": "self == oldSelf", "message": "fixed may not change"}]},
    },
    "x-kubernetes-validations": [
        {"rule": "!has(self.low) || !has(self.high) || self.low <= self.high", "message": "low must not exceed high", "fieldPath": ".low"},
        {"rule": "self.rounds != 13", "messageExpression": "self.rounds > 5 ? 'not that' : 'not this'", "reason": "FieldValueForbidden"},
    ],
}
CONDITION = {"type": "object", "required": ["type"], "properties": {"type": {"type": "string"}, "status": {"type": "string"}}}
CRD = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {"name": "widgets.contract.example.com"},
    "spec": {
        "group": "contract.example.com",
        "scope": "Namespaced",
        "names": {"kind": "Widget", "plural": "widgets", "shortNames": ["wd"]},
        "versions": [
            {
                "name": "v1",
                "served": True,
                "storage": True,
                "subresources": {"status": {}},
                "additionalPrinterColumns": [
                    {"name": "Rounds", "type": "integer", "jsonPath": ".spec.rounds"},
                    {"name": "Ready", "type": "string", "jsonPath": '.status.conditions[?(@.type=="Ready")].status'},
                ],
                "schema": {
                    "openAPIV3Schema": {
                        "type": "object",
                        "properties": {
                            "spec": SPEC,
                            "status": {
                                "type": "object",
                                "properties": {
                                    "phase": {"type": "string"},
                                    "conditions": {
                                        "type": "array",
                                        "items": CONDITION,
                                        "x-kubernetes-list-type": "map",
                                        "x-kubernetes-list-map-keys": ["type"],
                                    },
                                },
                            },
                        },
                    }
                },
            }
        ],
    },
}
W = f"/apis/contract.example.com/v1/namespaces/{NS}/widgets"
CORE = f"/api/v1/namespaces/{NS}"


def widget(name: str = "a", meta: dict[str, Any] | None = None, **spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": "contract.example.com/v1",
        "kind": "Widget",
        "metadata": {"name": name, **(meta or {})},
        "spec": {"rounds": 3, **spec},
    }


def bare(name: str, **spec: Any) -> dict[str, Any]:
    return {**widget(name), "spec": spec}


def config_map(name: str, meta: dict[str, Any] | None = None, **fields: Any) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, **(meta or {})}, **fields}


POD = {"containers": [{"name": "c", "image": "x:1"}], "restartPolicy": "Never"}


def job(name: str, **spec: Any) -> dict[str, Any]:
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": name}, "spec": {"template": {"spec": POD}, **spec}}


def pod(name: str, **spec: Any) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": {**POD, "automountServiceAccountToken": False, **spec}}


def stateful_set(name: str, **spec: Any) -> dict[str, Any]:
    template = {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": POD["containers"]}}
    rest = {"selector": {"matchLabels": {"a": "b"}}, "serviceName": "s", "template": template, **spec}
    return {"apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"name": name}, "spec": rest}


def service(name: str, **spec: Any) -> dict[str, Any]:
    rest = {"selector": {"a": "b"}, "ports": [{"port": 80}], **spec}
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": rest}


def claim(name: str, **spec: Any) -> dict[str, Any]:
    rest = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}, **spec}
    return {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": name}, "spec": rest}


def lease(**spec: Any) -> dict[str, Any]:
    return {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": "l"}, "spec": spec}


def coded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def judged(type_: str, status: str = "True") -> dict[str, Any]:
    return {"status": {"conditions": [{"type": type_, "status": status, "reason": "Test", "message": "m"}]}}


def network_policy(name: str, **spec: Any) -> dict[str, Any]:
    rest = {"podSelector": {"matchLabels": {"a": "b"}}, "policyTypes": ["Ingress", "Egress"], **spec}
    return {"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": {"name": name}, "spec": rest}


def egress(cidr: str = "192.0.2.1/32", ports: Any = None, **peer: Any) -> dict[str, Any]:
    to = {"ipBlock": {"cidr": cidr}, **peer} if cidr else peer
    return {"egress": [{"to": [to], "ports": [{"protocol": "TCP", "port": 30080}] if ports is None else ports}]}


def csr(name: str, **spec: Any) -> dict[str, Any]:
    rest = {"request": coded(CSR), "signerName": "example.com/s", "usages": ["client auth"], **spec}
    return {"apiVersion": "certificates.k8s.io/v1", "kind": "CertificateSigningRequest", "metadata": {"name": name}, "spec": rest}


def event(name: str, namespace: str = NS) -> dict[str, Any]:
    about = {"kind": "Pod", "name": "p", "namespace": namespace, "apiVersion": "v1"}
    rest = {"involvedObject": about, "reason": "Tested", "message": "m", "type": "Normal", "source": {"component": "t"}}
    return {"apiVersion": "v1", "kind": "Event", "metadata": {"name": name}, **rest}


def post(name: str, path: str, body: Any, content_type: str = J, **headers: str) -> Case:
    return Case(name, "POST", path, body, content_type, headers)


def get(name: str, path: str, headers: dict[str, str] | None = None) -> Case:
    return Case(name, "GET", path, headers=headers or {})


def patch(name: str, path: str, body: Any, content_type: str = MP) -> Case:
    return Case(name, "PATCH", path, body, content_type)


def delete(name: str, path: str, body: Any = None) -> Case:
    return Case(name, "DELETE", path, body, J if body is not None else "")


BATCH, APPS = f"/apis/batch/v1/namespaces/{NS}/jobs", f"/apis/apps/v1/namespaces/{NS}/statefulsets"
CM, SVC, PODS, PVC = (f"{CORE}/{p}" for p in ("configmaps", "services", "pods", "persistentvolumeclaims"))
LEASES = f"/apis/coordination.k8s.io/v1/namespaces/{NS}/leases"
CSRS = "/apis/certificates.k8s.io/v1/certificatesigningrequests"
FIRST = f"{CSRS}/contract-1"
POLICIES = f"/apis/networking.k8s.io/v1/namespaces/{NS}/networkpolicies"
COPY = "fieldManager=one"
READY = {"conditions": [{"type": "Ready", "status": "True"}]}
UNKNOWN_RV = "resourceVersion=99999999"

CASES = [
    # custom resources: create
    post("create", W, widget()),
    post("create again", W, widget()),
    post("create with an unknown field", W, widget("b", bogus=1)),
    post("create with an unknown field, strict", f"{W}?fieldValidation=Strict", widget("c", bogus=1)),
    post("create, dry run", f"{W}?dryRun=All", widget("dry")),
    get("the dry run left nothing", f"{W}/dry"),
    post("below the minimum", W, widget("x", rounds=0)),
    post("wrong type", W, widget("x", rounds="three")),
    post("not in the enum", W, widget("x", strategy="Z")),
    post("two problems", W, widget("x", rounds=0, strategy="Z")),
    post("a rule with a field path", W, widget("x", low=5, high=1)),
    post("a rule with an expression for its message", W, widget("x", rounds=13)),
    post("a required field is missing", W, bare("x")),
    post("the spec is missing", W, {k: v for k, v in widget("x").items() if k != "spec"}),
    post("a key of a list is missing", W, widget("x", clients=[{"weight": 1}])),
    post("a key of a list twice", W, widget("x", clients=[{"name": "a"}, {"name": "a"}])),
    post("an item of a set twice", W, widget("x", tags=["a", "a"])),
    post("too many items", W, widget("x", clients=[{"name": str(i)} for i in range(6)])),
    post("too long", W, widget("x", clients=[{"name": "n" * 21}])),
    post("no moment", W, widget("x", when="yesterday")),
    post("null for a default", W, widget("null", strategy=None)),
    post("null for a list", W, widget("nulls", tags=None, limits=None)),
    post("free form is kept", W, widget("free", free={"any": [1, {"thing": None}]}, size="1Gi", ratio=1)),
    post("a bad name", W, widget("D_4")),
    post("another namespace", W, widget("q", {"namespace": "other"})),
    post("no such namespace", W.replace(NS, "nope"), widget("q")),
    post("with a version", W, widget("q", {"resourceVersion": "1"})),
    post("no name", W, {**widget(), "metadata": {}}),
    post("generated name", W, {**widget(), "metadata": {"generateName": "g-"}}),
    post("another kind", W, {**widget("q"), "kind": "Other"}),
    post("another version", W, {**widget("q"), "apiVersion": "contract.example.com/v2"}),
    post("a bad label", W, widget("q", {"labels": {"a b": "c"}})),
    post("a bad label's value", W, widget("q", {"labels": {"a": "b c"}})),
    post("a bad finalizer", W, widget("q", {"finalizers": ["nope"]})),
    post("not JSON", W, "{bad"),
    post("nothing", W, ""),
    post("a list", W, "[]"),
    post("a strange content type", W, widget("q"), "text/plain"),
    # reading
    get("get", f"{W}/a"),
    get("get what is not there", f"{W}/zz"),
    get("get an unknown resource", W.replace("widgets", "foos")),
    get("get an unknown group", "/apis/nope.example.com/v1"),
    get("list", f"{W}?limit=2"),
    get("list by label", f"{W}?labelSelector=a%3Db"),
    get("list by name", f"{W}?fieldSelector=metadata.name%3Da"),
    get("list by an unknown field", f"{W}?fieldSelector=spec.rounds%3D3"),
    get("list by a bad label selector", f"{W}?labelSelector=a%20b"),
    get("list from a bad token", f"{W}?continue=xyz"),
    get("list of a bad version", f"{W}?resourceVersion=abc"),
    get("list of a version to come", f"{W}?{UNKNOWN_RV}&resourceVersionMatch=NotOlderThan"),
    get("as a table", f"{W}/a", TABLE),
    get("a list as a table", f"{W}?fieldSelector=metadata.name%3Da", TABLE),
    get("metadata alone", f"{W}/a", METADATA),
    get("a list of metadata", f"{W}?fieldSelector=metadata.name%3Da", {"Accept": METADATA["Accept"].replace("Metadata;", "MetadataList;")}),
    get("in XML", f"{W}/a", {"Accept": "application/xml"}),
    get("the resources of a group", "/apis/contract.example.com/v1"),
    get("a group", "/apis/contract.example.com"),
    # put and patch
    Case("put without version", "PUT", f"{W}/a", widget(rounds=4), J),
    Case("put with a stale version", "PUT", f"{W}/a", widget("a", {"resourceVersion": "1"}, rounds=4), J),
    Case("put what is not there", "PUT", f"{W}/zz", widget("zz", {"resourceVersion": "1"}), J),
    Case("put under another name", "PUT", f"{W}/a", widget("d9"), J),
    patch("JSON patch, test fails", f"{W}/a", [{"op": "test", "path": "/spec/rounds", "value": 77}], JP),
    patch("JSON patch, no such path", f"{W}/a", [{"op": "remove", "path": "/spec/nope"}], JP),
    patch("JSON patch, no such operation", f"{W}/a", [{"op": "zzz", "path": "/spec/nope"}], JP),
    patch("JSON patch, not a list", f"{W}/a", {}, JP),
    patch("JSON patch", f"{W}/a", [{"op": "test", "path": "/spec/rounds", "value": 3}, {"op": "add", "path": "/spec/low", "value": 1}], JP),
    patch("strategic merge of a custom resource", f"{W}/a", {}, SM),
    patch("merge patch", f"{W}/a", {"spec": {"rounds": 9}}),
    patch("merge patch again", f"{W}/a", {"spec": {"rounds": 9}}),
    patch("merge patch with a stale version", f"{W}/a", {"metadata": {"resourceVersion": "1"}, "spec": {"rounds": 10}}),
    patch("merge patch of another uid", f"{W}/a", {"metadata": {"uid": "x"}, "spec": {"rounds": 10}}),
    patch("merge patch of the status on the object", f"{W}/a", {"status": {"phase": "P"}}),
    patch("merge patch of the status", f"{W}/a/status", {"status": {"phase": "P"}, "spec": {"rounds": 77},
        "metadata": {"labels": {"l": "s"}}}),
    patch("merge patch of what is not there", f"{W}/zz", {}),
    patch("merge patch to what may not be", f"{W}/a", {"spec": {"rounds": 0}}),
    patch("merge patch to a wrong type", f"{W}/a", {"spec": []}),
    patch("merge patch that is a list", f"{W}/a", []),
    patch("merge patch, dry run", f"{W}/a?dryRun=All", {"spec": {"rounds": 11}}),
    patch("set what is fixed", f"{W}/a", {"spec": {"fixed": "x"}}),
    patch("change what is fixed", f"{W}/a", {"spec": {"fixed": "y"}}),
    patch("a label", f"{W}/a", {"metadata": {"labels": {"l": "m"}, "annotations": {"x/y": "z"}}}),
    patch("an unknown field, strict", f"{W}/a?fieldValidation=Strict", {"spec": {"bogus": 1}}),
    # server-side apply
    patch("apply without manager", f"{W}/s", widget("s"), AP),
    patch("apply", f"{W}/s?{COPY}", widget("s", clients=[{"name": "a", "weight": 1.5}]), AP),
    patch("apply the same again", f"{W}/s?{COPY}", widget("s", clients=[{"name": "a", "weight": 1.5}]), AP),
    patch("another manager's item", f"{W}/s?fieldManager=two", bare("s", clients=[{"name": "b", "weight": 2.5}]), AP),
    patch("a conflict", f"{W}/s?fieldManager=two", bare("s", rounds=8), AP),
    patch("two conflicts", f"{W}/s?fieldManager=two", bare("s", rounds=8, clients=[{"name": "a", "weight": 4}]), AP),
    patch("by force", f"{W}/s?fieldManager=two&force=true", bare("s", rounds=8), AP),
    patch("what is left out goes", f"{W}/s?{COPY}", bare("s", strategy="FedProx"), AP),
    patch("the status applied", f"{W}/s/status?fieldManager=three", {**widget("s"), "status": READY}, AP),
    patch("the status applied to nothing", f"{W}/none/status?fieldManager=three", {**widget("none"), "status": READY}, AP),
    patch("the status given up", f"{W}/s/status?fieldManager=three", {**widget("s"), "status": {"phase": "Q"}}, AP),
    patch("apply an unknown field", f"{W}/s2?{COPY}", widget("s2", bogus=1), AP),
    patch("apply a key twice", f"{W}/s2?{COPY}", widget("s2", clients=[{"name": "a"}, {"name": "a"}]), AP),
    patch("apply a wrong type", f"{W}/s2?{COPY}", widget("s2", rounds="x"), AP),
    patch("apply under another name", f"{W}/s2?{COPY}", widget("s3"), AP),
    patch("apply managedFields", f"{W}/s2?{COPY}", widget("s2", {"managedFields": [{"manager": "x"}]}), AP),
    patch("apply a uid", f"{W}/s2?{COPY}", widget("s2", {"uid": "abc"}), AP),
    patch("apply, dry run", f"{W}/s4?{COPY}&dryRun=All", widget("s4"), AP),
    patch("update what was applied", f"{W}/s", {"spec": {"rounds": 20}, "metadata": {"labels": {"k": "v"}}}),
    patch("a set, one", f"{W}/set?{COPY}", widget("set", tags=["a", "b"]), AP),
    patch("a set, two", f"{W}/set?fieldManager=two", bare("set", tags=["b", "c"]), AP),
    patch("a set, one less", f"{W}/set?{COPY}", widget("set", tags=["a"]), AP),
    patch("a map emptied", f"{W}/set?{COPY}", widget("set", tags=[]), AP),
    patch("a map", f"{W}/set?{COPY}", widget("set", limits={"a": "b"}), AP),
    patch("a map of nothing", f"{W}/set?{COPY}", widget("set", limits={}), AP),
    patch("a list of one's own", f"{W}/own?{COPY}", widget("own", tags=["a"], clients=[{"name": "a"}]), AP),
    patch("a list of nothing", f"{W}/own?{COPY}", widget("own", tags=[], clients=[]), AP),
    patch("apply another uid", f"{W}/own?{COPY}", widget("own", {"uid": "abc"}), AP),
    patch("apply labels", f"{W}/set?{COPY}", widget("set", {"labels": {"a": "b", "c": "d"}, "finalizers": ["x.y/z"]}), AP),
    patch("labels given up", f"{W}/set?{COPY}", widget("set"), AP),
    # deletion
    delete("delete another uid", f"{W}/s", {"preconditions": {"uid": "x"}}),
    delete("delete, dry run", f"{W}/s?dryRun=All"),
    delete("delete", f"{W}/s"),
    delete("delete what is not there", f"{W}/s"),
    post("with a finalizer", W, widget("f", {"finalizers": ["a.b/c"]})),
    delete("delete with a finalizer", f"{W}/f"),
    delete("delete with a finalizer again", f"{W}/f"),
    patch("a new finalizer", f"{W}/f", {"metadata": {"finalizers": ["a.b/c", "d.e/f"]}}),
    patch("the spec of what is going", f"{W}/f", {"spec": {"rounds": 5}}),
    patch("the last finalizer", f"{W}/f", {"metadata": {"finalizers": None}}),
    get("it is gone", f"{W}/f"),
    post("to be deleted with policy", W, widget("o")),
    delete("orphan", f"{W}/o", {"propagationPolicy": "Orphan"}),
    patch("orphaned", f"{W}/o", {"metadata": {"finalizers": None}}),
    post("to be deleted in the foreground", W, widget("fg")),
    delete("foreground", f"{W}/fg", {"propagationPolicy": "Foreground"}),
    patch("foreground done", f"{W}/fg", {"metadata": {"finalizers": []}}),
    delete("an unknown policy", f"{W}/a", {"propagationPolicy": "Sideways"}),
    delete("delete options that are none", f"{W}/a", "[1]"),
    # methods and paths
    get("no scale", f"{W}/a/scale"),
    post("post to an object", f"{W}/a", widget()),
    Case("put to a collection", "PUT", W, widget(), J),
    get("an unknown path", "/nope"),
    get("an unknown subresource", f"{W}/a/nope"),
    get("a trailing slash", "/apis/contract.example.com/v1/"),
    # watches
    get("watch of a bad version", f"{W}?watch=1&resourceVersion=abc&timeoutSeconds=1"),
    get("watch from the beginning", f"{W}?watch=1&fieldSelector=metadata.name%3Da&timeoutSeconds=1"),
    get("watch with initial events", f"{W}?watch=1&allowWatchBookmarks=true&sendInitialEvents=true&resourceVersionMatch=NotOlderThan"
        "&fieldSelector=metadata.name%3Da&timeoutSeconds=1"),
    get("watch with initial events and no match", f"{W}?watch=1&sendInitialEvents=true&timeoutSeconds=1"),
    get("watch tables", f"{W}?watch=1&fieldSelector=metadata.name%3Da&timeoutSeconds=1", TABLE),
    delete("delete a collection", f"{W}?fieldSelector=metadata.name%3Da"),
    # config maps and secrets
    post("config map", CM, config_map("x", data={"a": "b"})),
    post("config map without kind", CM, {"metadata": {"name": "y"}, "data": {"a": "b"}}),
    post("config map of numbers", CM, config_map("x2", data={"a": 1})),
    post("config map with a bad key", CM, config_map("x2", data={"a b": "1"})),
    post("config map with an unknown field", CM, config_map("x3", bogus=1)),
    post("config map with an unknown field, strict", f"{CM}?fieldValidation=Strict", config_map("x2", bogus=1)),
    patch("strategic merge", f"{CM}/x", {"data": {"a": None, "c": "d"}}, SM),
    patch("config map applied", f"{CM}/z?{COPY}", config_map("z", data={"a": "b"}), AP),
    patch("config map applied by another", f"{CM}/z?fieldManager=two", config_map("z", data={"a": "c"}), AP),
    patch("config map with labels of numbers", f"{CM}/x", {"metadata": {"labels": {"a": 1}}}),
    Case("put a config map", "PUT", f"{CM}/x", config_map("x", data={"p": "q"}), J),
    get("config maps", f"{CM}?fieldSelector=metadata.name%3Dx"),
    patch("config map of another uid", f"{CM}/x", {"metadata": {"uid": "x"}, "data": {"u": "v"}}),
    Case("put a config map of another uid", "PUT", f"{CM}/x", config_map("x", {"uid": "x"}), J),
    patch("immutable", f"{CM}/x", {"immutable": True}),
    patch("after immutable", f"{CM}/x", {"data": {"z": "1"}}),
    delete("config map deleted", f"{CM}/x"),
    post("secret", f"{CORE}/secrets", {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}, "stringData": {"a": "b"}}),
    post("secret that is not base64", f"{CORE}/secrets", {"kind": "Secret", "metadata": {"name": "s2"}, "data": {"a": "*"}}),
    patch("type of a secret", f"{CORE}/secrets/s", {"type": "other"}),
    # services
    post("service", SVC, service("s")),
    post("headless service", SVC, service("h", clusterIP="None")),
    post("service without ports", SVC, service("x", ports=[])),
    post("service of an unknown type", SVC, service("x", type="Odd")),
    post("service with a bad name", SVC, service("1s")),
    post("service with two nameless ports", SVC, service("x", ports=[{"port": 1}, {"port": 2}])),
    post("node port", SVC, service("n", type="NodePort", ports=[{"port": 80, "nodePort": 31234}])),
    post("node port out of range", SVC, service("x", type="NodePort", ports=[{"port": 80, "nodePort": 80}])),
    post("node port taken", SVC, service("x", type="NodePort", ports=[{"port": 80, "nodePort": 31234}])),
    patch("another cluster IP", f"{SVC}/s", {"spec": {"clusterIP": "10.0.0.1"}}),
    patch("ports by strategic merge", f"{SVC}/s", {"spec": {"ports": [{"port": 81, "name": "b"}, {"port": 80, "name": "a"}]}}, SM),
    patch("service applied", f"{SVC}/ap?{COPY}", service("ap"), AP),
    patch("service applied again", f"{SVC}/ap?{COPY}", service("ap"), AP),
    patch("status of a service", f"{SVC}/ap/status?{COPY}", {**service("ap"),
        "status": {"loadBalancer": {"ingress": [{"ip": "10.1.1.1"}]}}}, AP),
    delete("service deleted", f"{SVC}/s"),
    # jobs and stateful sets
    post("job", BATCH, job("j")),
    post("job that always restarts", BATCH, job("x", template={"spec": {**POD, "restartPolicy": "Always"}})),
    post("job without template", BATCH, {**job("x"), "spec": {}}),
    post("job without containers", BATCH, job("x", template={"spec": {"restartPolicy": "Never"}})),
    post("job without image", BATCH, job("x", template={"spec": {"containers": [{"name": "c"}], "restartPolicy": "Never"}})),
    post("job with an unknown volume", BATCH, job("x", template={
        "spec": {**POD, "containers": [{"name": "c", "image": "x", "volumeMounts": [{"name": "v", "mountPath": "/v"}]}]}})),
    patch("template of a job", f"{BATCH}/j", {"spec": {"template": {"spec": {"activeDeadlineSeconds": 5}}}}),
    patch("suspend a job", f"{BATCH}/j", {"spec": {"suspend": True}}),
    patch("job applied", f"{BATCH}/ap?{COPY}", job("ap", backoffLimit=0), AP),
    patch("job applied again", f"{BATCH}/ap?{COPY}", job("ap", backoffLimit=0), AP),
    delete("job deleted", f"{BATCH}/j", {"propagationPolicy": "Background"}),
    post("stateful set", APPS, stateful_set("s", replicas=1)),
    post("stateful set that does not select itself", APPS, stateful_set("x", selector={"matchLabels": {"c": "d"}})),
    patch("service name of a stateful set", f"{APPS}/s", {"spec": {"serviceName": "other"}}),
    patch("replicas", f"{APPS}/s", {"spec": {"replicas": 2}}),
    get("scale", f"{APPS}/s/scale"),
    patch("scaled", f"{APPS}/s/scale", {"spec": {"replicas": 0}}),
    delete("stateful set deleted", f"{APPS}/s"),
    # pods
    post("service account", f"{CORE}/serviceaccounts", {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default"}}),
    post("pod", PODS, pod("p")),
    post("pod without account", PODS, pod("x", serviceAccountName="nobody")),
    post("pod that restarts oddly", PODS, pod("x", restartPolicy="Sometimes")),
    post("pod with two containers of one name", PODS, pod("x", containers=[{"name": "c", "image": "x"}] * 2)),
    post("pod with resources", PODS, pod("r", containers=[{"name": "c", "image": "x",
        "resources": {"limits": {"cpu": 1, "memory": "1Gi"}}}])),
    post("pod with a bad quantity", PODS, pod("x", containers=[{"name": "c", "image": "x", "resources": {"limits": {"cpu": "many"}}}])),
    post("bind", f"{PODS}/p/binding", {"kind": "Binding", "apiVersion": "v1", "metadata": {"name": "p"},
        "target": {"kind": "Node", "name": "n"}}),
    post("bind again", f"{PODS}/p/binding", {"kind": "Binding", "metadata": {"name": "p"}, "target": {"kind": "Node", "name": "n"}}),
    patch("status of a pod", f"{PODS}/p/status", {"status": {"phase": "Running"}}),
    patch("another image", f"{PODS}/p", {"spec": {"containers": [{"name": "c", "image": "y"}]}}, SM),
    patch("another command", f"{PODS}/p", {"spec": {"containers": [{"name": "c", "command": ["x"]}]}}, SM),
    get("pods of a node", f"{PODS}?fieldSelector=spec.nodeName%3Dn"),
    delete("delete a pod gracefully", f"{PODS}/p"),
    delete("delete a pod at once", f"{PODS}/p", {"gracePeriodSeconds": 0}),
    get("the pod is gone", f"{PODS}/p"),
    delete("delete a pod without node", f"{PODS}/r"),
    # claims, leases, events, requests
    post("claim", PVC, claim("c", storageClassName="odd")),
    post("claim without size", PVC, claim("x", resources={})),
    post("claim without mode", PVC, claim("x", accessModes=[])),
    patch("another class", f"{PVC}/c", {"spec": {"storageClassName": "other"}}),
    post("lease", LEASES, lease(holderIdentity="me", leaseDurationSeconds=15, renewTime="2026-01-02T03:04:05.000000Z")),
    patch("lease renewed", f"{LEASES}/l", {"spec": {"renewTime": "2026-01-02T03:04:15.000000Z"}}),
    post("lease of no time", LEASES, {**lease(leaseDurationSeconds=0), "metadata": {"name": "x"}}),
    post("event", f"{CORE}/events", event("e")),
    post("event of elsewhere", f"{CORE}/events", event("x", "other")),
    get("events of an object", f"{CORE}/events?fieldSelector=involvedObject.name%3Dp%2CinvolvedObject.namespace%3D{NS}"),
    post("certificate request that is none", CSRS, csr("contract-x", request="aGVsbG8=")),
    post("certificate request without signer", CSRS, {**csr("contract-x"), "spec": {"request": "aGVsbG8="}}),
    post("certificate request in another's name", CSRS, csr("contract-1", username="admin", groups=["system:masters"], uid="7")),
    post("certificate request of odd usages", CSRS, csr("contract-x", usages=["client auth", "client auth", "fun"])),
    post("certificate request for a moment", CSRS, csr("contract-x", expirationSeconds=60)),
    post("certificate request for a signer that is none", CSRS, csr("contract-x", signerName="example.com/")),
    patch("another request", FIRST, {"spec": {"usages": ["server auth"]}}),
    patch("approval that is false", f"{FIRST}/approval", judged("Approved", "False")),
    patch("approval by the status", f"{FIRST}/status", judged("Approved")),
    patch("certificate by the approval", f"{FIRST}/approval", {"status": {"certificate": coded(CERTIFICATE)}}),
    patch("approval", f"{FIRST}/approval", judged("Approved")),
    patch("approval and denial", f"{FIRST}/approval", {"status": {"conditions": [
        *judged("Approved")["status"]["conditions"], *judged("Denied")["status"]["conditions"]]}}),
    patch("approval taken back", f"{FIRST}/approval", {"status": {"conditions": []}}),
    patch("certificate that is none", f"{FIRST}/status", {"status": {"certificate": coded("hello")}}),
    patch("certificate that is a request", f"{FIRST}/status", {"status": {"certificate": coded(CSR)}}),
    patch("certificate", f"{FIRST}/status", {"status": {"certificate": coded(CERTIFICATE)}}),
    patch("another certificate", f"{FIRST}/status", {"status": {"certificate": coded(CERTIFICATE * 2)}}),
    get("certificate requests of a signer", f"{CSRS}?fieldSelector=spec.signerName%3Dexample.com%2Fs"),
    # network policies
    post("network policy", POLICIES, network_policy("deny", **egress())),
    post("network policy without types", POLICIES, network_policy("some", policyTypes=None, **egress(ports=[]))),
    post("network policy without Pods", POLICIES, network_policy("x", podSelector=None)),
    post("network policy of an odd type", POLICIES, network_policy("x", policyTypes=["Both"])),
    post("network policy of an address that is none", POLICIES, network_policy("x", **egress("192.0.2.1"))),
    post("network policy of a port that is none", POLICIES, network_policy("x", **egress(ports=[{"protocol": "TCP", "port": 99999}]))),
    post("network policy of a port with a bad name", POLICIES, network_policy("x", **egress(ports=[{"port": "A b"}]))),
    post("network policy of an odd protocol", POLICIES, network_policy("x", **egress(ports=[{"protocol": "ICMP"}]))),
    post("network policy of ports from and to", POLICIES, network_policy("x", **egress(ports=[{"port": 9, "endPort": 8}]))),
    post("network policy of a peer that is none", POLICIES, network_policy("x", **egress(""))),
    post("network policy of two peers in one", POLICIES, network_policy("x", **egress(podSelector={}))),
    patch("another network policy", f"{POLICIES}/deny", {"spec": {"egress": []}}),
    # Pods without names
    post("pod without names", PODS, pod("nameless", dnsPolicy="None", dnsConfig={"nameservers": ["127.0.0.1"]})),
    post("pod that knows no name server", PODS, pod("x", dnsPolicy="None")),
    post("pod of an odd name server", PODS, pod("x", dnsPolicy="None", dnsConfig={"nameservers": ["here"]})),
    post("pod of too many name servers", PODS, pod("x", dnsPolicy="None", dnsConfig={"nameservers": [f"127.0.0.{n}" for n in range(4)]})),
    # namespaces and reviews
    post("namespace", "/api/v1/namespaces", {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "contract-2"}}),
    post("namespace with a bad name", "/api/v1/namespaces", {"metadata": {"name": "a.b"}}),
    post("in that namespace", "/api/v1/namespaces/contract-2/configmaps", config_map("x")),
    delete("delete the namespace", "/api/v1/namespaces/contract-2"),
    post("in a namespace that is going", "/api/v1/namespaces/contract-2/configmaps", config_map("y")),
    delete("the last in it", "/api/v1/namespaces/contract-2/configmaps/x"),
    Case("finalize", "PUT", "/api/v1/namespaces/contract-2/finalize",
         {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "contract-2"}, "spec": {"finalizers": []}}, J),
    get("the namespace is gone", "/api/v1/namespaces/contract-2"),
    post("may I", "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", {
        "kind": "SelfSubjectAccessReview", "apiVersion": "authorization.k8s.io/v1",
        "spec": {"resourceAttributes": {"verb": "get", "resource": "pods", "namespace": NS}}}),
    # definitions
    post("a definition that is not structural", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions", {
        **CRD, "metadata": {"name": "x.contract.example.com"},
        "spec": {**CRD["spec"], "names": {"kind": "X", "plural": "x"}, "versions": [  # type: ignore[dict-item]
            {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": {
                "type": "object", "properties": {"spec": {"properties": {"a": {"type": "string"}}}}}}}]}}),
    post("a definition under another name", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions", {**CRD,
        "metadata": {"name": "y.contract.example.com"}}),
]  # fmt: skip

WORDS = (".body.message", ".body.details.causes[0].message")
# What differs on purpose: which parts of the answer, and why.
REQUESTS = ("certificate request in another's name", "another request", "certificate by the approval", "approval", "certificate")
DIFFERENCES: dict[str, tuple[tuple[str, ...], str]] = {
    "another version": ((".warning",), "a warning of fields that are refused anyway"),
    "not JSON": ((".body.message",), "the JSON library's own words"),
    "a list": ((".body.message",), "words of Go's decoder"),
    "list by a bad label selector": ((".body.message",), "says the whole requirement"),
    "list from a bad token": ((".body.message",), "tokens are made otherwise"),
    "merge patch of the status": ((".body.metadata.managedFields",), "labels that a status patch sends are ignored, and not owned either"),
    "merge patch, dry run": ((".body.metadata.managedFields",), "as before"),
    "set what is fixed": ((".body.metadata.managedFields",), "as before"),
    "delete options that are none": ((".code", ".body"), "the real server answers 500 to what is a mistake of the client"),
    "post to an object": ((".code", ".body"), "405 says what is wrong"),
    "put to a collection": ((".code", ".body"), "405 says what is wrong"),
    "put a config map of another uid": ((".body.message",), "names the real server's place in etcd"),
    "template of a job": (WORDS, "the real server shows its inner form of the template"),
    "another command": (WORDS, "the real server adds a difference of its inner forms"),
    "another class": (WORDS, "the real server adds a difference of its inner forms"),
    "claim": ((".body.metadata.finalizers",), "nothing here would take the protection of claims away again"),
    **dict.fromkeys(
        REQUESTS, ((".body.metadata.managedFields", ".body.spec.extra", ".body.spec.uid"), "another administrator; nobody owns fields")
    ),
    "certificate requests of a signer": (
        tuple(f".body.items[0].{part}" for part in ("metadata.managedFields", "spec.extra", "spec.uid")),
        "as before",
    ),
    "may I": ((".body.status.reason", ".body.metadata"), "no RBAC: its reason is another"),
}


VOLATILE = {
    "uid", "resourceVersion", "creationTimestamp", "deletionTimestamp", "time", "storageVersionHash", "lastTransitionTime",
    "lastUpdateTime", "authentication.kubernetes.io/credential-id",
    "batch.kubernetes.io/controller-uid", "controller-uid", "clusterIP", "continue", "nodePort", "remainingItemCount",
}  # fmt: skip
UID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")


def same(value: Any, key: str = "") -> Any:
    """Without what differs from run to run."""
    if key in VOLATILE and value and not isinstance(value, dict):
        return "*"
    if key == "clusterIPs":
        return ["None" if v == "None" else "*" for v in value]
    if isinstance(value, dict):
        return {k: same(v, k) for k, v in sorted(value.items())}
    if isinstance(value, list):
        found = [same(v) for v in value]
        return sorted(found, key=str) if key in ("causes", "managedFields") else found
    if isinstance(value, str):
        value = re.sub(r'"\{.*\}"', '"{…}"', value, flags=re.S)  # an object or a patch, in whole
        if key == "message" and "[" in value:
            value = ", ".join(sorted(re.split(r", |[\[\]]", value)))
        value = re.sub(r"current: \d+", "current: *", value)
        value = re.sub(r"\bg-[a-z0-9]{5}\b", "g-*", UID.sub("*", value))
        return re.sub(r"\d+(\.\d+)?s$", "*s", value) if re.fullmatch(r"\d+s", value) else value
    return value


def answer(response: httpx2.Response) -> dict[str, Any]:
    content_type = response.headers.get("Content-Type", "")
    found: dict[str, Any] = {"code": response.status_code, "type": content_type.partition(";")[0]}
    if warning := response.headers.get("Warning"):
        found["warning"] = warning
    try:
        body = response.json()
    except ValueError:
        lines = [line for line in response.text.splitlines() if line]
        try:
            body = [json.loads(line) for line in lines]
        except ValueError:
            body = response.text
    return {**found, "body": same(body)}


def client(kubeconfig: Path) -> httpx2.Client:
    """As that kubeconfig's user."""
    config = yaml.safe_load(kubeconfig.read_text())
    cluster, user = config["clusters"][0]["cluster"], config["users"][0]["user"]
    context = ssl.create_default_context(cadata=base64.b64decode(cluster["certificate-authority-data"]).decode())
    headers = {"Accept": "application/json", "User-Agent": "contract/1"}
    if "token" in user:
        headers["Authorization"] = f"Bearer {user['token']}"
    else:
        with tempfile.NamedTemporaryFile() as file:
            Path(file.name).write_bytes(b"\n".join(base64.b64decode(user[f"client-{p}-data"]) for p in ("certificate", "key")))
            context.load_cert_chain(file.name)
    return httpx2.Client(base_url=cluster["server"], verify=context, headers=headers, timeout=60)


def run(kubeconfig: Path) -> dict[str, Any]:
    """Every answer by the name of its case; the namespace and the definition are made first."""
    with client(kubeconfig) as http:
        made = http.post("/api/v1/namespaces", json={"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NS}})
        assert made.status_code == 201, made.text
        made = http.post("/apis/apiextensions.k8s.io/v1/customresourcedefinitions", json=CRD)
        assert made.status_code == 201, made.text
        while http.get(W).status_code != 200:
            pass
        return {case.name: answer(send(http, case)) for case in CASES}


def send(http: httpx2.Client, case: Case) -> httpx2.Response:
    content = case.body if isinstance(case.body, str) or case.body is None else json.dumps(case.body)
    headers = {**({"Content-Type": case.content_type} if case.content_type else {}), **case.headers}
    return http.request(case.method, case.path, content=content, headers=headers)


def flat(value: Any, path: str = "") -> dict[str, Any]:
    if isinstance(value, dict) and value:
        return {k: v for name, item in value.items() for k, v in flat(item, f"{path}.{name}").items()}
    if isinstance(value, list) and value:
        return {k: v for i, item in enumerate(value) for k, v in flat(item, f"{path}[{i}]").items()}
    return {path: value}


def differences(real: dict[str, Any], found: dict[str, Any], but: tuple[str, ...] = ()) -> list[str]:
    """What two answers differ in, besides the parts that begin with `but`."""
    a, b = flat(real), flat(found)
    paths = [k for k in sorted({*a, *b}) if a.get(k, "-") != b.get(k, "-") and not k.startswith(but or ("?",))]
    return [f"{k}: real {a.get(k, '-')!r}, found {b.get(k, '-')!r}" for k in paths]


def recorded() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(ANSWERS.read_text())
    return found


if __name__ == "__main__":
    ANSWERS.write_text(json.dumps(run(Path(sys.argv[1])), indent=1, sort_keys=True) + "\n")
