"""Types that several kinds share."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, WithJsonSchema

from panal.api.placements import LABEL_KEY
from panal.api.schema import Model

DNS_LABEL = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"
QUANTITY = r"^(\+|-)?(([0-9]+(\.[0-9]*)?)|(\.[0-9]+))(([KMGTPE]i)|[numkMGTPE]|([eE](\+|-)?(([0-9]+(\.[0-9]*)?)|(\.[0-9]+))))?$"
INT32: dict[str, Any] = {"format": "int32"}


def keyed(*keys: str) -> dict[str, Any]:
    """The schema extension of a list whose items are identified by these fields."""
    return {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": list(keys)}


Moment = Annotated[str, WithJsonSchema({"type": "string", "format": "date-time"})]
Quantity = Annotated[Any, WithJsonSchema({"x-kubernetes-int-or-string": True, "pattern": QUANTITY})]


class Condition(Model):
    type: str = Field(max_length=316, pattern=LABEL_KEY, description="The type of the condition.")
    status: Literal["True", "False", "Unknown"]
    reason: str = Field(min_length=1, max_length=1024, pattern=r"^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$")
    message: str = Field(max_length=32768, description="A human-readable message.")
    last_transition_time: Moment = Field(description="When the status last changed.")
    observed_generation: int | None = Field(
        default=None, ge=0, description="The generation of the object from which the condition was derived."
    )


Conditions = Annotated[list[Condition], Field(default_factory=list, json_schema_extra=keyed("type"))]
PlainConditions = Annotated[list[Condition], Field(default_factory=list)]
