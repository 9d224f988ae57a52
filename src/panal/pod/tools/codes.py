"""Codes and limits of what flows from a Pod to the hub, declared once for both sides.

Programs in users' images write the codes into `records`, termination messages and errors of replies. The reporter passes them on, and the
controller reads them (`panal.lifecycle`). This module imports nothing of panal's and needs Python 3.10 alone; so it is the one of this
folder that all of panal may import.
"""

from __future__ import annotations

import json
import re
from enum import Enum
from typing import Literal

MAX_COUNT = 2**63 - 1  # as many rounds as spec.server.rounds may ask for
MAX_METRICS = 16  # of a round, and of a cluster in it
MAX_METRIC_NAME = 200  # characters
MAX_CODE = 64  # characters of a code, such as the name of an exception's class
MAX_TEXT = 500  # characters of what a site or an app says
MAX_TERMINATION = 4096  # bytes of a termination message: the kubelet cuts what is longer, and half a JSON object cannot be read
CLUSTER = r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?"
DIGEST = r"[0-9a-f]{64}"  # SHA-256

# Phases of a round. A runtime gives its phases names of its own (PHASE), but for those that count for every run: in TRAIN and QUERY sites
# contribute to the round, with END it is complete.
TRAIN, QUERY, END = "train", "query", "end"
PHASE = r"[a-z][a-z0-9-]{0,31}"
CODE = r"[A-Z][A-Za-z0-9]{0,63}"  # of a termination message, or of a record that ends the run

NotFinite = Literal["NaN", "Infinity", "-Infinity"]  # what JSON has no number for


class Word(str, Enum):
    """A code for programs. It is its value in every respect, as `enum.StrEnum` of Python 3.11 is."""

    __str__ = str.__str__
    __hash__ = str.__hash__


class Ending(Word):
    """Why a program of a Pod ends, or ends the run: a reason of `panal.lifecycle.reasons`. A runtime may have further codes of its own,
    beside this (`panal.pod.tools.NAME.codes`)."""

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


class Doubt(Word):
    """What a person should know of a run that goes on: the kinds of notices, each a condition of the run."""

    MODEL_SUSPECT = "ModelSuspect"
    MODEL_CHANGED = "ModelChanged"
    NOT_AGGREGATED = "NotAggregated"


class Unanswered(Word):
    """Why a cluster sent no reply: no collaborator was there to send one."""

    NO_REPLY = "NoReply"
    MESSAGE_UNAVAILABLE = "MessageUnavailable"
    REPLY_UNAVAILABLE = "ReplyUnavailable"
    NODE_UNAVAILABLE = "NodeUnavailable"


class Refused(Word):
    """Why a cluster's reply does not count, in the aggregator's own words."""

    REPLY_INCOMPLETE = "ReplyIncomplete"
    REPLY_INVALID = "ReplyInvalid"
    REPLY_TOO_LARGE = "ReplyTooLarge"
    ARRAYS_DIFFER = "ArraysDiffer"
    METRICS_DIFFER = "MetricsDiffer"
    VALUES_DIFFER = "ValuesDiffer"
    NOT_FINITE = "NotFinite"
    WEIGHT_INVALID = "WeightInvalid"


class Result(Word):
    """What a run has ended with."""

    MODEL = "Model"
    FILES = "Files"
    METRICS = "Metrics"


def termination(reason: str, message: str) -> bytes:
    """A container's termination message."""
    return json.dumps({"reason": reason, "message": message}, ensure_ascii=False).encode()


def read_termination(text: str) -> tuple[str, str] | None:
    """None for any text of another form, which may be of user code."""
    try:
        record = json.loads(text)
        return (record["reason"], str(record["message"])) if re.fullmatch(CODE, record["reason"]) else None
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
