"""The schema of `spec.client.placement`: the spec of an Open Cluster Management Placement, v1beta1.

The controller hands the field on to a Placement of the run's namespace, untouched but for tolerations of its own, so a run keeps it as
JSON. These models exist for its schema: a wrong operator is refused when the run is applied, and `kubectl explain` tells the meaning.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, WithJsonSchema

from panal.api.schema import Model, structural

LABEL_KEY = r"^([a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*/)?([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]$"
GROUP_NAME = r"^[a-zA-Z0-9][-A-Za-z0-9_.]{0,61}[a-zA-Z0-9]$"
GROUP_SIZE = {"x-kubernetes-int-or-string": True, "pattern": r"^((100|[1-9][0-9]?)%|[1-9][0-9]*)$"}
ATOMIC_LIST = {"x-kubernetes-list-type": "atomic"}
ATOMIC_MAP: dict[str, Any] = {"x-kubernetes-map-type": "atomic"}


class Requirement(Model):
    key: str = Field(description="The label's key, or the claim's name.")
    operator: Literal["In", "NotIn", "Exists", "DoesNotExist"] = Field(
        description="How the value is compared. NotIn and DoesNotExist are also met where the key is missing."
    )
    values: list[str] = Field(
        default_factory=list,
        description="The values for In and NotIn, at least one; none for Exists and DoesNotExist.",
        json_schema_extra=dict(ATOMIC_LIST),
    )


class LabelSelector(Model):
    match_labels: dict[str, str] = Field(default_factory=dict, description="Labels that the cluster has, each with exactly this value.")
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
        description="CEL expressions over `managedCluster`; all must be true. Hubs from Open Cluster Management 1.0 on know them.",
        json_schema_extra=dict(ATOMIC_LIST),
    )


class GroupSelector(Model):
    label_selector: LabelSelector | None = Field(default=None, description="By the cluster's labels.", json_schema_extra=ATOMIC_MAP)
    claim_selector: ClaimSelector | None = Field(default=None, description="By the claims that the cluster makes about itself.")


class ClusterSelector(GroupSelector):
    cel_selector: CelSelector | None = Field(default=None, description="By CEL expressions over the whole ManagedCluster.")


class Predicate(Model):
    required_cluster_selector: ClusterSelector | None = Field(
        default=None, description="What a cluster must meet. Selectors given together must all be met; none given is met by every cluster."
    )


class AddOnScore(Model):
    resource_name: str = Field(description="Name of the AddOnPlacementScore in the cluster's namespace on the hub.")
    score_name: str = Field(description="Name of the score in it.")


class ScoreCoordinate(Model):
    type: Literal["BuiltIn", "AddOn"] = Field(default="BuiltIn", description="Whether the score is Open Cluster Management's own.")
    built_in: str = Field(
        default="", description="With type BuiltIn: Balance, Steady, ResourceAllocatableCPU or ResourceAllocatableMemory."
    )
    add_on: AddOnScore | None = Field(default=None, description="With type AddOn: which score of which add-on.")


class PrioritizerConfiguration(Model):
    score_coordinate: ScoreCoordinate = Field(description="Which score.")
    weight: int = Field(
        default=1, ge=-10, le=10, description="How much the score counts; 0 switches it off, a negative weight prefers low scores."
    )


class PrioritizerPolicy(Model):
    mode: Literal["", "Additive", "Exact"] = Field(
        default="Additive",
        description="Additive: what is listed comes on top of Balance and Steady, each of weight 1. Exact: only what is listed.",
    )
    configurations: list[PrioritizerConfiguration] = Field(
        default_factory=list, description="Scores and their weights.", json_schema_extra=dict(ATOMIC_LIST)
    )


class SpreadConstraint(Model):
    topology_key: str = Field(max_length=316, pattern=LABEL_KEY, description="The label or claim that tells topologies apart.")
    topology_key_type: Literal["Label", "Claim"] = Field(description="Whether topologyKey is a label or a claim.")
    max_skew: int = Field(default=1, ge=1, description="By how many clusters topologies may differ.")
    when_unsatisfiable: Literal["DoNotSchedule", "ScheduleAnyway"] = Field(
        default="ScheduleAnyway", description="Whether a cluster that breaks the constraint may still be selected."
    )


class SpreadPolicy(Model):
    spread_constraints: list[SpreadConstraint] = Field(
        default_factory=list, max_length=8, description="Constraints, the most important first.", json_schema_extra=dict(ATOMIC_LIST)
    )


class ClusterToleration(Model):
    key: str = Field(default="", max_length=316, description="The taint's key; not given, with operator Exists: every taint.")
    operator: Literal["", "Equal", "Exists"] = Field(default="Equal", description="Equal compares the value as well, Exists only the key.")
    value: str = Field(default="", max_length=1024, description="The taint's value, with operator Equal.")
    effect: Literal["NoSelect", "PreferNoSelect", "NoSelectIfNew"] | None = Field(
        default=None, description="The taint's effect; every effect if not given."
    )
    toleration_seconds: int | None = Field(
        default=None, description="How long the taint is tolerated, counted from when it was set. Without end if not given."
    )


class DecisionGroup(Model):
    group_name: str = Field(pattern=GROUP_NAME, description="The group's name.")
    group_cluster_selector: GroupSelector = Field(description="Which of the selected clusters belong to the group.")


class GroupStrategy(Model):
    decision_groups: list[DecisionGroup] = Field(
        default_factory=list, description="Named groups, filled in this order.", json_schema_extra=dict(ATOMIC_LIST)
    )
    clusters_per_decision_group: Annotated[Any, WithJsonSchema(GROUP_SIZE)] = Field(
        default="100%", description="Largest size of a group: a number, or a percentage of the selected clusters."
    )


class DecisionStrategy(Model):
    group_strategy: GroupStrategy | None = Field(default=None, description="How the selected clusters are divided into groups.")


class PlacementSpec(Model):
    cluster_sets: list[str] = Field(
        default_factory=list,
        description="ManagedClusterSets to select from; each must be bound to the run's namespace. Empty: every set that is bound.",
        json_schema_extra=dict(ATOMIC_LIST),
    )
    number_of_clusters: int | None = Field(
        default=None,
        ge=0,
        description="How many clusters to select at most. Every one that qualifies if not given.",
        json_schema_extra={"format": "int32"},
    )
    predicates: list[Predicate] = Field(
        default_factory=list,
        description="Which clusters qualify: those that meet one of the predicates. Every cluster of the sets if there are none.",
        json_schema_extra=dict(ATOMIC_LIST),
    )
    prioritizer_policy: PrioritizerPolicy | None = Field(default=None, description="Which are preferred if more qualify than are wanted.")
    spread_policy: SpreadPolicy | None = Field(
        default=None, description="How to spread over topologies. Open Cluster Management accepts it, and does not act on it yet."
    )
    tolerations: list[ClusterToleration] = Field(
        default_factory=list,
        description="Taints of clusters that do not keep them out. The controller adds those for clusters that lost contact for a while.",
        json_schema_extra=dict(ATOMIC_LIST),
    )
    decision_strategy: DecisionStrategy | None = Field(default=None, description="How the decisions are grouped; a run takes all groups.")


PLACEMENT = structural(PlacementSpec)
