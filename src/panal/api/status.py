"""The status of a FederatedLearning. Only the controller writes it.

Its size is limited, so that it stays small with thousands of clusters. A field that is absent is not known yet, so the schema has no
defaults. Its texts can come from sites, apps and API servers, and are escaped (`panal.api.text`).
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, field_validator

from panal.api.schema import Model
from panal.api.spec import Goal, ListenerType
from panal.api.text import shown
from panal.pod.tools.codes import CLUSTER, MAX_CODE

# The conditions that every run has. A further one exists only if there is something to report.
USUAL_CONDITIONS = ("SpecAccepted", "ClustersSelected", "AggregatorReady", "CollaboratorsReady", "Progressing", "Complete", "Failed")
MAX_COLLABORATORS = 50  # in the status' list; the counts include all

NON_FINITE = "The metrics that are not finite: NaN, Infinity or -Infinity."

MAX_DIGEST = 128  # characters
MAX_NAME = 64  # characters of a metric's name as it is shown, and of a notice's kind
MAX_COMPARED = 4  # metrics of a model at one site
MAX_EXPORTED = 16  # files of an export in the status; the counts include all

Text = Annotated[str, AfterValidator(shown)]
Digest = Annotated[str, AfterValidator(lambda text: shown(text, MAX_DIGEST))]


def _in_64_bits(value: int) -> int:
    if not 0 <= value < 2**63:
        raise ValueError("a count must fit into 63 bits")
    return value


Finite = Annotated[float, Field(allow_inf_nan=False)]
Count = Annotated[int, AfterValidator(_in_64_bits)]  # numbers that Pods report; a maximum in the schema would be rounded


class Phase(StrEnum):
    WAITING = "Waiting"
    RUNNING = "Running"
    COMPLETED = "Completed"
    FAILED = "Failed"


ENDED = (Phase.COMPLETED, Phase.FAILED)


class Condition(Model):
    type: str = Field(max_length=316, description="The type of the condition.")
    status: Literal["True", "False", "Unknown"] = Field(description="The status of the condition.")
    reason: Text = Field(max_length=1024, description="The reason for the status, as a code.")
    message: Text = Field(default="", max_length=32768, description="The reason for the status, as text.")
    last_transition_time: datetime = Field(description="When the status last changed.")
    observed_generation: int = Field(default=0, description="The generation of the resource from which the condition was derived.")


class RoundsStatus(Model):
    completed: int = Field(default=0, description="The number of completed rounds.")
    total: int = Field(default=0, description="The number of rounds of the run.")
    summary: str = Field(default="", description="Completed and total rounds, such as 2/3.")
    replies: int = Field(default=0, description="Clusters whose reply counted in the last training phase.")
    failures: int = Field(default=0, description="Clusters that did not reply, replied with an error, or whose reply was refused.")
    seconds: float | None = Field(default=None, description="Duration of the last round.")
    checkpoint: int = Field(default=0, description="The last round whose state is stored: another aggregator goes on after it.")
    resumed: int = Field(default=0, description="The round after which this aggregator went on. 0: it began with the first round.")


class RestartsStatus(Model):
    """The aggregators that were lost, each of which was followed by another one."""

    count: int = Field(default=0, description="How many aggregators were lost.")
    in_vain: int = Field(default=0, description="How many of them, since the last one that completed a further round.")
    round: int = Field(default=0, description="The number of rounds that were complete when an aggregator was lost: the largest so far.")
    time: datetime | None = Field(default=None, description="When the last one was lost.")
    lost: str = Field(default="", max_length=253, description="The uid of the last Job that was lost.")
    message: Text = Field(default="", description="Why the last one was lost.")


class ClientsStatus(Model):
    selected: int = Field(default=0, description="Clusters that are selected.")
    ready: int = Field(default=0, description="Clusters whose collaborator runs.")
    failed: int = Field(default=0, description="Clusters whose collaborator has a problem.")
    summary: str = Field(default="", description="Ready and selected clusters, such as 2/3.")


class CollaboratorStatus(Model):
    """The collaborator of one cluster; `state` is one of Pending, Ready, Training, Replied, Failed, Done."""

    cluster: str = Field(description="The managed cluster's name.")
    state: str = Field(
        description="Pending, Ready, Training, Replied (others have not replied in this phase), Failed, or Done: the run has ended."
    )
    reason: Text = Field(default="", description="Why the cluster does not train, as a code.")
    message: Text = Field(default="", description="Why the cluster does not train, and what to do about it.")
    round: int = Field(default=0, description="The last round in which it took part.")
    seconds: float | None = Field(default=None, description="Duration of its last training.")
    metrics: dict[str, float] = Field(default_factory=dict, description="The metrics that it reported last.")
    non_finite_metrics: dict[str, str] = Field(default_factory=dict, description=NON_FINITE)
    updates: Count | None = Field(default=None, description="In a private run: how many updates may have left the cluster.")
    epsilon: Finite | None = Field(default=None, description="In a private run: the ε of these updates.")


class SecureAggregationStatus(Model):
    """What has become of the clusters in the last training with secure aggregation."""

    threshold: Count = Field(default=0, description="How many clusters had to stay; 0 before the first training.")
    dropped: list[str] = Field(
        default_factory=list, max_length=MAX_COLLABORATORS, description="The clusters that dropped out, whose updates do not count."
    )


class PrivacyStatus(Model):
    """How the updates of sites are protected, and what they cost (spec.privacy). With differential privacy the numbers are upper bounds: an
    update counts from the moment at which its site is asked for it."""

    mechanism: str = Field(default="", description="Gaussian: updates are clipped and get Gaussian noise.")
    unit: str = Field(default="", description="Whose privacy ε is about. Site: a site with all of its data.")
    delta: Finite | None = Field(default=None, description="The δ for which ε is reckoned.")
    planned_epsilon: Finite | None = Field(default=None, description="The ε of a site that takes part in all rounds once.")
    epsilon: Finite | None = Field(default=None, description="The ε so far of the site that has spent most: at most this.")
    updates: Count | None = Field(default=None, description="How many updates may have left that site.")
    max_rounds: Count | None = Field(default=None, description="The largest number of rounds that maxEpsilon allows.")
    secure_aggregation: SecureAggregationStatus | None = Field(default=None, description="With secure aggregation.")


class ListenerStatus(Model):
    name: str = Field(default="", description="The listener's name in the spec.")
    type: ListenerType = Field(description="The listener's type.")
    address: str = Field(default="", description="The address at which clusters reach the aggregator.")
    port: int = Field(default=0, description="The port at that address.")
    host: str = Field(default="", description="The name that clusters send in the TLS handshake (SNI).")
    ready: bool = Field(default=False, description="Whether clusters can use the listener, as far as the hub knows.")
    message: Text = Field(default="", description="Why the listener is not ready, and what to do about it.")


class ModelStatus(Model):
    """The stored model: its location, its SHA-256 as `sha256:<hex>`, its size in bytes, and the last round that it includes."""

    uri: Text = Field(description="Where the model is, such as pvc://CLAIM/path/model.safetensors or s3://BUCKET/path/model.safetensors.")
    digest: Digest = Field(description="The file's SHA-256, as sha256: and 64 hexadecimal digits.")
    size: Count = Field(description="The file's size in bytes.")
    round: Count = Field(description="The last round that the model includes.")
    export: Text | None = Field(default=None, max_length=256, description="The app's function that exports the model, as MODULE:FUNCTION.")


class InitialModelStatus(Model):
    """The model with which the run began, as it was read: its digest is that of the file."""

    run: Text = Field(default="", description="The run of which it is; empty for a model that the spec names by its URI.")
    uri: Text = Field(description="Where the model is.")
    digest: Digest = Field(description="The file's SHA-256, as sha256: and 64 hexadecimal digits.")


# The reporter's ConfigMap has these too: a value that the API server would refuse in a status makes it invalid.
Code = Annotated[str, AfterValidator(lambda text: shown(text, MAX_CODE))]
Name = Annotated[str, AfterValidator(lambda text: shown(text, MAX_NAME))]
Compared = Annotated[dict[Name, Finite], Field(max_length=MAX_COMPARED)]


class SiteEvaluation(Model):
    """What one site has found. A metric that is not finite is left out."""

    cluster: str = Field(pattern=rf"^{CLUSTER}$", description="The managed cluster's name.")
    examples: Count | None = Field(default=None, description="How many examples it evaluated the global model on.")
    global_model: Compared = Field(default_factory=dict, description="Metrics of the global model; at most 4.")
    local_model: Compared = Field(default_factory=dict, description="Metrics of the model that it has trained alone; at most 4.")
    difference: Finite | None = Field(default=None, description="The metric of the global model minus that of the local one.")
    reason: Code = Field(default="", description="Why a value is missing, as a code.")


class EvaluationStatus(Model):
    """The evaluation of a model at each site (mode Evaluate). Its numbers are those of one metric; evaluation.json has all."""

    uri: Text = Field(description="Where evaluation.json is, with all sites and metrics.")
    digest: Digest = Field(description="The file's SHA-256, as sha256: and 64 hexadecimal digits.")
    metric: Text = Field(default="", description="The metric by which sites and models are compared. Empty: no site has reported one.")
    goal: Goal | None = Field(default=None, description="Maximize or Minimize: which values of the metric are better.")
    sites: Count = Field(default=0, description="The sites that have reported the metric of the global model.")
    without: Count = Field(default=0, description="The sites that were asked and have not.")
    examples: Count = Field(default=0, description="The examples of these sites in all.")
    weighted_mean: Finite | None = Field(default=None, description="The mean over the sites, weighted by their numbers of examples.")
    worst_site: str = Field(default="", pattern=rf"^({CLUSTER})?$", description="The cluster with the worst value.")
    worst: Finite | None = Field(default=None, description="Its value.")
    spread: Finite | None = Field(default=None, description="The largest value minus the smallest one, over the sites.")
    standard_deviation: Finite | None = Field(default=None, description="The standard deviation over the sites, each of which counts once.")
    compared: Count = Field(default=0, description="The sites with a value of the local model as well.")
    better: Count = Field(default=0, description="Those of them at which the global model is better than the local one.")
    table: list[SiteEvaluation] = Field(
        default_factory=list,
        max_length=MAX_COLLABORATORS,
        description="The sites, those without a value first, then the worst first; at most 50.",
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["cluster"]},
    )

    @field_validator("table")
    @classmethod
    def _each_cluster_once(cls, table: list[SiteEvaluation]) -> list[SiteEvaluation]:
        if len({row.cluster for row in table}) < len(table):
            raise ValueError("a cluster is listed twice")
        return table


class FilesStatus(Model):
    """The files that the server app wrote into its working directory, stored beside the model; metadata.json lists them."""

    uri: Text = Field(description="The folder with the files.")
    count: Count = Field(description="The number of files.")
    size: Count = Field(description="The total size in bytes.")
    left_out: Count = Field(default=0, description="The number of files that were not stored; metadata.json lists them with the reason.")


class ExportedFile(Model):
    name: Text = Field(description="The file's path in the folder.")
    size: Count = Field(description="The file's size in bytes.")
    digest: Digest = Field(description="The file's SHA-256, as sha256: and 64 hexadecimal digits.")
    check: Text = Field(description="Which library has loaded the file; or Unchecked, with the reason.")


class ExportStatus(Model):
    """What the app's export function has written. The condition Exported says whether it succeeded."""

    uri: Text = Field(description="The folder with the files. export.json in it lists all of them, with inputs and outputs.")
    files: list[ExportedFile] = Field(
        default_factory=list,
        max_length=MAX_EXPORTED,
        description="The first files.",
        json_schema_extra={"x-kubernetes-list-type": "atomic"},
    )
    count: Count = Field(description="The number of files.")
    size: Count = Field(description="The total size in bytes.")
    digest: Digest = Field(description="The SHA-256 of export.json, as sha256: and 64 hexadecimal digits.")
    time: datetime = Field(description="When the export ended.")


