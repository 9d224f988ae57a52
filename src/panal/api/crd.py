"""The CustomResourceDefinition, generated from the types: `python -m panal.api.crd` prints it.

Rules over several fields of the spec are with the types. This module has the rules that compare with the previous version of a resource:
the name and the images (a resource of the former controller without them can still be updated and deleted), and the fields that are
immutable once a run has started.
"""

from __future__ import annotations

import sys
from typing import Any

import yaml

from panal.api.names import GROUP, KIND, MAX_RUN_NAME, PLURAL, VERSION
from panal.api.schema import Schema, rule, structural
from panal.api.types import Client, Server, Spec, Status

SHORT_NAME = "fl"
MAY_CHANGE = frozenset({"suspend", "stop", "activeDeadlineSeconds"})  # of a run that has started; server.rounds may grow

SPEC = "What to train, where and how. Most fields are immutable once the run has started."
STATUS = "The observed state of the run. Only the controller writes it."

STARTED = "has(oldSelf.status) && has(oldSelf.status.startTime)"
OVER = "has(oldSelf.status) && has(oldSelf.status.phase) && oldSelf.status.phase in ['Completed', 'Failed']"

NAME = rule(
    f"oldSelf.hasValue() || (self.metadata.name.size() <= {MAX_RUN_NAME} && self.metadata.name.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$'))",
    f"metadata.name: must have at most {MAX_RUN_NAME} characters (lowercase letters, digits, -), "
    "start with a letter and not end with -; rename the run",
    optionalOldSelf=True,
)


def _image(side: str, holds: str) -> Schema:
    """A rule at the root, so that the error is the same whether the image, `server` or `client`, or the whole spec is missing."""
    path = f"spec.{side}.?image.orValue('')"
    return rule(
        f"self.{path} != '' || (oldSelf.hasValue() && oldSelf.value().{path} == '')",
        f"name the image that holds {holds}",
        reason="FieldValueRequired",
        fieldPath=f".spec.{side}.image",
        optionalOldSelf=True,
    )


IMAGES = (
    _image("server", "the app and the framework, for the aggregator"),
    _image("client", "what the app needs to train, for the clusters"),
)
MORE_ROUNDS = rule(
    f"!({STARTED}) || self.spec.server.rounds >= oldSelf.spec.server.rounds",
    "a run that has started can get more rounds, not fewer; raise the number, or create a new run",
    fieldPath=".spec.server.rounds",
)
ROUNDS_WITHIN_PRIVACY = rule(
    f"!({STARTED} && has(oldSelf.status.privacy) && has(oldSelf.status.privacy.maxRounds)) "
    "|| self.spec.server.rounds <= oldSelf.status.privacy.maxRounds",
    "more rounds than spec.privacy.differentialPrivacy.maxEpsilon allows; status.privacy.maxRounds is the largest number",
    fieldPath=".spec.server.rounds",
)
HAS_ENDED = "the run has ended, so its spec is immutable"
ENDED = rule(
    f"!({OVER}) || self.spec == oldSelf.spec",
    f"{HAS_ENDED}; create a new FederatedLearning",
    fieldPath=".spec",
)


def crd() -> Schema:
    """The CustomResourceDefinition as JSON."""
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{PLURAL}.{GROUP}"},
        "spec": {
            "group": GROUP,
            "names": {
                "kind": KIND,
                "listKind": f"{KIND}List",
                "plural": PLURAL,
                "singular": KIND.lower(),
                "shortNames": [SHORT_NAME],
            },
            "scope": "Namespaced",
            "versions": [_version()],
        },
    }


def _version() -> Schema:
    return {
        "name": VERSION,
        "served": True,
        "storage": True,
        "subresources": {"status": {}},
        "additionalPrinterColumns": _columns(),
        "schema": {"openAPIV3Schema": _schema()},
    }


def _columns() -> list[Schema]:
    def column(name: str, path: str, description: str, **more: Any) -> Schema:
        return {"name": name, "type": "string", "jsonPath": path, "description": description, **more}

    return [
        column("Phase", ".status.phase", "Waiting, Running, Completed or Failed"),
        column("Round", ".status.rounds.summary", "Completed rounds of all rounds"),
        column("Clients", ".status.clients.summary", "Ready clusters of selected clusters"),
        column("Metric", ".status.headlineMetric", "The main metric of the last completed round"),
        column("Age", ".metadata.creationTimestamp", "Time since the run was created") | {"type": "date"},
        column("Message", ".status.message", "What the run does or waits for", priority=1),
    ]


def _schema() -> Schema:
    return {
        "type": "object",
        "description": "A FederatedLearning requests one federated learning run on managed clusters of Open Cluster Management.",
        "properties": {
            "apiVersion": {"type": "string", "description": "The group and version of this resource."},
            "kind": {"type": "string", "description": f"Always {KIND}."},
            "metadata": {"type": "object"},
            "spec": structural(Spec) | {"default": {}, "description": SPEC},
            "status": structural(Status, defaults=False) | {"description": STATUS},
        },
        "x-kubernetes-validations": [NAME, *IMAGES, ENDED, MORE_ROUNDS, ROUNDS_WITHIN_PRIVACY, *(_fixed(path) for path in fixed_paths())],
    }


def fixed_paths() -> list[str]:
    """The fields under `spec` that are immutable once a run has started. Each has its own rule, so that an error names the field."""
    server = [f"server.{name}" for name in structural(Server)["properties"] if name != "rounds"]
    client = [f"client.{name}" for name in structural(Client)["properties"]]
    others = [name for name in structural(Spec)["properties"] if name not in MAY_CHANGE | {"server", "client"}]
    return [*others, *server, *client]


def _fixed(path: str) -> Schema:
    """`spec`, `server` and `client` have defaults, so only the last part may be absent. (Comparing optionals exceeds the cost limit.)"""
    new, old = f"self.spec.{path}", f"oldSelf.spec.{path}"
    return rule(
        f"!({STARTED}) || (has({new}) == has({old}) && (!has({new}) || {new} == {old}))",
        "immutable once the run has started; restore the previous value, or create a new FederatedLearning",
        fieldPath=f".spec.{path}",
    )


def main() -> None:
    yaml.safe_dump(crd(), sys.stdout, sort_keys=False, width=140)


if __name__ == "__main__":
    main()
