"""Why a site refuses a run, or lets it wait. A code says what kind of condition does not hold, and nothing of the policy's content."""

from __future__ import annotations

from enum import StrEnum


class Code(StrEnum):
    # refused
    NO_SITE_POLICY = "NoSitePolicy"
    POLICY_INVALID = "SitePolicyInvalid"
    POD_NOT_RECOGNIZED = "PodNotRecognized"
    PANAL_IMAGE_NOT_ALLOWED = "PanalImageNotAllowed"
    IMAGE_NOT_ALLOWED = "ImageNotAllowed"
    APP_NOT_ALLOWED = "AppNotAllowed"
    DATA_NOT_ALLOWED = "DataNotAllowed"
    SECRET_NOT_ALLOWED = "SecretNotAllowed"
    NAMESPACE_NOT_ALLOWED = "NamespaceNotAllowed"
    REQUESTER_NOT_ALLOWED = "RequesterNotAllowed"
    PURPOSE_NOT_ALLOWED = "PurposeNotAllowed"
    TOO_FEW_EXAMPLES = "MinimumExamplesTooLow"
    ROUNDS_EXHAUSTED = "RoundsExhausted"
    BYTES_EXHAUSTED = "BytesExhausted"
    MESSAGE_NOT_RECOGNIZED = "MessageNotRecognized"
    REFUSED_BY_OWNER = "RefusedByOwner"
    # waits
    SUSPENDED = "SiteSuspended"
    APPROVAL_REQUIRED = "ApprovalRequired"
    OUTSIDE_HOURS = "OutsideHours"
    # what the hub is told in place of any of them, if the owner discloses nothing
    UNDISCLOSED = "Undisclosed"


WAITS = frozenset({Code.SUSPENDED, Code.APPROVAL_REQUIRED, Code.OUTSIDE_HOURS})
