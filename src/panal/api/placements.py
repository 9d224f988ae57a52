"""The schema of `spec.client.placement`: the spec of an Open Cluster Management Placement, v1beta1.

The controller copies the field into a Placement in the run's namespace and adds tolerations, so a run keeps it as JSON. These models exist
for the schema: the API server rejects a wrong operator when the run is applied, and `kubectl explain` shows the meaning of each field.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, WithJsonSchema

from panal.api.schema import Model, rule, structural

LABEL_KEY = r"^([a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*/)?([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]$"
_DNS_LABEL = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?"
DNS_NAME = rf"{_DNS_LABEL}(\.{_DNS_LABEL})*"  # as names of most objects
GROUP_NAME = r"^[a-zA-Z0-9][-A-Za-z0-9_.]{0,61}[a-zA-Z0-9]$"
GROUP_SIZE_PATTERN = r"^((100|[1-9][0-9]?)%|[1-9][0-9]*)$"
GROUP_SIZE_REASON = (
    "clustersPerDecisionGroup is a string without %, by which Open Cluster Management deletes every decision; "
    "write a number without quotes, or a percentage such as 25%"
)
GROUP_SIZE = {
    "x-kubernetes-int-or-string": True,
    "pattern": GROUP_SIZE_PATTERN,
    "x-kubernetes-validations": [rule("type(self) == int || string(self).endsWith('%')", GROUP_SIZE_REASON)],
}
ATOMIC_LIST = {"x-kubernetes-list-type": "atomic"}
ATOMIC_MAP: dict[str, Any] = {"x-kubernetes-map-type": "atomic"}


class Requirement(Model):
    key: str = Field(description="The label's key, or the claim's name.")
    operator: Literal["In", "NotIn", "Exists", "DoesNotExist"] = Field(
        description="How the value is compared. NotIn and DoesNotExist also match a cluster without the key."
    )
    values: list[str] = Field(
        default_factory=list,
        description="At least one value for In and NotIn; empty for Exists and DoesNotExist.",
        json_schema_extra=dict(ATOMIC_LIST),
    )


class LabelSelector(Model):
    match_labels: dict[str, str] = Field(
        default_factory=dict, description="Labels that the cluster must have, each with exactly this value."
    )
    match_expressions: list[Requirement] = Field(
        default_factory=list, description="Requirements on labels; all must be met.", json_schema_extra=dict(ATOMIC_LIST)
    )


class ClaimSelector(Model):
    match_expressions: list[Requirement] = Field(
        default_factory=list, description="Requirements on the cluster's claims; all must be met.", json_schema_extra=dict(ATOMIC_LIST)
    )


class CelSelector(Model):
    cel_expressions: list[str] = Field(
        default_factory=list,
        description="CEL expressions over `managedCluster`; all must be true. Requires Open Cluster Management 1.0 or later.",
        json_schema_extra=dict(ATOMIC_LIST),
    )


class GroupSelector(Model):
    label_selector: LabelSelector | None = Field(default=None, description="Selects by the cluster's labels.", json_schema_extra=ATOMIC_MAP)
    claim_selector: ClaimSelector | None = Field(default=None, description="Selects by the cluster's ClusterClaims.")


class ClusterSelector(GroupSelector):
    cel_selector: CelSelector | None = Field(default=None, description="Selects by CEL expressions over the ManagedCluster.")


class Predicate(Model):
    required_cluster_selector: ClusterSelector | None = Field(
        default=None, description="The selectors that a cluster must match, all of them. Without a selector, every cluster matches."
    )


class AddOnScore(Model):
    resource_name: str = Field(description="Name of the AddOnPlacementScore in the cluster's namespace on the hub.")
    score_name: str = Field(description="Name of the score in it.")


class ScoreCoordinate(Model):
    type: Literal["BuiltIn", "AddOn"] = Field(
        default="BuiltIn", description="BuiltIn: a score of Open Cluster Management. AddOn: a score of an add-on."
    )
    built_in: str = Field(
        default="", description="With type BuiltIn: Balance, Steady, ResourceAllocatableCPU or ResourceAllocatableMemory."
    )
    add_on: AddOnScore | None = Field(default=None, description="With type AddOn: the score in an AddOnPlacementScore.")


class PrioritizerConfiguration(Model):
    score_coordinate: ScoreCoordinate = Field(description="The score.")
    weight: int = Field(
        default=1, ge=-10, le=10, description="The weight of the score. 0 disables it; a negative weight prefers low scores."
    )


class PrioritizerPolicy(Model):
    mode: Literal["", "Additive", "Exact"] = Field(
        default="Additive",
        description="Additive: Balance and Steady, each with weight 1, and the listed scores. Exact: only the listed scores.",
    )
    configurations: list[PrioritizerConfiguration] = Field(
        default_factory=list, description="Scores and their weights.", json_schema_extra=dict(ATOMIC_LIST)
    )


class SpreadConstraint(Model):
    topology_key: str = Field(max_length=316, pattern=LABEL_KEY, description="The label or claim whose value is the topology.")
    topology_key_type: Literal["Label", "Claim"] = Field(description="Whether topologyKey is a label or a claim.")
    max_skew: int = Field(default=1, ge=1, description="The largest difference in clusters between two topologies.")
    when_unsatisfiable: Literal["DoNotSchedule", "ScheduleAnyway"] = Field(
        default="ScheduleAnyway", description="Whether a cluster that violates the constraint may still be selected."
    )


class SpreadPolicy(Model):
    spread_constraints: list[SpreadConstraint] = Field(
        default_factory=list, max_length=8, description="Constraints, the most important first.", json_schema_extra=dict(ATOMIC_LIST)
    )


class ClusterToleration(Model):
    key: str = Field(default="", max_length=316, description="The taint's key. Empty, with operator Exists: every taint.")
    operator: Literal["", "Equal", "Exists"] = Field(default="Equal", description="Equal compares the value as well, Exists only the key.")
    value: str = Field(default="", max_length=1024, description="The taint's value, with operator Equal.")
    effect: Literal["NoSelect", "PreferNoSelect", "NoSelectIfNew"] | None = Field(
        default=None, description="The taint's effect. If not set: every effect."
    )
    toleration_seconds: int | None = Field(
        default=None, description="How long the taint is tolerated, from the time it was added. If not set: forever."
    )


class DecisionGroup(Model):
    group_name: str = Field(pattern=GROUP_NAME, description="The group's name.")
    group_cluster_selector: GroupSelector = Field(description="Which of the selected clusters belong to the group.")


def _group_size(value: Any) -> Any:
    """As the API server checks it."""
    if isinstance(value, bool) or not isinstance(value, (int, str)) or not re.search(GROUP_SIZE_PATTERN, str(value)):
        raise ValueError("neither a number from 1 on nor a percentage from 1% to 100%")
    if isinstance(value, str) and not value.endswith("%"):
        raise ValueError(GROUP_SIZE_REASON)
    return value


class GroupStrategy(Model):
    decision_groups: list[DecisionGroup] = Field(
        default_factory=list, description="Named groups, filled in this order.", json_schema_extra=dict(ATOMIC_LIST)
    )
    clusters_per_decision_group: Annotated[Any, AfterValidator(_group_size), WithJsonSchema(GROUP_SIZE)] = Field(
        default="100%", description="Largest size of a group: a number, or a percentage of the selected clusters."
    )


class DecisionStrategy(Model):
    group_strategy: GroupStrategy | None = Field(default=None, description="How the selected clusters are divided into groups.")


class PlacementSpec(Model):
    cluster_sets: list[Annotated[str, Field(max_length=253, pattern=rf"^{DNS_NAME}$")]] = Field(
        default_factory=list,
        description="ManagedClusterSets to select from; each must be bound to the run's namespace. Empty: every set that is bound.",
        json_schema_extra=dict(ATOMIC_LIST),
    )
    number_of_clusters: int | None = Field(
        default=None,
        ge=0,
        le=2**31 - 1,
        description="The largest number of clusters to select. If not set: every cluster that qualifies.",
        json_schema_extra={"format": "int32"},
    )
    predicates: list[Predicate] = Field(
        default_factory=list,
        description="A cluster qualifies if it matches one of the predicates. Without predicates, every cluster of the sets qualifies.",
        json_schema_extra=dict(ATOMIC_LIST),
    )
    prioritizer_policy: PrioritizerPolicy | None = Field(
        default=None, description="Which clusters to prefer if more qualify than are needed."
    )
    spread_policy: SpreadPolicy | None = Field(
        default=None,
        description="How to spread clusters over topologies. Open Cluster Management accepts this field and does not apply it yet.",
    )
    tolerations: list[ClusterToleration] = Field(
        default_factory=list,
        description="Taints that do not exclude a cluster. The controller adds tolerations for clusters that are unreachable for a while.",
        json_schema_extra=dict(ATOMIC_LIST),
    )
    decision_strategy: DecisionStrategy | None = Field(default=None, description="How the decisions are grouped. A run uses all groups.")


PLACEMENT = structural(PlacementSpec)
