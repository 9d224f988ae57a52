"""Everything that leaves `panal.kube` as an exception; what caused it is chained.

KubeError
├── ConfigError            no usable kubeconfig or service account
├── UnknownKind            an object of a kind that panal does not know
├── LeadershipLost         the leader lease is another's, or could not be renewed in time
└── ApiError               the API server said no, or nothing
    ├── Invalid            400, 422: the object is wrong
    ├── Unauthorized       401
    ├── Forbidden          403
    ├── NotFound           404: the object, or its whole kind
    ├── Conflict           409: somebody else was faster
    │   └── AlreadyExists
    ├── Gone               410: the resourceVersion is not known (any more): list again
    ├── TooManyRequests    429
    └── Unavailable        5xx, network, time-out: whether a write happened is not known
"""

# ruff: noqa: N818 - the names say what happened; "Error" after each would say nothing more

from __future__ import annotations

from typing import Any

from panal.api.text import shown


class KubeError(Exception):
    """Base of all."""


class ConfigError(KubeError):
    """The message says what was looked for, and where."""


class UnknownKind(KubeError):
    pass


class LeadershipLost(KubeError):
    pass


class ApiError(KubeError):
    """`status` is the HTTP code (0: there was no answer), `reason` and `message` are the API server's; `retry_after` is in seconds."""

    def __init__(self, status: int, reason: str, message: str, retry_after: float | None = None) -> None:
        super().__init__(f"{status or 'no answer'} {reason}: {message}")
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
_TRANSIENT = (Unauthorized, Conflict, Gone, TooManyRequests, Unavailable)


def transient(error: BaseException) -> bool:
    """Whether the same request may succeed later although nobody corrects anything.

    401 counts, since tokens rotate; AlreadyExists does not. 403 is left to the caller: the controller retries it as well,
    for permissions and quotas change, but it is worth telling.
    """
    return isinstance(error, _TRANSIENT) and not isinstance(error, AlreadyExists)


def from_status(code: int, status: dict[str, Any], retry_after: float | None = None) -> ApiError:
    """The error for an HTTP code (or that of a watch's ERROR event) and the Status object that came with it."""
    reason = str(status.get("reason") or "")
    message = shown(str(status.get("message") or "no message"))  # a webhook, a proxy or a kubelet may have written it
    return _class_of(code, reason, status)(code, reason or f"HTTP{code}", message, retry_after)


def _class_of(code: int, reason: str, status: dict[str, Any]) -> type[ApiError]:
    if reason == "AlreadyExists":
        return AlreadyExists
    causes = (status.get("details") or {}).get("causes") or ()
    if any(cause.get("reason") == "ResourceVersionTooLarge" for cause in causes):
        return Gone  # a version from before the server's store was restored: it will not come back
    if code >= 500:
        return Unavailable
    return _BY_STATUS.get(code, ApiError)
