"""The SitePolicy that is in force, and what it says about a Pod."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pydantic import ValidationError

from panal.api import names
from panal.api.text import shown
from panal.site.codes import SENTENCES, Code
from panal.site.decide import NOTHING, Decision, Left, Verdict, decide, told
from panal.site.policy import SitePolicySpec
from panal.site.request import Asked, NotRecognizedError, asked

Object = Mapping[str, Any]
LONGEST = 500  # characters of what is wrong with a policy
STATUS = {Verdict.ALLOWED: "True", Verdict.REFUSED: "False", Verdict.WAITS: "Unknown"}
ALLOWED = "Allowed"  # the reason of the condition of a Pod that may run


@dataclass(frozen=True, slots=True)
class InForce:
    """`spec` is None without a policy, and for one that is not valid: then `problem` says why."""

    spec: SitePolicySpec | None = None
    generation: int = 0
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Judgement:
    """`asked` is None for a Pod that is not recognized."""

    asked: Asked | None
    decision: Decision


def in_force(policy: Object | None) -> InForce:
    """Of the stored SitePolicy, or None."""
    if policy is None:
        return InForce()
    generation = int(policy["metadata"].get("generation") or 0)
    try:
        return InForce(SitePolicySpec.model_validate(policy.get("spec") or {}), generation)
    except ValidationError as error:
        found = error.errors()[0]
        where = ".".join(["spec", *map(str, found["loc"])])
        return InForce(None, generation, shown(f"{where}: {found['msg']}", LONGEST))


def request_of(pod: Object) -> Asked | NotRecognizedError:
    try:
        return asked(pod)
    except NotRecognizedError as error:
        return error
    except (KeyError, TypeError, ValueError, AttributeError, IndexError, RecursionError):
        return NotRecognizedError("the Pod is not as in a collaborator of panal")


def judged(policy: InForce, request: Asked, now: datetime, left: Left = NOTHING, unable: str = "") -> Decision:
    """`unable`: why nothing can be recorded; without a record nothing is allowed."""
    if unable:
        return Decision(Code.LEDGER_UNAVAILABLE, unable)
    if policy.problem:
        return Decision(Code.POLICY_INVALID, policy.problem)
    return decide(policy.spec, request, now, left)


def judgement(policy: InForce, request: Asked | NotRecognizedError, now: datetime, left: Left = NOTHING, unable: str = "") -> Judgement:
    if isinstance(request, NotRecognizedError):
        return Judgement(None, Decision(Code.POD_NOT_RECOGNIZED, str(request)))
    return Judgement(request, judged(policy, request, now, left, unable))


def condition(policy: InForce, decision: Decision) -> dict[str, str]:
    """What the hub is told: type, status, reason and message of a Pod's condition."""
    if decision.code is None:
        reason, message = ALLOWED, ""
    else:
        code = told(policy.spec, decision.code)
        reason, message = code.value, SENTENCES[code]
    return {"type": names.SITE_GATE, "status": STATUS[decision.verdict], "reason": reason, "message": message}


def gated(pod: Object) -> bool:
    return any(gate["name"] == names.SITE_GATE for gate in pod["spec"].get("schedulingGates") or ())
