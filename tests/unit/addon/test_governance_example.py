"""examples/governance/policies.yaml asks for what the add-on installs, by its names."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from panal.addon import manifests
from panal.api import names

EXAMPLES = Path(__file__).parents[3] / "examples/governance"
ADDON = {"metadata": {"name": names.ADDON, "namespace": "c1", "uid": "u"}}


def demanded(policy: str) -> list[dict[str, Any]]:
    """The objects that a policy asks for."""
    (found,) = (p for p in yaml.safe_load_all((EXAMPLES / "policies.yaml").read_text()) if p["metadata"]["name"] == policy)
    templates = [template["objectDefinition"]["spec"]["object-templates"] for template in found["spec"]["policy-templates"]]
    return [each["objectDefinition"] for objects in templates for each in objects]


def within(wanted: Any, found: Any) -> bool:
    """As a ConfigurationPolicy with musthave compares."""
    if isinstance(wanted, dict):
        return all(key in found and within(value, found[key]) for key, value in wanted.items())
    return bool(wanted == found)


@pytest.mark.parametrize(("policy", "left"), [("fl-addon", [names.IDENTITY_SECRET]), ("fl-network", [])])
def test_what_the_add_on_installs_complies(policy: str, left: list[str]) -> None:
    installed = manifests.work(ADDON, "PEM")["spec"]["workload"]["manifests"]
    without = [wanted for wanted in demanded(policy) if not any(within(wanted, found) for found in installed)]
    assert [each["metadata"]["name"] for each in without] == left  # the Secret is made by OCM's agent


def test_the_namespace_of_collaborators_is_the_one_that_is_governed() -> None:
    (namespace,) = demanded("fl-namespace")
    level = "pod-security.kubernetes.io/enforce"
    assert namespace["metadata"]["name"] == manifests.namespace()["metadata"]["name"] == names.COLLABORATOR_NAMESPACE
    assert namespace["metadata"]["labels"][level] == manifests.namespace()["metadata"]["labels"][level]
    assert {each["metadata"].get("namespace") for each in demanded("fl-quota")} == {names.COLLABORATOR_NAMESPACE}
    binding = demanded("fl-images")[1]
    labels = binding["spec"]["matchResources"]["namespaceSelector"]["matchLabels"]
    assert labels == {"kubernetes.io/metadata.name": names.COLLABORATOR_NAMESPACE}


def test_the_set_has_all_policies_and_the_namespace_its_limit() -> None:
    policies = [p["metadata"]["name"] for p in yaml.safe_load_all((EXAMPLES / "policies.yaml").read_text())]
    (placed,) = (d for d in yaml.safe_load_all((EXAMPLES / "placement.yaml").read_text()) if d["kind"] == "PolicySet")
    assert placed["spec"]["policies"] == policies
    namespace, _ = yaml.safe_load_all((EXAMPLES / "namespace.yaml").read_text())
    assert namespace["metadata"]["annotations"] == {names.ANNOTATION_MAX_ACTIVE_RUNS: "3"}
