"""What can be said of the CRD without an API server; the rest is in tests/real/test_crd.py."""

import subprocess
import sys

import pytest
import yaml

from panal.api.crd import crd, fixed_paths
from panal.api.spec import FRAMEWORK

VERSION = crd()["spec"]["versions"][0]
ROOT = VERSION["schema"]["openAPIV3Schema"]


def properties(node, path=""):
    """Every property of a schema, with its path; list items and map values are gone through as well."""
    for name, child in node.get("properties", {}).items():
        here = f"{path}.{name}".lstrip(".")
        yield here, child
        yield from properties(child, here)
    for key in ("items", "additionalProperties"):
        if isinstance(node.get(key), dict):
            yield from properties(node[key], f"{path}[]")


def at(path):
    return dict(properties(ROOT))[path]


def test_every_field_is_described_in_a_sentence():
    bad = [
        path
        for path, field in properties(ROOT)
        if path != "metadata" and not (field.get("description", "").endswith(".") and field["description"][0].isupper())
    ]
    assert bad == []


def test_nothing_is_left_that_an_api_server_refuses():
    text = yaml.safe_dump(ROOT)
    assert all(word not in text for word in ("$ref", "$defs", "title:", "null", "exclusiveM", "const:"))


def test_the_status_has_no_defaults():
    assert [path for path, field in properties(at("status")) if "default" in field] == []


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("spec.framework", {"default": "other", "maxLength": 63, "pattern": FRAMEWORK, "type": "string"}),
        ("spec.server.minAvailableClients", {"default": 1, "minimum": 1, "type": "integer"}),
        ("spec.server.rounds", {"default": 1, "minimum": 1}),
        ("spec.server.quorumTimeoutSeconds", {"default": 600, "minimum": 1}),
        ("spec.server.roundTimeoutSeconds", {"default": 3600, "minimum": 1}),
        ("spec.server.listeners", {"maxItems": 8, "x-kubernetes-list-type": "atomic"}),
        ("spec.server.listeners[].port", {"default": 8080, "minimum": 1, "maximum": 65535}),
        ("spec.server.storage", {"default": {}, "type": "object"}),
        ("spec.server.storage.s3", {"type": "object", "required": ["bucketName"]}),
        ("spec.server.storage.s3.forcePathStyle", {"type": "boolean", "default": None}),
        ("spec.server.storage.s3.caBundle", {"type": "object", "required": ["name"]}),
        ("spec.server.storage.s3.caBundle.kind", {"default": "ConfigMap", "enum": ["ConfigMap", "Secret"]}),
        ("spec.server.storage.s3.caBundle.key", {"default": "ca.crt"}),
        ("spec.activeDeadlineSeconds", {"minimum": 1, "type": "integer"}),
        ("spec.client.placement.numberOfClusters", {"minimum": 0, "format": "int32"}),
        ("spec.client.env", {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]}),
        ("status.conditions", {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]}),
        ("status.collaborators", {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["cluster"], "maxItems": 50}),
    ],
)
def test_constraints(path, expected):
    field = at(path)
    assert {key: field.get(key) for key in expected} == expected


def test_all_of_the_spec_is_fixed_but_for_what_may_change():
    """A field added to the types is fixed by itself; what may change has to be said."""
    leaves = {path for path, _ in properties(at("spec")) if "[" not in path and path.count(".") <= 1}
    fixed = set(fixed_paths())
    free = {path for path in leaves if path not in fixed and path.split(".")[0] not in fixed} - {"server", "client"}
    nested = {path for path in free if path.split(".")[0] not in ("server", "client")}
    assert nested == {"suspend", "stop", "activeDeadlineSeconds"}
    assert free - nested == {"server.rounds"}


def test_columns_are_in_the_order_in_which_they_are_read():
    assert [(c["name"], c.get("priority", 0)) for c in VERSION["additionalPrinterColumns"]] == [
        ("Phase", 0), ("Round", 0), ("Clients", 0), ("Metric", 0), ("Age", 0), ("Message", 1),
    ]  # fmt: skip


def test_the_module_prints_the_crd():
    printed = subprocess.run([sys.executable, "-m", "panal.api.crd"], check=True, capture_output=True, text=True).stdout
    assert yaml.safe_load(printed) == crd()
