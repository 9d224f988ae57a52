"""Settings of a run's Pods; the same fields for the aggregator and for the collaborators.

The values have Kubernetes' types and are copied into the Pods unchanged, so they are kept as JSON. Their schemas catch common mistakes
before a Pod exists. Other parts (`valueFrom`, `resources.claims`) are checked by the API server that gets the Pod.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, WithJsonSchema

from panal.api.schema import Model, Schema, rule

MAX_ENV = 100
RESERVED_PREFIX = "PANAL_"


def _text(description: str, **more: Any) -> Schema:
    return {"type": "string", "description": description, **more}


def _quantities(description: str) -> Schema:
    quantity = {"x-kubernetes-int-or-string": True, "pattern": r"^[0-9]+(\.[0-9]+)?(m|k|M|G|T|P|E|Ki|Mi|Gi|Ti|Pi|Ei|[eE][0-9]{1,2})?$"}
    return {"type": "object", "description": description, "additionalProperties": quantity}


RESOURCES: Schema = {
    "type": "object",
    "x-kubernetes-preserve-unknown-fields": True,
    "properties": {
        "requests": _quantities("The minimum that the container gets, such as `cpu: 500m` and `memory: 1Gi`."),
        "limits": _quantities("The maximum that the container may use. Request a GPU here, such as `nvidia.com/gpu: 1`."),
    },
}

ENV: Schema = {
    "type": "array",
    "maxItems": MAX_ENV,
    "x-kubernetes-list-type": "map",
    "x-kubernetes-list-map-keys": ["name"],
    "items": {
        "type": "object",
        "required": ["name"],
        "properties": {
            "name": _text(
                "The variable's name.",
                minLength=1,
                maxLength=253,
                **{
                    "x-kubernetes-validations": [
                        rule(
                            f"!self.startsWith('{RESERVED_PREFIX}')",
                            f"env: names that start with {RESERVED_PREFIX} are reserved; choose another name",
                        )
                    ]
                },
            ),
            "value": _text("The variable's value."),
            "valueFrom": {
                "type": "object",
                "description": "Where the value comes from, as in a Pod: secretKeyRef, configMapKeyRef, fieldRef or resourceFieldRef. "
                "A collaborator's Secrets and ConfigMaps are those of its own cluster.",
                "x-kubernetes-preserve-unknown-fields": True,
            },
        },
    },
}

IMAGE_PULL_SECRETS: Schema = {
    "type": "array",
    "maxItems": 20,
    "x-kubernetes-list-type": "map",
    "x-kubernetes-list-map-keys": ["name"],
    "items": {
        "type": "object",
        "required": ["name"],
        "properties": {"name": _text("The Secret's name.", minLength=1, maxLength=253)},
    },
}

TOLERATIONS: Schema = {
    "type": "array",
    "maxItems": 50,
    "x-kubernetes-list-type": "atomic",
    "items": {
        "type": "object",
        "properties": {
            "key": _text("The taint's key; empty with operator Exists means every taint."),
            "operator": _text("Equal compares the value as well, Exists only the key. If not set: Equal.", enum=["Equal", "Exists"]),
            "value": _text("The taint's value, with operator Equal."),
            "effect": _text("The taint's effect; empty means every effect.", enum=["", "NoSchedule", "PreferNoSchedule", "NoExecute"]),
            "tolerationSeconds": {
                "type": "integer",
                "format": "int64",
                "description": "With effect NoExecute: how long the Pod may stay. If not set: forever.",
            },
        },
    },
}


class PodSettings(Model):
    """Settings of a Pod; the same fields for the aggregator and the collaborators. Values have Kubernetes' types."""

    resources: Annotated[dict[str, Any], WithJsonSchema(RESOURCES)] = Field(
        default_factory=dict, description="Requests and limits of the container that trains or aggregates, as in a Pod."
    )
    env: Annotated[list[dict[str, Any]], WithJsonSchema(ENV)] = Field(
        default_factory=list,
        description="Environment variables of the container that trains or aggregates, as in a Pod. "
        f"Names that start with {RESERVED_PREFIX} are reserved.",
    )
    image_pull_secrets: Annotated[list[dict[str, Any]], WithJsonSchema(IMAGE_PULL_SECRETS)] = Field(
        default_factory=list,
        description="Secrets with the credentials of the image's registry: for the server in the run's namespace on the hub, "
        "for the client in the namespace panal-collaborator of each cluster.",
    )
    image_pull_policy: Literal["Always", "IfNotPresent", "Never"] | None = Field(
        default=None, description="When the image is pulled. If not set: Always for the tag latest, otherwise IfNotPresent."
    )
    node_selector: dict[str, str] = Field(default_factory=dict, description="Labels that a node must have to run the Pod.")
    tolerations: Annotated[list[dict[str, Any]], WithJsonSchema(TOLERATIONS)] = Field(
        default_factory=list, description="Taints of nodes that the Pod tolerates, as in a Pod."
    )
