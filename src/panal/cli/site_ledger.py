"""`panal site log`, `runs`, `verify` and `evidence`: what the ledger of a site says."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from panal.api.figures import amount
from panal.cli import output
from panal.cli.run import done
from panal.client import site_ledger
from panal.client.access import Access
from panal.client.problem import Code, Problem
from panal.evidence.sealed import fingerprint, public_pem
from panal.site.decide import ENFORCES
from panal.site.policy import APP_HASH
from panal.site.record import SHA256

DIGITS = 12  # of an app's hash that are shown
RUNS = ("RUN", "FROM", "UNTIL", "STATE", "ROUNDS", "LEFT", "DATA", "IMAGE", "APP", "REQUESTER", "PURPOSE", "WHY")
BEGINS = "The ledger begins at {}: it says nothing about what was before."
KINDS = {  # of the ledger's entries, as people read them
    "asked": "asks",
    "decided": "decided",
    "images": "images",
    "left": "left the site",
    "sent": "other requests",
    "refused": "not let out",
    "stopped": "stopped",
    "ended": "Pod ended",
    "record": "record of the run",
    "policy": "policy",
    "started": "site controller started",
    "cut": "ledger",
}


def log(access: Access, since: str | None, run: str | None, as_json: bool) -> Code:
    options = [*(("--since", since) if since else ()), *(("--run", run) if run else ())]

    async def work() -> Code:
        async with access.open() as client:
            await _print_entries(site_ledger.entries(client, *options), as_json, bool(since))
        return Code.OK

    return done(work(), access)


async def _print_entries(entries: AsyncIterator[dict[str, Any]], as_json: bool, since: bool) -> None:
    found = [entry async for entry in entries]
    if as_json:
        output.as_json(found)
        return
    if not found:
        output.note("the ledger has no such entry")
        return
    output.columns(("TIME", "RUN", "WHAT", "DETAILS"), list(rows(found)))
    output.line("")
    output.line(summary(found))
    if since and found[0].get("number") == 1:
        output.line(BEGINS.format(moment(found[0]["time"])))


def rows(entries: Iterable[dict[str, Any]]) -> Iterator[tuple[str, ...]]:
    policy: Mapping[str, Any] | None = None
    for entry in entries:
        kind = str(entry.get("kind"))
        if kind == "policy":
            text = f"generation {entry.get('generation')}: {changes(policy, entry.get('spec') or {})}"
            policy = entry.get("spec") or {}
        else:
            text = details(entry)
        yield moment(entry.get("time")), str(entry.get("run") or "-"), KINDS.get(kind, kind), text


def moment(time: Any) -> str:
    return f"{str(time or '')[:19]}Z"


def details(entry: dict[str, Any]) -> str:
    """What an entry says, in a line."""
    match entry.get("kind"):
        case "asked":
            return _joined(entry, ("request", "data", "image", "purpose", "requester"))
        case "decided":
            return " ".join(filter(None, (str(entry.get("verdict")), str(entry.get("code") or ""), _joined(entry, ("text", "request")))))
        case "images":
            return ", ".join(f"{name} {image}" for name, image in sorted((entry.get("images") or {}).items()))
        case "left":
            what = "an error" if entry.get("error") else f"{entry.get('type')}, {_which(entry)}"
            spent = "".join(f", ε {each['epsilon']:g} of {each['data']}" for each in entry.get("budgets") or ())
            return f"{what}, {amount(entry.get('bytes') or 0)}, {str(entry.get('digest') or '')[:16]}{spent}"
        case "sent":
            return f"{entry.get('requests')} sent before this that belong to no reply, {amount(entry.get('bytes') or 0)}"
        case "record":
            return f"SHA-256 {entry.get('record')}, made by the hub at {entry.get('recorded')}"
        case "ended":
            return f"{entry.get('replies')} replies, {entry.get('rounds') or 0} rounds, {amount(entry.get('bytes') or 0)}"
    return _joined(entry, ("code", "text", "why", "path"))


def _which(reply: Mapping[str, Any]) -> str:
    """The round that the app says, or how many replies of the kind there were."""
    return f"round {reply['round']}" if reply.get("round") else f"reply {reply.get('reply')}"


def changes(before: Mapping[str, Any] | None, after: Mapping[str, Any]) -> str:
    """What a policy says that the one before it did not, in a line. `before` is None if that is not known."""
    if not after:
        return "there is no policy"
    if before is None:
        suspended = "suspended, " if after.get("suspend") else ""
        return f"{suspended}rules {', '.join(str(each.get('name')) for each in after.get('rules') or ()) or 'none'}"
    rules = _rules(before.get("rules") or (), after.get("rules") or ()) if before.get("rules") != after.get("rules") else ()
    others = _fields(*({name: value for name, value in each.items() if name != "rules"} for each in (before, after)))
    return "; ".join([*rules, *others]) or "the same"


def _rules(old: Sequence[Mapping[str, Any]], new: Sequence[Mapping[str, Any]]) -> list[str]:
    before, after = ({str(each.get("name")): each for each in rules} for rules in (old, new))
    found = [f"rule {name} is new" for name in after if name not in before] + [
        f"rule {name} is gone" for name in before if name not in after
    ]
    changed = {name: ", ".join(_fields(before[name], after[name])) for name in after if name in before}
    found += [f"rule {name}: {fields}" for name, fields in changed.items() if fields]
    return found or ["rules in another order"]


def _fields(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[str]:
    """Those that differ: of a list of texts what was added and removed, of another value the new one."""
    for name in sorted(before.keys() | after.keys()):
        old, new = before.get(name), after.get(name)
        if old == new:
            continue
        if all(isinstance(each, list) and all(isinstance(text, str) for text in each) for each in (old or [], new or [])):
            yield f"{name} {_words(old or (), new or ())}"
        else:
            yield f"{name} {'removed' if new is None else json.dumps(new, ensure_ascii=False)}"


def _words(old: Sequence[str], new: Sequence[str]) -> str:
    changed = [*(f"+{each}" for each in new if each not in old), *(f"-{each}" for each in old if each not in new)]
    return " ".join(changed) or "in another order"


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


def runs(access: Access, since: str | None, as_json: bool) -> Code:
    options = ("--since", since) if since else ()

    async def work() -> Code:
        async with access.open() as client:
            *found, ledger = [each async for each in site_ledger.entries(client, "--runs", *options)]
        if as_json:
            output.as_json({"begins": ledger["begins"], "runs": found})
            return Code.OK
        if found:
            output.columns(RUNS, [_run(each) for each in found])
            output.line("")
        else:
            output.line("no run is in the ledger" + (" since then" if since else ""))
        if ledger["begins"]:
            output.line(BEGINS.format(moment(ledger["begins"])))
        return Code.OK

    return done(work(), access)


def _run(run: Mapping[str, Any]) -> tuple[str, ...]:
    """A row. Only Flower's app is checked against its hash; in a Pod of another framework the hash is a mere word."""
    asked = run["asked"]
    app = asked.get("appHash", "")
    app = app[:DIGITS] if asked.get("framework") == ENFORCES and re.fullmatch(APP_HASH, app) else ""
    until = "now" if run["works"] else moment(run["last"])
    said = " ".join(filter(None, (run.get("code"), run.get("text"))))
    whose = (" ".join(asked.get(name, "").split()) or "-" for name in ("requester", "purpose"))
    left = (str(run["rounds"]), amount(run["bytes"]), asked.get("data") or "none") if asked else ("", "", "")
    return run["run"], moment(run["first"]), until, condition(run), *left, asked.get("image", ""), app, *whose, said


