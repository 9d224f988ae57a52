"""Settings of a run's Pods; the same fields for the aggregator and for the collaborators.

The values have Kubernetes' types and are copied into the Pods unchanged, so they are kept as JSON. Their schemas have every field that a
Pod can have here, because an API server answers an apply with an unknown field as if it had failed itself (500). The API server that gets
the Pod checks the rest.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, WithJsonSchema

from panal.api.schema import Model, Schema, rule

QUANTITY: Schema = {"x-kubernetes-int-or-string": True, "pattern": r"^[0-9]+(\.[0-9]+)?(m|k|M|G|T|P|E|Ki|Mi|Gi|Ti|Pi|Ei|[eE][0-9]{1,2})?$"}
MAX_ENV = 100
MAX_VALUE = 32 * 1024  # characters of a variable's value; Linux starts no program with one of more than 128 KiB
MAX_WORDS, MAX_WORD = 64, 4096  # of a command, and characters of each
ENV_NAME = r"^[ -<>-~]+$"  # printable, without =
RESERVED_PREFIX = "PANAL_"


def _text(description: str, **more: Any) -> Schema:
    return {"type": "string", "description": description, **more}


def _fields(description: str, *required: str, **properties: Schema) -> Schema:
    return {"type": "object", "description": description, "required": list(required), "properties": properties}


def _key_of(kind: str) -> Schema:
    optional = {"type": "boolean", "description": f"Whether the variable is left out if the {kind} or its key does not exist."}
    return _fields(
        f"A key of a {kind} in the Pod's namespace.",
        "key",
        "name",
        name=_text(f"The {kind}'s name."),
        key=_text("The key."),
        optional=optional,
    )


def _quantities(description: str) -> Schema:
    return {"type": "object", "description": description, "additionalProperties": QUANTITY}


RESOURCES: Schema = {
    "type": "object",
    "properties": {
        "requests": _quantities("The minimum that the container gets, such as `cpu: 500m` and `memory: 1Gi`."),
        "limits": _quantities("The maximum that the container may use. Request a GPU here, such as `nvidia.com/gpu: 1`."),
    },
}

VALUE_FROM: Schema = {
    "type": "object",
    "description": "Where the value comes from, as in a Pod: one of secretKeyRef, configMapKeyRef, fieldRef and resourceFieldRef. "
    "A collaborator's Secrets and ConfigMaps are those of its own cluster.",
    "minProperties": 1,
    "maxProperties": 1,
    "properties": {
        "secretKeyRef": _key_of("Secret"),
        "configMapKeyRef": _key_of("ConfigMap"),
        "fieldRef": _fields(
            "A field of the Pod.",
            "fieldPath",
            fieldPath=_text("The field, such as spec.nodeName."),
            apiVersion=_text("The version of the field's path. If not set: v1."),
        ),
        "resourceFieldRef": _fields(
            "A request or limit of a container.",
            "resource",
            resource=_text("The resource, such as limits.cpu."),
            containerName=_text("The container. If not set: the one that has the variable."),
            divisor=QUANTITY | {"description": "The unit of the value. If not set: 1."},
        ),
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
        "x-kubernetes-validations": [
            rule("!has(self.valueFrom) || !has(self.value) || self.value == ''", "env: has value and valueFrom; omit one of them")
        ],
        "properties": {
            "name": _text(
                "The variable's name.",
                minLength=1,
                maxLength=253,
                pattern=ENV_NAME,
                **{
                    "x-kubernetes-validations": [
                        rule(
                            f"!self.startsWith('{RESERVED_PREFIX}')",
                            f"env: names that start with {RESERVED_PREFIX} are reserved; choose another name",
                        )
                    ]
                },
            ),
            "value": _text("The variable's value.", maxLength=MAX_VALUE),
            "valueFrom": VALUE_FROM,
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

    command: Annotated[list[Annotated[str, Field(max_length=MAX_WORD)]], Field(max_length=MAX_WORDS)] = Field(
        default_factory=list,
        description="With framework other: the program that the container runs, and its arguments. $(NAME) stands for a variable of the "
        "container, as in a Pod. Set it for both sides.",
        json_schema_extra={"x-kubernetes-list-type": "atomic"},
    )
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
