"""Codes and limits of the data that flows from a Pod to the hub, declared once for both sides.

Programs in users' images write the codes to records, termination messages and error replies; the reporter forwards them, and the controller
reads them (`panal.lifecycle`). This module has no dependencies, so all of panal may import it.
"""

from __future__ import annotations

import json
import re
from enum import Enum
from typing import Literal

MAX_COUNT = 2**63 - 1  # the maximum of spec.server.rounds
MAX_METRICS = 16  # of a round, and of a cluster in it
MAX_METRIC_NAME = 200  # characters
MAX_CODE = 64  # characters of a code, such as the name of an exception's class
MAX_TEXT = 500  # characters of a text from a site or an app
MAX_TERMINATION = 4096  # bytes of a termination message; the kubelet truncates longer ones, which breaks the JSON
CLUSTER = r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?"
DIGEST = r"[0-9a-f]{64}"  # SHA-256
FUNCTION = r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*"  # module:function, in ASCII

# Phases of a round, the same for every runtime. Sites contribute to the round in TRAIN and QUERY. END completes it.
# A runtime may define others that match PHASE.
TRAIN, QUERY, END = "train", "query", "end"
PHASE = r"[a-z][a-z0-9-]{0,31}"
# Messages of secure aggregation in Flower, in the order of its steps; the third step is a training.
SECURE_KEYS, SECURE_SHARES, SECURE_SURVIVORS, SECURE_UNMASK = SECURE_STEPS = (
    "query.panal_keys",
    "query.panal_shares",
    "query.panal_survivors",
    "query.panal_unmask",
)
CODE = r"[A-Z][A-Za-z0-9]{0,63}"  # of a termination message, or of a record that ends the run

NotFinite = Literal["NaN", "Infinity", "-Infinity"]  # JSON has no such numbers


class Code(str, Enum):
    """`enum.StrEnum` for Python 3.10."""

    __str__ = str.__str__
    __hash__ = str.__hash__


class Ending(Code):
    """Why a program of a Pod ends, or ends the run: a reason of `panal.lifecycle.reasons`. A runtime may define further ones in
    `panal.pod.tools.NAME.codes`."""

    COMPLETED = "Completed"
    APP_INVALID = "AppInvalid"
    INVALID_SPEC = "InvalidSpec"
    APP_HASH_MISMATCH = "AppHashMismatch"
    DATA_NOT_FOUND = "DataNotFound"
    QUORUM_NOT_REACHED = "QuorumNotReached"
    QUORUM_LOST = "QuorumLost"
    ALL_COLLABORATORS_FAILED = "AllCollaboratorsFailed"
    SERVER_APP_FAILED = "ServerAppFailed"
    NO_RESULT = "NoResult"
    ARRAYS_NOT_STORABLE = "ArraysNotStorable"
    MODEL_MISSING = "ModelMissing"
    MODEL_NOT_STORED = "ModelNotStored"
    AGGREGATOR_LOST = "AggregatorLost"
    AGGREGATOR_FAILED = "AggregatorFailed"
    STATE_LOST = "StateLost"
    INITIAL_MODEL_UNUSABLE = "InitialModelUnusable"
    INITIAL_MODEL_DIFFERS = "InitialModelDiffers"


FAILURES: frozenset[str] = frozenset(Ending) - {Ending.COMPLETED}


class Doubt(Code):
    """A problem that does not end the run. Each is a kind of notice, and a condition of the run."""

    MODEL_SUSPECT = "ModelSuspect"
    MODEL_CHANGED = "ModelChanged"
    NOT_AGGREGATED = "NotAggregated"
    NOT_RESUMABLE = "NotResumable"
    CHECKPOINT_FAILED = "CheckpointFailed"
    TRACKING_FAILED = "TrackingFailed"
    PRIVACY_SPENT = "PrivacySpent"


class Unanswered(Code):
    """Why a cluster sent no reply."""

    NO_REPLY = "NoReply"
    LATE = "Late"  # the phase ended with the others' replies (spec.server.stragglerGraceSeconds)
    MESSAGE_UNAVAILABLE = "MessageUnavailable"
    REPLY_UNAVAILABLE = "ReplyUnavailable"
    NODE_UNAVAILABLE = "NodeUnavailable"
    NOT_CONNECTED = "NotConnected"  # a participant that was not there when an evaluation began


class Withheld(Code):
    """Why a site withholds a reply."""

    TOO_FEW_EXAMPLES = "TooFewExamples"
    SITE_POLICY_INVALID = "SitePolicyInvalid"
    UPDATE_NOT_PROTECTED = "UpdateNotProtected"  # it cannot be clipped and noised (spec.privacy)
    UPDATE_NOT_FINITE = "UpdateNotFinite"
    REPLY_NOT_PROTECTED = "ReplyNotProtected"  # of a kind that spec.privacy does not cover
    PRIVACY_SPENT = "PrivacySpent"
    UPDATE_NOT_MASKED = "UpdateNotMasked"  # secure aggregation has not prepared it, or a step of it is refused
    UPDATE_OUT_OF_RANGE = "UpdateOutOfRange"  # a number is too large for secure aggregation
    WEIGHT_INVALID = "WeightInvalid"


COHORT = frozenset({Withheld.TOO_FEW_EXAMPLES, Withheld.SITE_POLICY_INVALID})  # the others are of spec.privacy


class Refused(Code):
    """Why the aggregator refuses a cluster's reply."""

    REPLY_INCOMPLETE = "ReplyIncomplete"
    REPLY_INVALID = "ReplyInvalid"
    REPLY_TOO_LARGE = "ReplyTooLarge"
    ARRAYS_DIFFER = "ArraysDiffer"
    METRICS_DIFFER = "MetricsDiffer"
    VALUES_DIFFER = "ValuesDiffer"
    NOT_FINITE = "NotFinite"
    WEIGHT_INVALID = "WeightInvalid"
    NOT_UNMASKED = "NotUnmasked"  # secure aggregation could not take the masks off the sum
    SHARES_INVALID = "SharesInvalid"  # which a site has given to the others for secure aggregation
    UPDATE_TOO_LARGE = "UpdateTooLarge"  # its norm is beyond spec.server.replies.largestUpdateNorm


class Result(Code):
    """What a completed run produced."""

    MODEL = "Model"
    FILES = "Files"
    METRICS = "Metrics"


def termination(reason: str, message: str) -> bytes:
    """A container's termination message: JSON in UTF-8."""
    return json.dumps({"reason": reason, "message": message}, ensure_ascii=False).encode()


def read_termination(text: str) -> tuple[str, str] | None:
    """Reason and message of a termination message; None for any other text, which may come from user code."""
    try:
        record = json.loads(text)
        return (record["reason"], str(record["message"])) if re.fullmatch(CODE, record["reason"]) else None
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
