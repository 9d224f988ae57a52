"""The add-on API in version v1beta1, as OCM's conversion webhook writes it (tests/real/test_soak_addon_api.py has the real one)."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest

from panal.addon.versions import from_v1beta1, to_v1beta1

OURS = {"signerName": "fl.panal/collaborator", "subject": {"user": "c1", "groups": ["fl-collaborator"]}}
KUBE = {"signerName": "kubernetes.io/kube-apiserver-client", "subject": {"user": "u", "groups": ["g"]}}
CONFIG = {"group": "addon.open-cluster-management.io", "resource": "addondeploymentconfigs"}
REFERENCE = CONFIG | {"desiredConfig": {"name": "usual", "namespace": "ns", "specHash": "x"}}

PAIRS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "a certificate": (
        {"status": {"namespace": "n", "registrations": [OURS]}},
        {"status": {"namespace": "n", "registrations": [{"type": "customSigner", "customSigner": OURS}]}},
    ),
    "access to the hub": (
        {"status": {"registrations": [KUBE]}},
        {"status": {"registrations": [{"type": "kubeClient", "kubeClient": {"subject": KUBE["subject"]}}]}},
    ),
    "no certificate": ({"status": {"registrations": []}}, {"status": {"registrations": []}}),
    "a default configuration": (
        {"spec": {"supportedConfigs": [CONFIG | {"defaultConfig": {"namespace": "ns", "name": "usual"}}]}},
        {"spec": {"defaultConfigs": [CONFIG | {"namespace": "ns", "name": "usual"}]}},
    ),
    "a configuration without a default": (
        {"spec": {"supportedConfigs": [CONFIG], "installStrategy": {"type": "Placements"}}},
        {"spec": {"defaultConfigs": [CONFIG | {"name": "__reserved_no_default__"}], "installStrategy": {"type": "Placements"}}},
    ),
    "hashes": (
        {"status": {"defaultconfigReferences": [REFERENCE], "installProgressions": [{"name": "p"}]}},
        {"status": {"defaultConfigReferences": [REFERENCE], "installProgressions": [{"name": "p"}]}},
    ),
    "supported configurations of a cluster": ({"status": {"supportedConfigs": [CONFIG]}}, {"status": {"supportedConfigs": [CONFIG]}}),
    "a patch of metadata": ({"metadata": {"annotations": {"a": None}}}, {"metadata": {"annotations": {"a": None}}}),
    "nothing": ({}, {}),
    "no status yet": ({"spec": None, "status": None}, {"spec": None, "status": None}),
}


@pytest.mark.parametrize("case", PAIRS)
def test_both_directions(case: str) -> None:
    old, new = PAIRS[case]
    before = deepcopy(PAIRS[case])
    assert to_v1beta1(old) == new
    assert from_v1beta1(new) == old
    assert PAIRS[case] == before, "the argument is not changed"


def test_an_object_keeps_its_other_fields() -> None:
    about = {"apiVersion": "addon.open-cluster-management.io/v1beta1", "kind": "ManagedClusterAddOn", "metadata": {"name": "a"}}
    read = from_v1beta1(about | PAIRS["a certificate"][1])
    assert read == about | PAIRS["a certificate"][0]


def test_a_registration_of_a_later_type_is_not_ours() -> None:
    (read,) = from_v1beta1({"status": {"registrations": [{"type": "another"}]}})["status"]["registrations"]
    assert read["signerName"] != OURS["signerName"]