class ValidationStatus(Model):
    """What the notebook of spec.validation has found. The condition Validated says whether all of its cells succeeded."""

    metrics: dict[str, float] = Field(default_factory=dict, description="The metrics of the notebook.")
    non_finite_metrics: dict[str, str] = Field(default_factory=dict, description=NON_FINITE)
    report: Text = Field(default="", description="Where the executed notebook is, as HTML; notebook.ipynb and metrics.json are beside it.")
    time: datetime = Field(description="When the validation ended.")


class PublishedMLflow(Model):
    name: Text = Field(description="The registered model.")
    version: Text = Field(description="The model's version.")
    uri: Text = Field(description="As MLflow's programs name it, such as models:/NAME/VERSION.")


class PublishedModelRegistry(Model):
    name: Text = Field(description="The registered model.")
    version: Text = Field(description="The version's name.")
    id: Text = Field(description="The version's ID in the registry.")
    uri: Text = Field(description="As the registry's storage initializer for KServe reads it: model-registry://HOST/NAME/VERSION.")


class Published(Model):
    """The versions that a Job has registered."""

    mlflow: PublishedMLflow | None = Field(default=None, description="The version in the MLflow server.")
    model_registry: PublishedModelRegistry | None = Field(default=None, description="The version in the Kubeflow Model Registry.")


