"""The exceptions of `panal.kube`. Each has its cause chained.

KubeError
├── ConfigError            no usable kubeconfig or service account
├── UnknownKind            a kind that is not in panal.kube.kinds
├── Interrupted            some of many writes were done, then the API server was unavailable: go on soon
├── LeadershipLost         another process holds the leader lease, or it could not be renewed in time
└── ApiError               the API server refused the request, or did not answer
    ├── Invalid            400, 422: the object is invalid
    ├── Unauthorized       401
    ├── Forbidden          403
    ├── NotFound           404: the object or its kind does not exist
    ├── Conflict           409: another client has changed the object
    │   └── AlreadyExists
    ├── Gone               410: the resourceVersion has expired: list again
    ├── TooManyRequests    429
    └── Unavailable        5xx, network, timeout: a write may have succeeded
"""

# ruff: noqa: N818 - the names say what happened without the suffix Error

from __future__ import annotations

from typing import Any

from panal.api.text import shown


class KubeError(Exception):
    """The base class. `retry_after`: the delay in seconds that an API server asks for."""

    retry_after: float | None = None


class ConfigError(KubeError):
    """No usable kubeconfig or service account. The message names what was tried."""


class UnknownKind(KubeError):
    pass


class Interrupted(KubeError):
    pass


class LeadershipLost(KubeError):
    pass


class ApiError(KubeError):
    """`status` is the HTTP status code (0: no response); `reason` and `message` are from the API server; `retry_after` is in seconds."""

    def __init__(self, status: int, reason: str, message: str, retry_after: float | None = None) -> None:
        super().__init__(f"{status or 'no response'} {reason}: {message}")
        self.status = status
        self.reason = reason
        self.message = message
        self.retry_after = retry_after


class Invalid(ApiError):
    pass


class Unauthorized(ApiError):
    pass


class Forbidden(ApiError):
    pass


class NotFound(ApiError):
    pass


class Conflict(ApiError):
    pass


class AlreadyExists(Conflict):
    pass


class Gone(ApiError):
    pass


class TooManyRequests(ApiError):
    pass


class Unavailable(ApiError):
    pass


_BY_STATUS: dict[int, type[ApiError]] = {
    400: Invalid,
    401: Unauthorized,
    403: Forbidden,
    404: NotFound,
    409: Conflict,
    410: Gone,
    422: Invalid,
    429: TooManyRequests,
}
_UNTYPED = "failed to create typed patch object"
_TRANSIENT = (Unauthorized, Conflict, Gone, TooManyRequests, Unavailable)


def transient(error: BaseException) -> bool:
    """Whether the same request may succeed later without a correction.

    401 counts, since tokens rotate; AlreadyExists does not. 403 does not count either: permissions and quotas can change, so the controller
    retries it, but reports it.
    """
    return isinstance(error, _TRANSIENT) and not isinstance(error, AlreadyExists)


def from_status(code: int, status: dict[str, Any], retry_after: float | None = None) -> ApiError:
    """The exception for an HTTP status code (or that of a watch's ERROR event) and its Status object."""
    reason = str(status.get("reason") or "")
    message = shown(str(status.get("message") or "no message"))  # a webhook, a proxy or a kubelet may have written it
    return _class_of(code, reason, status)(code, reason or f"HTTP{code}", message, retry_after)


def _class_of(code: int, reason: str, status: dict[str, Any]) -> type[ApiError]:
    if reason == "AlreadyExists":
        return AlreadyExists
    causes = (status.get("details") or {}).get("causes") or ()
    if any(cause.get("reason") == "ResourceVersionTooLarge" for cause in causes):
        return Gone  # a version that existed before the server's store was restored
    if code == 500 and _UNTYPED in str(status.get("message")):
        return Invalid  # an unknown field of an object that is applied
    if code >= 500:
        return Unavailable
    return _BY_STATUS.get(code, ApiError)
