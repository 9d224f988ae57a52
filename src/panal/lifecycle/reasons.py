"""The reasons of conditions, Events and failed runs, each with its remedy.

A reason is a CamelCase code for programs; the remedy is the sentence that says what to do. The policy that finds a reason writes the
message with the particulars (cluster, image, claim), and the message ends with the remedy. `panal.pod.tools.codes` declares the codes that
Pods write. A runtime adds its own reasons, and remedies that name its parts (`Runtime.remedies`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from panal.api.text import shown
from panal.pod.tools.codes import Doubt, Ending, Unanswered

LONGEST = 2000  # characters of a message without its remedy
NONE: Mapping[str, str] = {}


class Reason(StrEnum):
    # waiting
    SUSPENDED = "Suspended"
    RUN_LIMIT_REACHED = "RunLimitReached"
    NOT_ENOUGH_CLUSTERS = "NotEnoughClusters"
    CLUSTER_SET_NOT_BOUND = "ClusterSetNotBound"
    PLACEMENT_PENDING = "PlacementPending"
    ADDRESS_PENDING = "AddressPending"
    LISTENER_NOT_SUPPORTED = "ListenerNotSupported"
    AGGREGATOR_STARTING = "AggregatorStarting"
    AGGREGATOR_RESTARTING = "AggregatorRestarting"
    COLLABORATORS_STARTING = "CollaboratorsStarting"
    INITIAL_MODEL_PENDING = "InitialModelPending"
    SITE_PENDING = "SiteDecisionPending"  # of a collaborator
    # normal progress
    CLUSTERS_SELECTED = "ClustersSelected"
    AGGREGATOR_READY = "AggregatorReady"
    COLLABORATORS_READY = "CollaboratorsReady"
    TRAINING = "Training"
    EVALUATING = "Evaluating"
    COMPLETED = Ending.COMPLETED.value
    # a failed collaborator; does not end the run by itself
    IMAGE_PULL_FAILED = "ImagePullFailed"
    DATA_NOT_FOUND = Ending.DATA_NOT_FOUND.value
    DATA_LOCATION_INVALID = "DataLocationInvalid"
    UNSCHEDULABLE = "Unschedulable"
    CRASHING = "Crashing"
    NO_REPLY = Unanswered.NO_REPLY.value
    WORK_NOT_APPLIED = "WorkNotApplied"
    WORK_REFUSED = "WorkRefused"
    POD_NOT_CREATED = "PodNotCreated"
    CONTAINER_CONFIG_INVALID = "ContainerConfigInvalid"
    CLUSTER_UNREACHABLE = "ClusterUnreachable"
    CLUSTER_UNAVAILABLE = "ClusterUnavailable"
    ADDON_NOT_INSTALLED = "AddonNotInstalled"
    CERTIFICATE_PENDING = "CertificatePending"
    CERTIFICATE_DENIED = "CertificateDenied"
    CERTIFICATE_REVOKED = "CertificateRevoked"
    SITE_CONFIG_INVALID = "SiteConfigInvalid"
    POLICY_NOT_COMPLIANT = "PolicyNotCompliant"
    POLICY_UNKNOWN = "PolicyUnknown"
    SITE_REFUSED = "SiteRefused"
    APP_HASH_MISMATCH = Ending.APP_HASH_MISMATCH.value
    REPLY_REFUSED = "ReplyRefused"
    REPLY_WITHHELD = "ReplyWithheld"
    UPDATE_WITHHELD = "UpdateWithheld"
    # terminal
    RUNTIME_NOT_SUPPORTED = "RuntimeNotSupported"
    STORAGE_UNUSABLE = "StorageUnusable"
    INVALID_SPEC = Ending.INVALID_SPEC.value
    DATA_CLAIM_MISSING = "DataClaimMissing"
    OBJECT_REFUSED = "ObjectRefused"
    PLACEMENT_MISCONFIGURED = "PlacementMisconfigured"
    DEADLINE_EXCEEDED = "DeadlineExceeded"
    STOPPED = "Stopped"
    QUORUM_NOT_REACHED = Ending.QUORUM_NOT_REACHED.value
    QUORUM_LOST = Ending.QUORUM_LOST.value
    ALL_COLLABORATORS_FAILED = Ending.ALL_COLLABORATORS_FAILED.value
    APP_INVALID = Ending.APP_INVALID.value
    SERVER_APP_FAILED = Ending.SERVER_APP_FAILED.value
    NO_RESULT = Ending.NO_RESULT.value
    ARRAYS_NOT_STORABLE = Ending.ARRAYS_NOT_STORABLE.value
    MODEL_MISSING = Ending.MODEL_MISSING.value
    MODEL_NOT_STORED = Ending.MODEL_NOT_STORED.value
    AGGREGATOR_LOST = Ending.AGGREGATOR_LOST.value
    AGGREGATOR_FAILED = Ending.AGGREGATOR_FAILED.value
    STATE_LOST = Ending.STATE_LOST.value
    INITIAL_MODEL_UNUSABLE = Ending.INITIAL_MODEL_UNUSABLE.value
    INITIAL_MODEL_DIFFERS = Ending.INITIAL_MODEL_DIFFERS.value
    # Events that do not change the phase
    CLUSTER_ADDED = "ClusterAdded"
    CLUSTER_REMOVED = "ClusterRemoved"
    ROUND_COMPLETED = "RoundCompleted"
    MODEL_STORED = "ModelStored"
    CLEANUP_INCOMPLETE = "CleanupIncomplete"
    FIELD_IGNORED = "FieldIgnored"
    WITHOUT_MODEL = "CompletedWithoutModel"
    EVALUATED = "Evaluated"
    # the condition Exported of a run whose app exports the model
    EXPORTING = "Exporting"
    EXPORTED = "Exported"
    EXPORT_FAILED = "ExportFailed"
    # the condition Validated of a run whose model a notebook validates
    VALIDATING = "Validating"
    VALIDATED = "Validated"
    NOTEBOOK_FAILED = "NotebookFailed"
    VALIDATION_FAILED = "ValidationFailed"
    # the condition Published of a run whose model is published
    PUBLISHING = "Publishing"
    PUBLISHED = "Published"
    NOT_PUBLISHED = "NotPublished"
    PUBLISH_FAILED = "PublishFailed"
    # the condition Countersigned of a run with sites that have a policy, or whose record cannot be stored
    COUNTERSIGNING = "Countersigning"
    COUNTERSIGNED = "Countersigned"
    NOT_COUNTERSIGNED = "NotCountersigned"
    RECORD_BLOCKED = "RecordBlocked"
    # conditions that do not end a run: the app's result may be wrong
    MODEL_SUSPECT = Doubt.MODEL_SUSPECT.value
    MODEL_CHANGED = Doubt.MODEL_CHANGED.value
    NOT_AGGREGATED = Doubt.NOT_AGGREGATED.value
    NOT_RESUMABLE = Doubt.NOT_RESUMABLE.value
    CHECKPOINT_FAILED = Doubt.CHECKPOINT_FAILED.value
    TRACKING_FAILED = Doubt.TRACKING_FAILED.value
    PRIVACY_SPENT = Doubt.PRIVACY_SPENT.value


NOTICES = tuple(Reason(doubt.value) for doubt in Doubt)

# The reasons whose Events are of type Normal. Events of all other reasons are Warnings.
NORMAL = frozenset(
    {
        Reason.SUSPENDED,
        Reason.RUN_LIMIT_REACHED,
        Reason.NOT_ENOUGH_CLUSTERS,
        Reason.PLACEMENT_PENDING,
        Reason.INITIAL_MODEL_PENDING,
        Reason.ADDRESS_PENDING,
        Reason.AGGREGATOR_STARTING,
        Reason.COLLABORATORS_STARTING,
        Reason.TRAINING,
        Reason.EVALUATING,
        Reason.COMPLETED,
        Reason.WITHOUT_MODEL,
        Reason.EVALUATED,
        Reason.COUNTERSIGNING,
        Reason.COUNTERSIGNED,
    }
)

REMEDY: dict[str, str] = {
    Reason.SUSPENDED: "Set spec.suspend to false to resume the run.",
    Reason.RUN_LIMIT_REACHED: "Wait until it is this run's turn; stop or suspend another run; or ask the hub's administrator to raise it.",
    Reason.NOT_ENOUGH_CLUSTERS: "Join or label clusters so that they qualify, or lower spec.server.minAvailableClients.",
    Reason.CLUSTER_SET_NOT_BOUND: "Create a ManagedClusterSetBinding for the set in the run's namespace.",
    Reason.IMAGE_PULL_FAILED: "Check the image's name, tag, registry and imagePullSecrets; on the local platform: `panal image build`.",
    Reason.DATA_NOT_FOUND: "Create the PersistentVolumeClaim in namespace panal-collaborator of that cluster, or correct the ClusterClaim.",
    Reason.DATA_LOCATION_INVALID: "Give the ClusterClaim the form pvc://CLAIM/path, s3://BUCKET/PREFIX?endpoint=URL or an absolute path.",
    Reason.UNSCHEDULABLE: "Free resources on the cluster's nodes, or change resources, nodeSelector or tolerations.",
    Reason.NO_REPLY: "Check the cluster's connection to the hub, and read the collaborator's log on that cluster.",
    Reason.CRASHING: "Read the collaborator's log on that cluster.",
    Reason.WORK_NOT_APPLIED: "Check the work agent's permissions on that cluster.",
    Reason.WORK_REFUSED: "Check the cluster's namespace on the hub: it may be terminating, or a quota or webhook may forbid the work.",
    Reason.POD_NOT_CREATED: "Check the Events of the Job or StatefulSet on that cluster: a quota or pod security may forbid the Pod.",
    Reason.CONTAINER_CONFIG_INVALID: "Give the image a numeric USER other than root, and create the Secrets and ConfigMaps of env there.",
    Reason.CLUSTER_UNREACHABLE: "Check the cluster's connection to the hub.",
    Reason.CLUSTER_UNAVAILABLE: "Check the cluster's Kubernetes API server.",
    Reason.ADDON_NOT_INSTALLED: "Make the Placement of the ClusterManagementAddOn fl-collaborator select the cluster.",
    Reason.CERTIFICATE_PENDING: "Check the cluster's registration agent and the output of `panal certs`.",
    Reason.CERTIFICATE_DENIED: "Check the Events of the ManagedClusterAddOn fl-collaborator in the cluster's namespace on the hub.",
    Reason.CERTIFICATE_REVOKED: "Run `panal certs restore CLUSTER` to allow the cluster a new certificate.",
    Reason.SITE_CONFIG_INVALID: "Correct the AddOnDeploymentConfig of that cluster.",
    Reason.POLICY_NOT_COMPLIANT: "Read the Policy's status in the cluster's namespace on the hub, and correct the cluster.",
    Reason.POLICY_UNKNOWN: "Check that the Policy's Placement selects the cluster, and that the cluster's policy add-ons report.",
    Reason.SITE_PENDING: "The site's owner decides; `panal site` there shows what the run asks for.",
    Reason.SITE_REFUSED: "The site's owner decides; `panal site` there says why.",
    Reason.APP_HASH_MISMATCH: "The hub sent an app that differs from the announced one. First find out who changed it.",
    Reason.REPLY_REFUSED: "Compare its app and data with those of the other clusters, or run `panal certs revoke CLUSTER` to exclude it.",
    Reason.REPLY_WITHHELD: "Its owner or spec.client.minimumExamples asks for more examples; the collaborator's log there says how many.",
    Reason.UPDATE_WITHHELD: "spec.privacy lets only what it protects leave a site; the collaborator's log there says what it found.",
    Reason.RUNTIME_NOT_SUPPORTED: "Create the run again with a framework that is installed.",
    Reason.LISTENER_NOT_SUPPORTED: "Change the listener, which is possible until the run starts; NodePort needs nothing else on the hub.",
    Reason.STORAGE_UNUSABLE: "Correct what the message names and create the run again.",
    Reason.INVALID_SPEC: "Correct the field and create the run again.",
    Reason.DATA_CLAIM_MISSING: "Set it to the ClusterClaim of the sites' data, or to None if the run needs none. Create the run again.",
    Reason.OBJECT_REFUSED: "Correct what the message names. If the run has failed, create it again.",
    Reason.PLACEMENT_MISCONFIGURED: "Correct spec.client.placement.",
    Reason.DEADLINE_EXCEEDED: "Raise spec.activeDeadlineSeconds and create the run again.",
    Reason.STOPPED: "Create a new run to train again.",
    Reason.QUORUM_NOT_REACHED: "Check status.collaborators for the causes, or raise spec.server.quorumTimeoutSeconds.",
    Reason.QUORUM_LOST: "Check status.collaborators for the causes, or lower spec.server.minAvailableClients.",
    Reason.ALL_COLLABORATORS_FAILED: "Read the log of a collaborator on its cluster: the text of exceptions does not leave the cluster.",
    Reason.APP_INVALID: "Check that spec.server.image holds an app of the run's framework.",
    Reason.SERVER_APP_FAILED: "Read the log of the aggregator.",
    Reason.MODEL_MISSING: "Check that the app returns a model, or set spec.result to Files or None.",
    Reason.MODEL_NOT_STORED: "Check the storage's free space and permissions.",
    Reason.AGGREGATOR_LOST: "Check the Events of the aggregator's Pod for the cause, and create the run again.",
    Reason.AGGREGATOR_FAILED: "Read the log of the aggregator.",
    Reason.STATE_LOST: "Create the run again, or set spec.server.onAggregatorLoss to Restart in a new run.",
    Reason.INITIAL_MODEL_UNUSABLE: "Correct spec.server.initialModel and create the run again.",
    Reason.INITIAL_MODEL_DIFFERS: "Name a model of the same architecture, or let the app start with such arrays. Create the run again.",
    Reason.NO_RESULT: "Check status.collaborators for the causes, and read the log of the aggregator.",
    Reason.ARRAYS_NOT_STORABLE: "Use arrays of real numbers, or set spec.result to Files and let the app save its model.",
    Reason.MODEL_SUSPECT: "Do not use the model until the cause is known. The metrics of each round are in metadata.json beside it.",
    Reason.MODEL_CHANGED: "If programs that load the model depend on the type, convert the arrays in the app.",
    Reason.NOT_AGGREGATED: "The app may need more collaborators than took part. Read the log of the aggregator.",
    Reason.NOT_RESUMABLE: "If the aggregator is lost, spec.server.onAggregatorLoss says what happens.",
    Reason.CHECKPOINT_FAILED: "Check the storage's free space and permissions.",
    Reason.TRACKING_FAILED: "Check the server that the field names. What is missing there is in history.jsonl beside the model.",
    Reason.PRIVACY_SPENT: "Leave room for repeated rounds in a new run: fewer rounds, more noise, or a larger maxEpsilon.",
    Reason.EXPORT_FAILED: "The model is stored. Correct what the message names, and export the stored model by hand, or run again.",
    Reason.NOTEBOOK_FAILED: "The model is stored. Read the report, and look at the model before you use it.",
    Reason.VALIDATION_FAILED: "The model is stored. Correct what the message names; `panal notebook` executes a notebook on it.",
    Reason.NOT_PUBLISHED: "The model is stored. Look at it before you publish it by hand.",
    Reason.NOT_COUNTERSIGNED: "The record and the other receipts stay. Ask the owners of the sites: their ledgers have what has left.",
    Reason.RECORD_BLOCKED: "Find out who has made it, and delete it. The record is made and sealed then.",
    Reason.PUBLISH_FAILED: "The model is stored. Correct what the message names; a new run publishes its model.",
    Reason.CLEANUP_INCOMPLETE: "Once the cluster is available, its agent removes the rest within an hour. You can also remove it yourself.",
}


@dataclass(frozen=True, slots=True)
class Trouble:
    """Why a run or a collaborator cannot start or continue. `reason` is a Reason, or one of the runtime's own. `message` says what
    happened, and ends with the remedy."""

    reason: str
    message: str

    @classmethod
    def of(cls, reason: str, message: str, remedies: Mapping[str, str] = NONE) -> Trouble:
        return cls(reason, with_remedy(reason, message, remedies))

    def shortened(self, most: int, remedies: Mapping[str, str] = NONE) -> str:
        """The message, of which at most `most` characters precede the remedy."""
        found, remedy = self.parts(remedies)
        return f"{shown(found, most)} {remedy}" if remedy else shown(found, most)

    def parts(self, remedies: Mapping[str, str] = NONE) -> tuple[str, str]:
        """What happened, and the remedy; empty if there is none."""
        remedy = remedies.get(self.reason) or REMEDY.get(self.reason, "")
        return self.message.removesuffix(remedy).rstrip(), remedy


def with_remedy(reason: str, message: str, remedies: Mapping[str, str] = NONE) -> str:
    """`message` and then the remedy of `reason`, if it has one: from `remedies`, which are the runtime's, else from REMEDY.
    `message` may contain text from outside."""
    message = shown(message, LONGEST)
    remedy = remedies.get(reason) or REMEDY.get(reason)
    return f"{message.rstrip('.')}. {remedy}" if remedy else message
