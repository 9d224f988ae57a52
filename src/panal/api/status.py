"""What the controller says about a run: the status of a FederatedLearning. Nobody else writes it.

It is bounded, so that it stays small with thousands of clusters. What is absent is not known yet; so the schema has no defaults. Words of
sites, apps and API servers stand in its texts: they are such as can be shown (`panal.api.text`).
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, field_validator

from panal.api.schema import Model
from panal.api.spec import ListenerType
from panal.api.text import shown

MAX_COLLABORATORS = 50  # in the list of the status; the counts cover all

NON_FINITE = "Those of them that are no finite number: NaN, Infinity or -Infinity."

Text = Annotated[str, AfterValidator(shown)]


class Phase(StrEnum):
    WAITING = "Waiting"
    RUNNING = "Running"
    COMPLETED = "Completed"
    FAILED = "Failed"


class Condition(Model):
    type: str = Field(max_length=316, description="What the condition is about.")
    status: Literal["True", "False", "Unknown"] = Field(description="Whether it holds.")
    reason: Text = Field(max_length=1024, description="Why, as a code for programs.")
    message: Text = Field(default="", max_length=32768, description="Why, in words.")
    last_transition_time: datetime = Field(description="When status changed last.")
    observed_generation: int = Field(default=0, description="The generation of the resource that it was derived from.")


class RoundsStatus(Model):
    completed: int = Field(default=0, description="Rounds that are done.")
    total: int = Field(default=0, description="Rounds that were asked for.")
    summary: str = Field(default="", description="Both, such as 2/3.")
    replies: int = Field(default=0, description="Clusters that answered in the last training.")
    failures: int = Field(default=0, description="Clusters that did not, or with an error.")
    seconds: float | None = Field(default=None, description="How long the last round took.")


class ClientsStatus(Model):
    selected: int = Field(default=0, description="Clusters that the placement selected.")
    ready: int = Field(default=0, description="Clusters whose collaborator runs.")
    failed: int = Field(default=0, description="Clusters whose collaborator is in trouble.")
    summary: str = Field(default="", description="Ready of selected, such as 2/3.")


class CollaboratorStatus(Model):
    """One cluster's part in the run; `state` is one of Pending, Ready, Training, Failed, Done."""

    cluster: str = Field(description="The managed cluster's name.")
    state: str = Field(description="Pending, Ready, Training, Failed or Done.")
    reason: Text = Field(default="", description="What keeps it from training, as a code for programs.")
    message: Text = Field(default="", description="What keeps it from training, and what to do, in words.")
    round: int = Field(default=0, description="The last round that it took part in.")
    seconds: float | None = Field(default=None, description="How long its last training took.")
    metrics: dict[str, float] = Field(default_factory=dict, description="The numbers that it reported last.")
    non_finite_metrics: dict[str, str] = Field(default_factory=dict, description=NON_FINITE)


class ListenerStatus(Model):
    name: str = Field(default="", description="The listener's name in the spec.")
    type: ListenerType = Field(description="The listener's type.")
    address: str = Field(default="", description="The address at which clusters reach the aggregator.")
    port: int = Field(default=0, description="The port at that address.")


class ModelStatus(Model):
    """The finished model: where, its SHA-256 as `sha256:<hex>`, bytes, and the round after which it was taken."""

    uri: str = Field(description="Where the model is, such as pvc://CLAIM/path/model.safetensors.")
    digest: str = Field(description="The file's SHA-256, as sha256: and 64 hexadecimal digits.")
    size: int = Field(description="The file's size in bytes.")
    round: int = Field(description="The round after which the model was taken.")


class FilesStatus(Model):
    """What the server app has written into its working directory, beside the model; metadata.json there has the list."""

    uri: str = Field(description="The folder that the files are in.")
    count: int = Field(description="How many files.")
    size: int = Field(description="Their size in bytes.")
    left_out: int = Field(default=0, description="How many were not kept; metadata.json names them, with the reason.")


class Status(Model):
    phase: Phase = Field(default=Phase.WAITING, description="Waiting for clusters and pods, Running, or for good Completed or Failed.")
    message: Text = Field(default="", description="What is going on, and what to do about it, in words.")
    observed_generation: int = Field(default=0, description="The generation of the resource that this status was derived from.")
    conditions: list[Condition] = Field(
        default_factory=list,
        description="What holds and what does not, each with its reason.",
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]},
    )
    rounds: RoundsStatus = Field(default_factory=RoundsStatus, description="How far the training is.")
    clients: ClientsStatus = Field(default_factory=ClientsStatus, description="How many clusters take part.")
    collaborators: list[CollaboratorStatus] = Field(
        default_factory=list,
        max_length=MAX_COLLABORATORS,
        description="The clusters' parts in the run, those in trouble first; at most 50 of them.",
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["cluster"]},
    )
    metrics: dict[str, float] = Field(
        default_factory=dict, description="The metrics of the last completed round, as aggregated by the app."
    )
    non_finite_metrics: dict[str, str] = Field(default_factory=dict, description=NON_FINITE)
    headline_metric: Text = Field(default="", description="The metric to look at first, such as accuracy 0.93.")
    listeners: list[ListenerStatus] = Field(
        default_factory=list, description="Where clusters reach the aggregator.", json_schema_extra={"x-kubernetes-list-type": "atomic"}
    )
    model: ModelStatus | None = Field(default=None, description="The finished model.")
    files: FilesStatus | None = Field(default=None, description="What the server app has written into its working directory.")
    start_time: datetime | None = Field(default=None, description="When the run started; from then on most of the spec is fixed.")
    completion_time: datetime | None = Field(default=None, description="When the run ended.")

    @field_validator("phase", mode="before")
    @classmethod
    def _as_written_by_the_former_controller(cls, value: Any) -> Any:
        """Its type knew a phase `Start`, before Waiting."""
        return Phase.WAITING if value == "Start" else value
