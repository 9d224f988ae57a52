"""Reviews: who am I, and may I? There is no RBAC here: whoever has a token may do everything."""

from __future__ import annotations

from typing import Any

from panal_local.apiserver.defaults import User
from panal_local.apiserver.discovery import REVIEWS
from panal_local.apiserver.errors import StatusError
from panal_local.apiserver.identity import Identity

Object = dict[str, Any]
ALLOWED = {"allowed": True, "reason": "the local platform has no RBAC: every authenticated user may do everything"}


def is_review(group: str, version: str, plural: str) -> bool:
    return any(plural == p for p, _, _ in REVIEWS.get((group, version), ()))


def answer(kind: str, body: Object, user: User, identity: Identity) -> Object:
    return {**body, "status": _status(kind, body, user, identity), "metadata": {"creationTimestamp": None}}


def _status(plural: str, body: Object, user: User, identity: Identity) -> Object:
    if plural == "selfsubjectreviews":
        return {"userInfo": info(user)}
    if plural == "tokenreviews":
        spec = body.get("spec")
        token = str(spec.get("token", "")) if isinstance(spec, dict) else ""
        try:
            return {"authenticated": True, "user": info(identity.user(f"Bearer {token}"))}
        except StatusError:
            return {"authenticated": False, "error": "the token is not known", "user": {}}
    if plural == "selfsubjectrulesreviews":
        rules = [{"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}]
        return {"resourceRules": rules, "nonResourceRules": [{"verbs": ["*"], "nonResourceURLs": ["*"]}], "incomplete": False}
    return ALLOWED


def info(user: User) -> Object:
    found = {"username": user.name, "uid": user.uid, "groups": list(user.groups), "extra": {k: list(v) for k, v in user.extra}}
    return {k: v for k, v in found.items() if v}