def condition(run: Mapping[str, Any]) -> str:
    """Of a run, as far as the ledger knows."""
    if run["here"]:
        return "Here" if run["works"] else "Not allowed now"
    return "Ended" if run["allowed"] else "Never allowed"


def verify(access: Access, kept: str | None, as_json: bool) -> Code:
    """`kept`: the hash of a head of earlier. Raises Problem if no entry has it."""

    async def work() -> Code:
        async with access.open() as client:
            *found, head = [entry async for entry in site_ledger.entries(client, "--verify")]
        _print_head(found, head, kept, as_json)
        return Code.OK

    return done(work(), access)


def verify_file(file: Path, key: Path, kept: str | None, as_json: bool) -> Code:
    """The same for a file that `panal site log -o json` has written, without a cluster. `key`: the public key of the ledger, PEM."""
    public = site_ledger.public_key(key)
    found = site_ledger.saved(file, public)
    last = found[-1]
    head = {"number": last["number"], "hash": last["hash"], "key": public_pem(public), "fingerprint": fingerprint(public)}
    _print_head(found, head, kept, as_json)
    return Code.OK


def _print_head(found: Sequence[Mapping[str, Any]], head: Mapping[str, Any], kept: str | None, as_json: bool) -> None:
    """`found`: the entries, which are checked."""
    number = None if kept is None else _number(found, kept)
    if as_json:
        said = {"entries": head["number"], "head": head["hash"], "key": head["key"], "fingerprint": head["fingerprint"]}
        budgets = {"budgets": head["budgets"]} if "budgets" in head else {}
        output.as_json(said | budgets | ({"kept": number} if number else {}))
        return
    output.line(f"the ledger is whole: {head['number']} entries, head {head['hash']}")
    if number:
        output.line(f"entry {number} has the head that you kept: all up to it is as it was then")
    output.line(f"SHA-256 of the key: {head['fingerprint']}")
    for each in head.get("budgets") or ():
        output.line(f"privacy budget of {each['data']}: ε {each['spent']:g} of {each['limit']:g} is spent, by {each['updates']} updates")


