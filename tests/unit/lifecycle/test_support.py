"""Runs that are not supported, each with the field that is the cause."""

from __future__ import annotations

from dataclasses import replace

import pytest

from panal.api.types import StorageType
from panal.lifecycle import storage
from panal.lifecycle.reasons import REMEDY, Reason
from panal.lifecycle.support import ignored_fields, unsupported
from panal.lifecycle.world import Run
from worlds import run

UNSUPPORTED: list[tuple[str, Run, Reason, str]] = [
    (
        "the framework is not installed",
        run(framework="fate"),
        Reason.RUNTIME_NOT_SUPPORTED,
        "spec.framework: fate is not installed on the hub; installed are: flare, flower, openfl, other",
    ),
    (
        "a command on one side alone",
        run(framework="other", server={"command": ["serve"]}),
        Reason.INVALID_SPEC,
        "spec.client.command: required with framework other if the other side has one",
    ),
    (
        "a bucket without its name, as an older CRD admits it",
        run(server={"storage": {"type": "S3Bucket"}}),
        Reason.INVALID_SPEC,
        "spec.server.storage.s3: required with type S3Bucket",
    ),
    (
        "a folder of the node without its path",
        run(server={"storage": {"type": "HostPath", "path": "models"}}),
        Reason.INVALID_SPEC,
        "spec.server.storage.path: required with type HostPath",
    ),
    (
        "a method of aggregation with another framework",
        run(framework="openfl", server={"aggregation": {"method": "Mean"}, "replies": {"largestUpdateNorm": 3}}),
        Reason.INVALID_SPEC,
        "spec.server.aggregation.method, spec.server.replies.largestUpdateNorm: not possible with framework openfl, only with flower",
    ),
    ("a name of the former controller", replace(run(), name="digits.v2"), Reason.INVALID_SPEC, "metadata.name"),
    ("no data claim", run(client={"placement": {}}), Reason.DATA_CLAIM_MISSING, "to None if the run needs none"),
    ("no server image", run(server={"image": ""}), Reason.INVALID_SPEC, "spec.server.image"),
    (
        "no client image",
        run(client={"image": "", "placement": {}, "dataClaim": "None"}),
        Reason.INVALID_SPEC,
        "spec.client.image",
    ),
]


@pytest.mark.parametrize(("wanted", "reason", "words"), [case[1:] for case in UNSUPPORTED], ids=[case[0] for case in UNSUPPORTED])
def test_the_message_names_the_unsupported_field_and_the_remedy(wanted: Run, reason: Reason, words: str) -> None:
    trouble = unsupported(wanted.name, wanted.spec)
    assert trouble
    assert trouble.reason == reason
    assert words in trouble.message
    assert trouble.message.endswith(REMEDY[reason])


def test_every_storage_type_is_supported() -> None:
    assert set(storage.KINDS) == set(StorageType)


def test_a_folder_in_a_bucket_has_no_effect_as_a_path() -> None:
    bucket = {"type": "S3Bucket", "path": "/workspace/models", "s3": {"bucketName": "b"}}
    assert ignored_fields(run(server={"storage": bucket}).spec) == ["spec.server.storage.path"]


def test_a_valid_run_is_supported() -> None:
    assert unsupported("digits", run().spec) is None


def test_ignored_fields_are_named() -> None:
    asking = run(server={"superlink": "superlink.flower-system:9091"})
    assert ignored_fields(asking.spec) == ["spec.server.superlink"]
    assert ignored_fields(run().spec) == []


def test_a_variable_that_panal_sets_is_named_as_ignored() -> None:
    home = [{"name": "A", "value": "1"}, {"name": "HOME", "value": "/root"}]
    assert ignored_fields(run(client={"env": home}).spec) == ["spec.client.env HOME"]
    assert ignored_fields(run(server={"env": home[:1]}).spec) == []
