"""`panal site`: what runs at this site, and the owner's decisions. What has been decided is the site controller's word, from its ledger."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from panal.api.figures import amount
from panal.cli import output
from panal.cli.run import done
from panal.client import site
from panal.client.access import Access
from panal.client.problem import Code, Problem
from panal.client.site import Here, Site
from panal.kube.times import to_time
from panal.site.accounts import EXHAUSTED
from panal.site.codes import Code as Why
from panal.site.decide import Verdict
from panal.site.in_force import ALLOWED, STATUS
from panal.site.policy import SiteRule
from panal.site.report import STOPPED

WAITING: dict[str, str] = {Why.APPROVAL_REQUIRED: "Waits for you", Why.SUSPENDED: "Suspended"}
VERDICTS = {status: verdict.value for verdict, status in STATUS.items()}
DECIDED_ANYWAY = (Why.REFUSED_BY_OWNER, Why.POLICY_INVALID, Why.LEDGER_UNAVAILABLE)  # a refusal changes none of these
ANYWAY = "`panal site stop` and `panal site resume` work all the same."


def status(access: Access, as_json: bool) -> Code:
    async def work() -> Code:
        async with access.open() as client:
            found = await site.read(client)
        if as_json:
            output.as_json(_content(found))
            return Code.OK
        _print(found)
        return Code.OK

    return done(work(), access)


def _content(found: Site) -> dict[str, Any]:
    spec = found.policy.model_dump(mode="json", by_alias=True, exclude_none=True) if found.policy else None
    pods = [_pod(each) for each in found.pods]
    return {
        "ready": found.ready,
        "problem": found.problem,
        "ledger": found.unread,
        "policy": spec,
        "privacyBudgets": found.budgets,
        "pods": pods,
    }


def _pod(here: Here) -> dict[str, Any]:
    return {
        "pod": here.pod,
        "since": to_time(here.since),
        "state": state(here),
        "told": here.told,
        "verdict": here.verdict,
        "code": here.code,
        "why": here.text,
        "rule": here.rule,
        "rounds": here.rounds,
        "bytes": here.bytes,
        **({"asked": dict(here.asked)} if here.asked else {}),
    }


def _print(found: Site) -> None:
    if not found.ready:
        output.warn("the site controller is not ready: no run can start here, and those that run cannot send anything")
    if found.unread:
        output.warn(f"what the site controller has decided, and what has left, is not known: {found.unread}")
    if found.problem:
        output.warn(found.problem)
    elif found.policy:
        rules = ", ".join(rule.name for rule in found.policy.rules) or "none, so nothing may run here"
        output.line(f"policy: {'suspended, ' if found.policy.suspend else ''}rules {rules}")
    _print_budgets(found)
    if not found.pods:
        output.line("no run is here")
        return
    output.line("")
    rules_by_name = {rule.name: rule for rule in found.policy.rules} if found.policy else {}
    rows = [_row(here, rules_by_name.get(here.rule)) for here in found.pods]
    output.columns(("REQUEST", "RUN", "STATE", "AGE", "DATA", "IMAGE", "ROUNDS", "LEFT", "WHY"), rows)
    if any(row[2] == WAITING[Why.APPROVAL_REQUIRED] for row in rows):
        output.line("")
        output.line("Decide with `panal site approve REQUEST` or `panal site refuse REQUEST`.")


def _print_budgets(found: Site) -> None:
    if not found.policy or not found.policy.privacy_budgets or found.budgets is None:
        return
    output.line("")
    output.columns(("PRIVACY BUDGET", "SPENT ε", "RESERVED", "LIMIT", "δ", "UPDATES"), [_budget(each) for each in found.budgets])
    for each in found.budgets:
        if each["unprotected"]:
            where = f"updates about {each['data']} without noise: {each['unprotected']}"
            output.warn(f"{where} have left the site; no ε tells what they say, and nothing is spent for them")


def _budget(found: Mapping[str, Any]) -> tuple[str, ...]:
    return str(found["data"]), *(f"{found[name]:g}" for name in ("spent", "reserved", "limit", "delta")), str(found["updates"])


def _row(here: Here, rule: SiteRule | None) -> tuple[str, ...]:
    """`rule`: the one by which was decided. The limits of one that does not fit are none of this run."""
    asked = here.asked
    rule = rule if here.verdict != Verdict.REFUSED or here.code in EXHAUSTED else None
    data = str(asked.get("data") or "none") if asked else ""
    rounds = f"{here.rounds}/{rule.max_rounds}" if rule and rule.max_rounds else str(here.rounds)
    left = f"{amount(here.bytes)} of {rule.max_bytes}" if rule and rule.max_bytes else amount(here.bytes)
    about = (here.request or "-", str(asked.get("run") or here.pod), state(here), output.age(to_time(here.since)))
    return *about, data, str(asked.get("image") or ""), rounds if asked else "", left if asked else "", why(here)


def why(here: Here) -> str:
    """What was decided about the Pod; before it what the site controller tells since then, such as that a message is not recognized."""
    since = here.told if here.told not in ("", ALLOWED, Why.UNDISCLOSED, here.code) else ""
    return ": ".join(filter(None, (since, here.text)))


def state(here: Here) -> str:
    """In a word or three. Without a decision in the ledger that of the Pod counts."""
    if not here.gated:
        return STOPPED if here.verdict == STOPPED else "Starting" if here.phase == "Pending" else here.phase or "Starting"
    verdict = here.verdict or VERDICTS.get(here.status, "")
    if verdict == Verdict.ALLOWED:
        return "Starting"
    return WAITING.get(here.code or here.told, verdict or "Not decided")


def show(access: Access, request: str, as_json: bool) -> Code:
    """All that a request asks, and what is decided about it."""

    async def work() -> Code:
        async with access.open() as client:
            found = await site.read(client)
        asked = one_of(found, request)
        pods = [each for each in found.pods if each.request == request]
        if as_json:
            output.as_json([_pod(each) for each in pods])
        else:
            _print_asked(asked)
            _print_decisions(pods)
        return Code.OK

    return done(work(), access)


def _print_asked(asked: Mapping[str, Any]) -> None:
    for name, value in asked.items():
        output.line(f"  {name}: {json.dumps(value) if isinstance(value, dict | list) else value}")


def _print_decisions(pods: Sequence[Here]) -> None:
    for here in pods:
        output.line(f"{here.pod}: {state(here)}: {why(here)}")


def answer(access: Access, request: str, approve: bool) -> Code:
    """Approves or refuses a request that is here, and says what the site controller makes of it."""

    async def work() -> Code:
        async with access.open() as client:
            found = await site.read(client)
            asked = one_of(found, request)
            generation, _ = await site.change(client, lambda spec: decided(spec, asked["request"], approve))
            pods = await site.until_decided(client, asked["request"], generation, lambda here: is_open(here, approve))
        output.line(f"{asked['request']} {'approved' if approve else 'refused'}:")
        _print_asked(asked)
        _print_decisions(pods)
        if not pods:
            output.line("its Pod has ended")
        return Code.OK

    return done(work(), access)


def is_open(here: Here, approve: bool) -> bool:
    """Whether the site controller's decision is still one from before the answer."""
    if approve:
        return here.code in (Why.APPROVAL_REQUIRED, Why.REFUSED_BY_OWNER)
    return here.code not in DECIDED_ANYWAY