def _number(found: Sequence[Mapping[str, Any]], kept: str) -> int:
    """Of the entry with a head that was kept. Raises Problem."""
    if not re.fullmatch(SHA256, kept):
        raise Problem(Code.USAGE, f"--head {kept}: a head has 64 hexadecimal digits", "Give it as `panal site verify` has printed it.")
    number = next((each["number"] for each in found if each["hash"] == kept), None)
    if number is None:
        why = f"the ledger has {len(found)} entries, none of which has the hash {kept}"
        raise Problem(Code.UNHEALTHY, why, "It is another ledger than the one whose head you kept, or a part of it was taken away.")
    return int(number)


def evidence(access: Access, file: Path, as_json: bool) -> Code:
    """Compares the receipts of a file of evidence with the ledger that is here. Raises Problem if none is of this site."""
    receipts = site_ledger.receipts(file)

    async def work() -> Code:
        async with access.open() as client:
            *entries, head = [entry async for entry in site_ledger.entries(client, "--verify")]
        own = {cluster: each for cluster, each in receipts.items() if site_ledger.key_of(each) == head.get("fingerprint")}
        if not own:
            raise Problem(
                Code.NOT_FOUND,
                f"{file} has no receipt with the key of this site's ledger, {head.get('fingerprint')}",
                "A site that has not countersigned the record has none; `panal evidence verify` shows the keys.",
            )
        found = {cluster: site_ledger.misfits(each, entries) for cluster, each in own.items()}
        if as_json:
            output.as_json({cluster: [each._asdict() for each in wrong] for cluster, wrong in found.items()})
        for cluster, wrong in found.items() if not as_json else ():
            output.line(f"the receipt of {cluster} {'is not' if wrong else 'is'} what the ledger says")
            for each in wrong:
                output.line(f"  {each.pointer}: {each.what}")
        return Code.UNHEALTHY if any(found.values()) else Code.OK

    return done(work(), access)
