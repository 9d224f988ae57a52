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
    PRIVACY_TOO_WEAK = "PrivacyTooWeak"
    PRIVACY_BUDGET_SPENT = "PrivacyBudgetSpent"
    SECURE_AGGREGATION_REQUIRED = "SecureAggregationRequired"
    TOO_FEW_CLUSTERS = "MinimumClustersTooLow"
    TOO_FEW_EXAMPLES = "MinimumExamplesTooLow"
    ROUNDS_EXHAUSTED = "RoundsExhausted"
    BYTES_EXHAUSTED = "BytesExhausted"
    MESSAGE_NOT_RECOGNIZED = "MessageNotRecognized"
    REFUSED_BY_OWNER = "RefusedByOwner"
    LIMITS_NOT_SUPPORTED = "LimitsNotSupported"
    # waits
    SUSPENDED = "SiteSuspended"
    APPROVAL_REQUIRED = "ApprovalRequired"
    OUTSIDE_HOURS = "OutsideHours"
    LEDGER_UNAVAILABLE = "LedgerUnavailable"
    TOO_MANY_PODS = "TooManyPods"
    # what the hub is told in place of any of them, if the owner discloses nothing
    UNDISCLOSED = "Undisclosed"


WAITS = frozenset({Code.SUSPENDED, Code.APPROVAL_REQUIRED, Code.OUTSIDE_HOURS, Code.LEDGER_UNAVAILABLE, Code.TOO_MANY_PODS})


SENTENCES = {
    Code.NO_SITE_POLICY: "The site has no policy.",
    Code.POLICY_INVALID: "The site's policy is not valid.",
    Code.POD_NOT_RECOGNIZED: "The Pod is not as panal makes it.",
    Code.PANAL_IMAGE_NOT_ALLOWED: "The site does not allow these images of panal.",
    Code.IMAGE_NOT_ALLOWED: "The site does not allow the run's image.",
    Code.APP_NOT_ALLOWED: "The site does not allow the run's app.",
    Code.DATA_NOT_ALLOWED: "The site does not allow the data.",
    Code.SECRET_NOT_ALLOWED: "The site does not allow a Secret that the run reads.",
    Code.NAMESPACE_NOT_ALLOWED: "The site does not allow runs of this namespace.",
    Code.REQUESTER_NOT_ALLOWED: "The site does not allow runs of this requester.",
    Code.PURPOSE_NOT_ALLOWED: "The site does not allow this purpose.",
    Code.TOO_FEW_CLUSTERS: "The site demands a greater minimum of clusters.",
    Code.TOO_FEW_EXAMPLES: "The site demands a greater minimum of examples.",
    Code.ROUNDS_EXHAUSTED: "The site gives this run no more replies.",
    Code.BYTES_EXHAUSTED: "The site gives this run no more bytes.",
    Code.MESSAGE_NOT_RECOGNIZED: "The site does not recognize a message of this run.",
    Code.REFUSED_BY_OWNER: "The site's owner has refused the run.",
    Code.PRIVACY_TOO_WEAK: "The site requires more noise in the updates.",
    Code.PRIVACY_BUDGET_SPENT: "The site's privacy budget for the data is spent, or too small for the run.",
    Code.SECURE_AGGREGATION_REQUIRED: "The site requires secure aggregation (spec.privacy.secureAggregation).",
    Code.LIMITS_NOT_SUPPORTED: "The site has limits that it can only keep for Flower.",
    Code.SUSPENDED: "The site's owner has stopped everything.",
    Code.APPROVAL_REQUIRED: "The site's owner has not approved the run yet.",
    Code.OUTSIDE_HOURS: "Runs may not work at the site at this hour.",
    Code.LEDGER_UNAVAILABLE: "The site cannot write its ledger.",
    Code.TOO_MANY_PODS: "Too many Pods that are not allowed are at the site already.",
    Code.UNDISCLOSED: "",
}