def one_of(found: Site, request: str) -> Mapping[str, Any]:
    """What the request asks. Its whole id is needed: whoever makes requests finds two whose ids begin alike. Raises Problem."""
    if found.unread:
        raise Problem(Code.UNHEALTHY, f"the site controller does not say which requests are here: {found.unread}", ANYWAY)
    known = {each.request: each.asked for each in found.pods if each.request}
    if request not in known:
        here = ", ".join(sorted(known)) or "none"
        raise Problem(Code.NOT_FOUND, f"no run here asks by the request {request}; there is {here}", "See `panal site`.")
    return known[request]


def decided(spec: dict[str, Any], request: str, approve: bool) -> dict[str, Any]:
    """The lists of a policy with one more answer."""
    to, other = ("approved", "refused") if approve else ("refused", "approved")
    added, removed = list(spec.get(to) or ()), [each for each in spec.get(other) or () if each != request]
    return {to: added if request in added else [*added, request], other: removed}


def stop(access: Access) -> Code:
    async def work() -> Code:
        async with access.open() as client:
            problem: Problem | None = None
            try:
                await site.change(client, lambda _: {"suspend": True})
            except Problem as error:
                problem = error
            seconds, ended = await site.end_pods(client)
        if problem:
            output.warn(f"the Pods of runs are ended ({seconds:.1f} s), but others may start: {problem}")
            raise problem
        output.line(f"everything is stopped ({seconds:.1f} s). Nothing starts here until `panal site resume`.")
        output.line(f"ended: {', '.join(ended)}" if ended else "no run worked here")
        return Code.OK

    return done(work(), access)


def resume(access: Access) -> Code:
    async def work() -> Code:
        async with access.open() as client:
            _, changed = await site.change(client, lambda _: {"suspend": False})
        output.line("runs that the policy allows go on" if changed else "the site was not suspended")
        return Code.OK

    return done(work(), access)
