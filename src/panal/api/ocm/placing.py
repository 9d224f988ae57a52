"""Placements, their decisions, and scores."""

from __future__ import annotations

from pydantic import Field

from panal.api.ocm.common import INT32, Conditions, Moment, keyed
from panal.api.placements import PlacementSpec
from panal.api.schema import Model


class DecisionGroupStatus(Model):
    decision_group_index: int | None = Field(default=None, json_schema_extra=INT32)
    decision_group_name: str | None = Field(default=None)
    decisions: list[str] = Field(default_factory=list, description="Names of the group's PlacementDecisions.")
    cluster_count: int = Field(default=0, json_schema_extra=INT32)


class PlacementStatus(Model):
    number_of_selected_clusters: int | None = Field(default=None, json_schema_extra=INT32)
    decision_groups: list[DecisionGroupStatus] = Field(default_factory=list)
    conditions: Conditions
    last_score_update_time: Moment | None = Field(default=None)


class Placement(Model):
    """Selects clusters of the sets that are bound to its namespace. Its PlacementDecisions name them."""

    spec: PlacementSpec = Field(description="Which clusters to select.")
    status: PlacementStatus | None = Field(default=None)


class Decision(Model):
    cluster_name: str
    reason: str
    score: int | None = Field(default=None)


class PlacementDecisionStatus(Model):
    decisions: list[Decision] = Field(description="The selected clusters, at most 100.")


class PlacementDecision(Model):
    """Clusters that a Placement selected. The label cluster.open-cluster-management.io/placement names the Placement."""

    status: PlacementDecisionStatus | None = Field(default=None)


class Score(Model):
    name: str
    value: int = Field(ge=-100, le=100, json_schema_extra=INT32)


class AddOnPlacementScoreStatus(Model):
    conditions: Conditions
    scores: list[Score] = Field(default_factory=list, json_schema_extra=keyed("name"))
    valid_until: Moment | None = Field(default=None, description="When the scores expire; from then on they count as 0.")


class AddOnPlacementScore(Model):
    """Scores of the cluster in whose namespace it is, for placements with `scoreCoordinate.addOn`."""

    status: AddOnPlacementScoreStatus | None = Field(default=None)