class PublishStatus(Published):
    """Where the model was published. The condition Published says whether that succeeded."""

    time: datetime = Field(description="When it was published.")


class Status(Model):
    phase: Phase = Field(default=Phase.WAITING, description="Waiting for clusters and Pods, Running, or at the end Completed or Failed.")
    message: Text = Field(default="", description="What the run does or waits for, and what to do about a problem.")
    observed_generation: int = Field(default=0, description="The generation of the resource from which the status was derived.")
    conditions: list[Condition] = Field(
        default_factory=list,
        description="The conditions of the run, each with its reason.",
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]},
    )
    rounds: RoundsStatus = Field(default_factory=RoundsStatus, description="The progress of the training.")
    restarts: RestartsStatus | None = Field(default=None, description="The aggregators that were lost during the run.")
    clients: ClientsStatus = Field(default_factory=ClientsStatus, description="The numbers of clusters.")
    collaborators: list[CollaboratorStatus] = Field(
        default_factory=list,
        max_length=MAX_COLLABORATORS,
        description="The collaborators, those with a problem first; at most 50.",
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["cluster"]},
    )
    metrics: dict[str, float] = Field(
        default_factory=dict, description="The metrics of the last completed round, as aggregated by the app."
    )
    non_finite_metrics: dict[str, str] = Field(default_factory=dict, description=NON_FINITE)
    headline_metric: Text = Field(
        default="", description="The main metric, such as accuracy 0.93; of a completed evaluation the spread and the worst site's."
    )
    privacy: PrivacyStatus | None = Field(default=None, description="How the updates of sites are protected, and what they cost.")
    listeners: list[ListenerStatus] = Field(
        default_factory=list,
        description="The listeners of the spec, in the same order: where clusters reach the aggregator. They use the first that is ready.",
        json_schema_extra={"x-kubernetes-list-type": "atomic"},
    )
    initial_model: InitialModelStatus | None = Field(
        default=None, description="The model of spec.server.initialModel with which the run began."
    )
    model: ModelStatus | None = Field(default=None, description="The stored model.")
    files: FilesStatus | None = Field(default=None, description="The files that the server app wrote into its working directory.")
    export: ExportStatus | None = Field(default=None, description="What the app's export function has written.")
    evaluation: EvaluationStatus | None = Field(default=None, description="What the sites have found about the model (mode Evaluate).")
    validation: ValidationStatus | None = Field(default=None, description="What the notebook of spec.validation has found in the model.")
    publish: PublishStatus | None = Field(default=None, description="Where the model was published.")
    start_time: datetime | None = Field(default=None, description="When the run started. Most of the spec is immutable from then on.")
    completion_time: datetime | None = Field(default=None, description="When the run ended.")

    @field_validator("phase", mode="before")
    @classmethod
    def _as_written_by_the_former_controller(cls, value: Any) -> Any:
        """The former controller's type allowed a phase `Start`, before Waiting."""
        return Phase.WAITING if value == "Start" else value
