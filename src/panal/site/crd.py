"""The CustomResourceDefinitions of the SitePolicy and the RunRecord, generated from the types: `python -m panal.site.crd
[record]` prints one."""

from __future__ import annotations

import sys

import yaml

from panal.api.names import GROUP, RECORD_KIND, RECORD_PLURAL, SITE_KIND, SITE_PLURAL, SITE_POLICY, VERSION
from panal.api.schema import Schema, rule, structural
from panal.site.policy import SitePolicySpec
from panal.site.record import RunRecordSpec, RunRecordStatus

NAME = rule(f"self.metadata.name == '{SITE_POLICY}'", f"metadata.name: a site has one policy, with the name {SITE_POLICY}")


def crd() -> Schema:
    """The CustomResourceDefinition as JSON."""
    kinds = {"kind": SITE_KIND, "listKind": f"{SITE_KIND}List", "plural": SITE_PLURAL, "singular": SITE_KIND.lower()}
    suspend = {"name": "Suspend", "type": "boolean", "jsonPath": ".spec.suspend", "description": "Whether everything is stopped"}
    age = {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp", "description": "Time since the policy was created"}
    schema = {
        "type": "object",
        "description": "A SitePolicy says what its owner allows with the data of a site. Only the owner writes it.",
        "required": ["spec"],
        "properties": {
            "apiVersion": {"type": "string", "description": "The group and version of this resource."},
            "kind": {"type": "string", "description": f"Always {SITE_KIND}."},
            "metadata": {"type": "object"},
            "spec": structural(SitePolicySpec) | {"description": "What is allowed."},
        },
        "x-kubernetes-validations": [NAME],
    }
    version = {
        "name": VERSION,
        "served": True,
        "storage": True,
        "additionalPrinterColumns": [suspend, age],
        "schema": {"openAPIV3Schema": schema},
    }
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{SITE_PLURAL}.{GROUP}"},
        "spec": {"group": GROUP, "names": kinds, "scope": "Cluster", "versions": [version]},
    }


def record_crd() -> Schema:
    """That of the RunRecord. Its spec never changes."""
    kinds = {"kind": RECORD_KIND, "listKind": f"{RECORD_KIND}List", "plural": RECORD_PLURAL, "singular": RECORD_KIND.lower()}
    run = {"name": "Run", "type": "string", "jsonPath": ".spec.name", "description": "The run"}
    refusal = {"name": "Refusal", "type": "string", "jsonPath": ".status.refusal", "description": "Why there is no receipt"}
    fixed = rule("self == oldSelf", "spec: what the record of a run is does not change")
    schema = {
        "type": "object",
        "description": "A RunRecord says what the hub has recorded about a run that has ended. The site answers with a receipt.",
        "required": ["spec"],
        "properties": {
            "apiVersion": {"type": "string", "description": "The group and version of this resource."},
            "kind": {"type": "string", "description": f"Always {RECORD_KIND}."},
            "metadata": {"type": "object"},
            "spec": structural(RunRecordSpec)
            | {"description": "The entry of the hub's ledger about the record.", "x-kubernetes-validations": [fixed]},
            "status": structural(RunRecordStatus, defaults=False) | {"description": "The answer of the site."},
        },
    }
    version = {
        "name": VERSION,
        "served": True,
        "storage": True,
        "additionalPrinterColumns": [run, refusal],
        "subresources": {"status": {}},
        "schema": {"openAPIV3Schema": schema},
    }
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{RECORD_PLURAL}.{GROUP}"},
        "spec": {"group": GROUP, "names": kinds, "scope": "Namespaced", "versions": [version]},
    }


def main() -> None:
    wanted = record_crd() if sys.argv[1:] == ["record"] else crd()
    yaml.safe_dump(wanted, sys.stdout, sort_keys=False, width=140)


if __name__ == "__main__":
    main()
