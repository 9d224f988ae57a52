"""What an error of a bucket means for the person who wrote `spec.server.storage.s3`: the field, what is wrong, and what to do. Pure.

Services that are compatible with S3 have codes of their own beside Amazon's; those of the common ones are here.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from panal.api.text import shown

FIELD = "spec.server.storage.s3."
LONGEST = 200  # characters of a server's own words
THROTTLED, NOT_IMPLEMENTED = 429, 501
NO_SPACE = 507
RIGHTS = "s3:ListBucket on the bucket, and s3:GetObject, s3:PutObject, s3:DeleteObject and s3:AbortMultipartUpload on its objects"

# Codes by meaning:
BUCKET = frozenset({"NoSuchBucket", "InvalidBucketName"})
DENIED = frozenset({"AccessDenied", "AllAccessDisabled", "AccountProblem", "Forbidden", "403"})
CREDENTIALS = frozenset(
    {
        "InvalidAccessKeyId",
        "SignatureDoesNotMatch",
        "InvalidToken",
        "ExpiredToken",
        "InvalidSecurity",
        "UnrecognizedClientException",
        "XAdminUserNotFound",
    }
)
REGION = frozenset(
    {"PermanentRedirect", "AuthorizationHeaderMalformed", "IncorrectEndpoint", "IllegalLocationConstraintException", "InvalidRegion", "301"}
)
NAME = frozenset({"KeyTooLongError", "KeyTooLong", "XMinioInvalidObjectName"})
CLASH = frozenset({"ExistingObjectIsDirectory", "ObjectParentIsFile", "XMinioParentIsObject", "XMinioObjectExistsAsDirectory"})
SPACE = frozenset({"QuotaExceeded", "XMinioStorageFull", "XMinioAdminBucketQuotaExceeded", "InsufficientStorage", "StorageFull"})
PASSING = frozenset(
    {
        "BadDigest", "IncompleteBody", "InternalError", "OperationAborted", "RequestTimeout", "RequestTimeoutException",
        "ServiceUnavailable", "SlowDown", "Throttling", "ThrottlingException", "TooManyRequests", "XAmzContentSHA256Mismatch",
    }
)  # fmt: skip


class StorageError(Exception):
    """The storage cannot be used. The message names the field and what to do."""


@dataclass(frozen=True, slots=True)
class Address:
    """Of a bucket. `authorities`: the file with those that the endpoint's certificate is checked against, and `bundle` what it comes from;
    both empty for the public ones. `secret`: the Secret with the credentials; empty for the Pod's identity."""

    bucket: str
    region: str = "us-east-1"
    endpoint: str = ""
    path_style: bool = False
    authorities: str = ""
    bundle: str = ""
    secret: str = ""

    @classmethod
    def read(cls, env: Mapping[str, str]) -> Address | None:
        """None if the run is not stored in a bucket."""
        if not env.get("PANAL_STORAGE_S3"):
            return None
        found: dict[str, Any] = json.loads(env["PANAL_STORAGE_S3"])
        return cls(path_style=found.pop("pathStyle"), authorities=env.get("PANAL_STORAGE_AUTHORITIES", ""), **found)

    @property
    def service(self) -> str:
        return self.endpoint or "Amazon S3"

    @property
    def who(self) -> str:
        return f"the credentials in Secret {self.secret}" if self.secret else "the Pod's own identity"


@dataclass(frozen=True, slots=True)
class Answer:
    """What a server answered to an operation such as PutObject. `region`: where the bucket is, if the server says so."""

    operation: str
    status: int
    code: str
    message: str = ""
    region: str = ""


@dataclass(frozen=True, slots=True)
class Problem:
    """`passing`: it may be over after a while."""

    message: str
    passing: bool = False


def refused(answer: Answer, address: Address) -> Problem:
    """The problem behind an answer that is an error."""
    said = f"{answer.operation} answers {answer.code}" + (f": {shown(answer.message, LONGEST)}" if answer.message else "")
    if answer.code in SPACE or answer.status == NO_SPACE:
        return Problem(
            f"{FIELD}bucketName: bucket {address.bucket} at {address.service} has no space left; free some ({said})", passing=True
        )
    if known := _known(answer, address):
        return Problem(f"{FIELD}{known} ({said})")
    passing = answer.code in PASSING or answer.status == THROTTLED or (answer.status >= 500 and answer.status != NOT_IMPLEMENTED)
    return Problem(f"{FIELD}endpoint: {address.service}: {said}", passing)


def _known(answer: Answer, address: Address) -> str:
    """Field, problem and remedy."""
    code, bucket, service = answer.code, address.bucket, address.service
    if code in BUCKET or (code == "404" and answer.operation == "HeadBucket"):
        return f"bucketName: there is no bucket {bucket} at {service}; create it, or correct the name"
    if code in CREDENTIALS:
        return f"secretName: {service} does not accept {address.who}; correct AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
    if code in DENIED:
        return f"secretName: {address.who} may not use bucket {bucket}; allow {RIGHTS}"
    if code in REGION:
        other = f"; it is in {shown(answer.region, LONGEST)}" if answer.region else ""
        return f"region: bucket {bucket} is not in region {address.region}{other}; set the bucket's region"
    if code in NAME:
        return "prefix: the names of the run's files become too long; shorten it"
    if code in CLASH:
        return "prefix: an object in the bucket has the name of a folder of the run, or the other way round; choose another prefix"
    if code == "RequestTimeTooSkewed":
        return f"endpoint: the clock of the aggregator's node differs from that of {service}; set it"
    return ""


def unreachable(why: str, address: Address, *, passing: bool = True) -> Problem:
    return Problem(f"{FIELD}endpoint: {address.service} cannot be reached: {shown(why, LONGEST)}", passing)


def untrusted(why: str, address: Address) -> Problem:
    against = address.bundle or "the public authorities"
    return Problem(
        f"{FIELD}caBundle: the certificate of {address.service} is not trusted ({shown(why, LONGEST)}); it is checked against {against}: "
        "give the authority that signed it"
    )


def no_authorities(address: Address) -> Problem:
    return Problem(f"{FIELD}caBundle: there is no {address.bundle} with certificates in PEM in the run's namespace; create it")


def no_credentials(address: Address, why: str = "") -> Problem:
    if address.secret:
        return Problem(f"{FIELD}secretName: Secret {address.secret} has no AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY; add them")
    detail = f" ({shown(why, LONGEST)})" if why else ""
    return Problem(f"{FIELD}secretName: not set, and the cloud gives the Pod no identity{detail}; name a Secret with credentials")
