"""CertificateSigningRequests: the server records the requestor, the spec is immutable, and approval is a subresource."""

from __future__ import annotations

from typing import Any

from panal.kube.times import now_utc, to_time
from panal_local.apiserver.identity import User

Object = dict[str, Any]
DECISIONS = ("Approved", "Denied")


def fill(csr: Object, user: User, old: Object | None) -> None:
    for condition in conditions(csr):
        for name in ("lastUpdateTime", "lastTransitionTime"):
            condition[name] = condition.get(name) or to_time(now_utc())
    if old:
        csr["spec"] = old["spec"]
        return
    csr["spec"].pop("extra", None)
    csr["spec"] |= {"username": user.name, "uid": user.uid, "groups": list(user.groups)}


def conditions(csr: Object) -> list[Object]:
    """The well-formed conditions; the schema refuses others."""
    status = csr.get("status")
    found = status.get("conditions") if isinstance(status, dict) else None
    return [c for c in found if isinstance(c, dict)] if isinstance(found, list) else []


def approved(csr: Object, old: Object) -> Object:
    """The object after a write to the subresource `approval`, which changes only the conditions Approved and Denied."""
    mine = [c for c in conditions(csr) if c.get("type") in DECISIONS]
    rest = [c for c in conditions(old) if c.get("type") not in DECISIONS]
    return {**old, "status": {**(old.get("status") or {}), "conditions": [*rest, *mine]}}
