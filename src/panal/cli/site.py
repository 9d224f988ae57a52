"""`panal site`: what runs at this site and what has left it, and the owner's decisions."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterable, Sequence
from pathlib import Path
from typing import Any

from panal.api.figures import amount
from panal.cli import output
from panal.cli.run import done
from panal.client import site
from panal.client.access import Access
from panal.client.problem import Code, Problem
from panal.client.site import Here, Site
from panal.kube.times import to_time
from panal.site.budgets import Figures
from panal.site.codes import Code as Why
from panal.site.request import Asked

SHORT = 12  # digits of a request that are shown, and needed to name it
KINDS = {  # of the ledger's entries, as people read them
    "asked": "asks",
    "decided": "decided",
    "left": "left the site",
    "sent": "left the site",
    "refused": "not let out",
    "stopped": "stopped",
    "ended": "ended",
    "record": "record of the run",
    "policy": "policy",
    "started": "site controller started",
    "cut": "ledger",
}


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
    budgets = None if found.budgets is None else [each.record() for each in found.budgets]
    pods = [_pod(each, found) for each in found.pods]
    return {"ready": found.ready, "problem": found.problem, "policy": spec, "privacyBudgets": budgets, "pods": pods}


def _pod(here: Here, found: Site) -> dict[str, Any]:
    decision = here.decision(found.policy, found.ledger)
    return {
        "pod": here.pod,
        "since": to_time(here.since),
        "running": here.running,
        "told": here.told,
        "code": str(decision.code or "") if decision else str(Why.POD_NOT_RECOGNIZED),
        "why": decision.text if decision else here.problem,
        **({"asked": here.asked.record()} if here.asked else {}),
    }


def _print(found: Site) -> None:
    if not found.ready:
        output.warn("the site controller is not ready: no run can start here, and those that run cannot send anything")
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
    rows = [_row(here, found) for here in found.pods]
    output.columns(("REQUEST", "RUN", "STATE", "AGE", "DATA", "IMAGE", "WHY"), rows)
    if any(row[2] == "Waits for you" for row in rows):
        output.line("")
        output.line("Decide with `panal site approve REQUEST` or `panal site refuse REQUEST`.")


def _print_budgets(found: Site) -> None:
    if not found.policy or not found.policy.privacy_budgets:
        return
    if found.budgets is None:
        output.warn("the ledger cannot be read now: what is spent of the privacy budgets is not known")
        return
    output.line("")
    output.columns(("PRIVACY BUDGET", "SPENT ε", "RESERVED", "LIMIT", "δ", "UPDATES"), [_budget(each) for each in found.budgets])
    for each in found.budgets:
        if each.unprotected:
            where = f"updates about {each.budget.data} without noise: {each.unprotected}"
            output.warn(f"{where} have left the site; no ε tells what they say, and nothing is spent for them")


def _budget(figures: Figures) -> tuple[str, ...]:
    found = figures.record()
    return str(found["data"]), *(f"{found[name]:g}" for name in ("spent", "reserved", "limit", "delta")), str(found["updates"])


def _row(here: Here, found: Site) -> tuple[str, ...]:
    decision = here.decision(found.policy, found.ledger)
    age = output.age(to_time(here.since))
    if here.asked is None or decision is None:
        return "-", here.pod, "Refused", age, "", "", here.problem
    state = "Running" if here.running else _state(decision.code)
    asked = here.asked
    why = "" if here.running else decision.text
    return asked.id[:SHORT], f"{asked.namespace}/{asked.name}", state, age, asked.data or "none", asked.image, why


def _state(code: Why | None) -> str:
    if code is None:
        return "Starting"
    return {Why.APPROVAL_REQUIRED: "Waits for you", Why.SUSPENDED: "Suspended", Why.OUTSIDE_HOURS: "Waits"}.get(code, "Refused")


def log(access: Access, since: str | None, run: str | None, as_json: bool) -> Code:
    options = [*(("--since", since) if since else ()), *(("--run", run) if run else ())]

    async def work() -> Code:
        async with access.open() as client:
            await _print_entries(site.ledger(client, *options), as_json)
        return Code.OK

    return done(work(), access)


async def _print_entries(entries: AsyncIterator[dict[str, Any]], as_json: bool) -> None:
    found = [entry async for entry in entries]
    if as_json:
        output.as_json(found)
        return
    if not found:
        output.note("the ledger has no such entry")
        return
    output.columns(("TIME", "RUN", "WHAT", "DETAILS"), [_entry(each) for each in found])
    output.line("")
    output.line(summary(found))


def _entry(entry: dict[str, Any]) -> tuple[str, ...]:
    kind = str(entry.get("kind"))
    return str(entry.get("time", ""))[:19] + "Z", str(entry.get("run") or "-"), KINDS.get(kind, kind), details(entry)


def details(entry: dict[str, Any]) -> str:
    """What an entry says, in a line."""
    match entry.get("kind"):
        case "asked":
            return _joined(entry, ("request", "data", "image", "purpose", "requester"))
        case "decided":
            return " ".join(filter(None, (str(entry.get("verdict")), str(entry.get("code") or ""), _joined(entry, ("text", "request")))))
        case "left":
            what = "an error" if entry.get("error") else f"{entry.get('type')}, round {entry.get('round') or entry.get('reply')}"
            spent = "".join(f", ε {each['epsilon']:g} of {each['data']}" for each in entry.get("budgets") or ())
            return f"{what}, {amount(entry.get('bytes') or 0)}, {str(entry.get('digest') or '')[:16]}{spent}"
        case "sent":
            return f"{entry.get('requests')} requests, {amount(entry.get('bytes') or 0)}"
        case "record":
            return f"SHA-256 {entry.get('record')}, made by the hub at {entry.get('recorded')}"
        case "ended":
            return f"{entry.get('replies')} replies, {entry.get('rounds') or 0} rounds, {amount(entry.get('bytes') or 0)}"
        case "policy":
            rules = ((entry.get("spec") or {}).get("rules")) or ()
            stopped = "suspended, " if (entry.get("spec") or {}).get("suspend") else ""
            return f"{stopped}generation {entry.get('generation')}, rules {', '.join(str(each.get('name')) for each in rules) or 'none'}"
    return _joined(entry, ("code", "text", "why", "path"))


def _joined(entry: dict[str, Any], fields: Iterable[str]) -> str:
    return ", ".join(str(entry[name]) for name in fields if entry.get(name))


def summary(entries: Iterable[dict[str, Any]]) -> str:
    """How much has left the site, by run."""
    bytes_: dict[str, int] = {}
    for each in entries:
        if each.get("kind") in ("left", "sent"):
            bytes_[str(each.get("run"))] = bytes_.get(str(each.get("run")), 0) + int(each.get("bytes") or 0)
    if not bytes_:
        return "nothing has left the site"
    return "left the site: " + ", ".join(f"{amount(number)} of {run}" for run, number in sorted(bytes_.items()))


def verify(access: Access, as_json: bool) -> Code:
    async def work() -> Code:
        async with access.open() as client:
            found = [entry async for entry in site.ledger(client, "--verify")]
        if as_json:
            output.as_json(found[-1])
        else:
            head = found[-1]
            output.line(f"the ledger is whole: {head.get('number')} entries, head {head.get('hash')}")
            output.line(f"SHA-256 of the key: {head.get('fingerprint')}")
            for each in head.get("budgets") or ():
                output.line(
                    f"privacy budget of {each['data']}: ε {each['spent']:g} of {each['limit']:g} is spent, by {each['updates']} updates"
                )
        return Code.OK

    return done(work(), access)


def evidence(access: Access, file: Path, as_json: bool) -> Code:
    """Compares the receipts of a file of evidence with the ledger that is here. Raises Problem if none is of this site."""
    receipts = site.receipts(file)

    async def work() -> Code:
        async with access.open() as client:
            *entries, head = [entry async for entry in site.ledger(client, "--verify")]
        own = {cluster: each for cluster, each in receipts.items() if site.key_of(each) == head.get("fingerprint")}
        if not own:
            raise Problem(
                Code.NOT_FOUND,
                f"{file} has no receipt with the key of this site's ledger, {head.get('fingerprint')}",
                "A site that has not countersigned the record has none; `panal evidence verify` shows the keys.",
            )
        found = {cluster: site.misfits(each, entries) for cluster, each in own.items()}
        if as_json:
            output.as_json({cluster: [each._asdict() for each in wrong] for cluster, wrong in found.items()})
        for cluster, wrong in found.items() if not as_json else ():
            output.line(f"the receipt of {cluster} {'is not' if wrong else 'is'} what the ledger says")
            for each in wrong:
                output.line(f"  {each.pointer}: {each.what}")
        return Code.UNHEALTHY if any(found.values()) else Code.OK

    return done(work(), access)


def answer(access: Access, request: str, approve: bool) -> Code:
    """Approves or refuses a request that is here."""

    async def work() -> Code:
        async with access.open() as client:
            found = await site.read(client)
            known = [each.asked for each in found.pods if each.asked]
            asked = one_of(known, request)
            await site.change(client, lambda spec: decided(spec, asked.id, approve))
        output.line(f"{asked.id[:SHORT]} {'approved' if approve else 'refused'}:")
        for name, value in asked.record().items():
            output.line(f"  {name}: {json.dumps(value) if isinstance(value, dict | list) else value}")
        return Code.OK

    return done(work(), access)


def one_of(known: Sequence[Asked], request: str) -> Asked:
    """The only request whose id begins with `request`. Raises Problem."""
    found = {each.id: each for each in known if len(request) >= SHORT and each.id.startswith(request)}
    if len(found) != 1:
        here = ", ".join(sorted({each.id[:SHORT] for each in known})) or "none"
        raise Problem(Code.NOT_FOUND, f"no run here asks by the request {request}; there is {here}", "See `panal site`.")
    return next(iter(found.values()))


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
            seconds = await site.end_pods(client)
        if problem:
            output.warn(f"the Pods of runs are ended ({seconds:.1f} s), but others may start: {problem}")
            raise problem
        output.line(f"everything is stopped ({seconds:.1f} s). Nothing starts here until `panal site resume`.")
        return Code.OK

    return done(work(), access)


def resume(access: Access) -> Code:
    async def work() -> Code:
        async with access.open() as client:
            changed = await site.change(client, lambda _: {"suspend": False})
        output.line("runs that the policy allows go on" if changed else "the site was not suspended")
        return Code.OK

    return done(work(), access)
