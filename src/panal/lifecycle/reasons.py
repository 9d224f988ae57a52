"""Every reason that a condition, an Event or a failed run may carry: one place for its name and its remedy.

A reason is a CamelCase code for programs; the remedy tells a person what to do about it. Messages that name the particulars
(cluster, image, claim) are made by the policy that finds the reason, and end with the remedy. Codes that Pods write are declared with them,
in `panal.pod.tools.codes`. A runtime adds reasons of its own, and remedies that name its parts (`Runtime.remedies`).
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
    NOT_ENOUGH_CLUSTERS = "NotEnoughClusters"
    CLUSTER_SET_NOT_BOUND = "ClusterSetNotBound"
    PLACEMENT_PENDING = "PlacementPending"
    ADDRESS_PENDING = "AddressPending"
    AGGREGATOR_STARTING = "AggregatorStarting"
    COLLABORATORS_STARTING = "CollaboratorsStarting"
    # going well
    CLUSTERS_SELECTED = "ClustersSelected"
    AGGREGATOR_READY = "AggregatorReady"
    COLLABORATORS_READY = "CollaboratorsReady"
    TRAINING = "Training"
    COMPLETED = Ending.COMPLETED.value
    # one collaborator in trouble; not terminal by itself
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
    ADDON_NOT_INSTALLED = "AddonNotInstalled"
    CERTIFICATE_PENDING = "CertificatePending"
    CERTIFICATE_DENIED = "CertificateDenied"
    CERTIFICATE_REVOKED = "CertificateRevoked"
    SITE_CONFIG_INVALID = "SiteConfigInvalid"
    APP_HASH_MISMATCH = Ending.APP_HASH_MISMATCH.value
    REPLY_REFUSED = "ReplyRefused"
    # terminal
    RUNTIME_NOT_SUPPORTED = "RuntimeNotSupported"
    LISTENER_NOT_SUPPORTED = "ListenerNotSupported"
    STORAGE_NOT_SUPPORTED = "StorageNotSupported"
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
    # what happens beside the phase
    CLUSTER_ADDED = "ClusterAdded"
    CLUSTER_REMOVED = "ClusterRemoved"
    ROUND_COMPLETED = "RoundCompleted"
    MODEL_STORED = "ModelStored"
    CLEANUP_INCOMPLETE = "CleanupIncomplete"
    FIELD_IGNORED = "FieldIgnored"
    WITHOUT_MODEL = "CompletedWithoutModel"
    # conditions of a run that goes on: what the app has made may not be what it should be
    MODEL_SUSPECT = Doubt.MODEL_SUSPECT.value
    MODEL_CHANGED = Doubt.MODEL_CHANGED.value
    NOT_AGGREGATED = Doubt.NOT_AGGREGATED.value


NOTICES = tuple(Reason(doubt.value) for doubt in Doubt)

# What a run may say of its progress while nothing is wrong; any other reason is a Warning.
CALM = frozenset(
    {
        Reason.SUSPENDED,
        Reason.NOT_ENOUGH_CLUSTERS,
        Reason.PLACEMENT_PENDING,
        Reason.ADDRESS_PENDING,
        Reason.AGGREGATOR_STARTING,
        Reason.COLLABORATORS_STARTING,
        Reason.TRAINING,
        Reason.COMPLETED,
        Reason.WITHOUT_MODEL,
    }
)

REMEDY: dict[str, str] = {
    Reason.SUSPENDED: "Set spec.suspend to false to go on.",
    Reason.NOT_ENOUGH_CLUSTERS: "Join or label clusters so that they qualify, or lower spec.server.minAvailableClients.",
    Reason.CLUSTER_SET_NOT_BOUND: "Create a ManagedClusterSetBinding for the set in the run's namespace.",
    Reason.IMAGE_PULL_FAILED: "Check the image's name, tag, registry and imagePullSecrets; on the local platform: `panal image build`.",
    Reason.DATA_NOT_FOUND: "Create the PersistentVolumeClaim in namespace panal-collaborator there, or correct the ClusterClaim.",
    Reason.DATA_LOCATION_INVALID: "Give the ClusterClaim the form pvc://CLAIM/sub/path or an absolute path.",
    Reason.UNSCHEDULABLE: "Free resources on the cluster's nodes, or change resources, nodeSelector or tolerations.",
    Reason.NO_REPLY: "Look at the cluster's connection to the hub, and at the collaborator's log there.",
    Reason.CRASHING: "Read the collaborator's log on that cluster.",
    Reason.WORK_NOT_APPLIED: "Check the work agent's permissions on that cluster.",
    Reason.WORK_REFUSED: "Look at the cluster's namespace on the hub: it may be going, or a quota or webhook may forbid the work.",
    Reason.POD_NOT_CREATED: "Look at the events of the Job or StatefulSet there: quota or pod security may forbid the Pod.",
    Reason.CONTAINER_CONFIG_INVALID: "Give the image a numeric USER other than root; Secrets and ConfigMaps in env must exist there.",
    Reason.CLUSTER_UNREACHABLE: "Check the cluster's connection to the hub.",
    Reason.ADDON_NOT_INSTALLED: "Have the Placement of the ClusterManagementAddOn fl-collaborator select the cluster.",
    Reason.CERTIFICATE_PENDING: "Look at the cluster's registration agent, and at `panal certs`.",
    Reason.CERTIFICATE_DENIED: "Look at the Events of ManagedClusterAddOn fl-collaborator in the cluster's namespace on the hub.",
    Reason.CERTIFICATE_REVOKED: "`panal certs restore CLUSTER` lets the cluster ask for a new one.",
    Reason.SITE_CONFIG_INVALID: "Correct the AddOnDeploymentConfig of that cluster.",
    Reason.APP_HASH_MISMATCH: "The hub sent another app than the run announced: find out who changed it before anything else.",
    Reason.REPLY_REFUSED: "Compare its app and data with the others'; `panal certs revoke CLUSTER` shuts it out.",
    Reason.RUNTIME_NOT_SUPPORTED: "Create the run again with a framework that is installed.",
    Reason.LISTENER_NOT_SUPPORTED: "Create the run again with a listener of type NodePort, LoadBalancer or ClusterIP.",
    Reason.STORAGE_NOT_SUPPORTED: "Create the run again with storage of type PersistentVolumeClaim.",
    Reason.INVALID_SPEC: "Correct the field and create the run again.",
    Reason.DATA_CLAIM_MISSING: "Name the ClusterClaim of the sites' data, or write None if the run needs none, and create it again.",
    Reason.OBJECT_REFUSED: "Correct what the message names; a run that has failed has to be created again.",
    Reason.PLACEMENT_MISCONFIGURED: "Correct spec.client.placement.",
    Reason.DEADLINE_EXCEEDED: "Raise spec.activeDeadlineSeconds and create the run again.",
    Reason.STOPPED: "Create a new run to train again.",
    Reason.QUORUM_NOT_REACHED: "Look at status.collaborators for what keeps them, or raise spec.server.quorumTimeoutSeconds.",
    Reason.QUORUM_LOST: "Look at status.collaborators for what failed, or lower spec.server.minAvailableClients.",
    Reason.ALL_COLLABORATORS_FAILED: "Read the log of a collaborator on its cluster; the text of exceptions stays there.",
    Reason.APP_INVALID: "Check that spec.server.image holds an app of the run's framework.",
    Reason.SERVER_APP_FAILED: "Read the log of the aggregator.",
    Reason.MODEL_MISSING: "Check that the app leaves a model, or set spec.result to Files or None.",
    Reason.MODEL_NOT_STORED: "Check the storage's free space and permissions.",
    Reason.AGGREGATOR_LOST: "Create the run again; the reason is in the events of the aggregator's Pod.",
    Reason.AGGREGATOR_FAILED: "Read the log of the aggregator.",
    Reason.NO_RESULT: "Look at status.collaborators for what failed, and at the log of the aggregator.",
    Reason.ARRAYS_NOT_STORABLE: "Keep such arrays as arrays of real numbers, or set spec.result to Files and have the app save its model.",
    Reason.MODEL_SUSPECT: "Do not use the model before this is explained; metrics of each round are in metadata.json beside it.",
    Reason.MODEL_CHANGED: "Convert the arrays in the app if the type matters to those who load the model.",
    Reason.NOT_AGGREGATED: "The app may need more collaborators than took part; read the log of the aggregator.",
    Reason.CLEANUP_INCOMPLETE: "When the cluster is back, its agent removes what is left (within an hour), or you do.",
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


def with_remedy(reason: str, message: str, remedies: Mapping[str, str] = NONE) -> str:
    """`message`, in which words of others may stand, then what to do about it, where there is something to do: what the runtime says in
    its `remedies`, else what is said here."""
    message = shown(message, LONGEST)
    remedy = remedies.get(reason) or REMEDY.get(reason)
    return f"{message.rstrip('.')}. {remedy}" if remedy else message
