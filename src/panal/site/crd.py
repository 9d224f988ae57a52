"""The CustomResourceDefinition of the SitePolicy, generated from the types: `python -m panal.site.crd` prints it."""

from __future__ import annotations

import sys

import yaml

from panal.api.names import GROUP, SITE_KIND, SITE_PLURAL, SITE_POLICY, VERSION
from panal.api.schema import Schema, rule, structural
from panal.site.policy import SitePolicySpec

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


def main() -> None:
    yaml.safe_dump(crd(), sys.stdout, sort_keys=False, width=140)


if __name__ == "__main__":
    main()
