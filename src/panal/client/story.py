"""The changes between two statuses of a run, as lines. No input or output."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from panal.api import figures
from panal.api.status import ENDED, USUAL_CONDITIONS

Status = dict[str, Any]
FAILED = "Failed"  # the state of a collaborator


def ended(run: Mapping[str, Any] | None) -> bool:
    return ((run or {}).get("status") or {}).get("phase") in ENDED


def lines(before: Status, now: Status) -> list[str]:
    """One line for each change that matters to a user who follows the run."""
    return [*_collaborators(before, now), *_round(before, now), *_notices(before, now), *_phase(before, now)]


def _collaborators(before: Status, now: Status) -> Iterator[str]:
    known = {c["cluster"]: c for c in before.get("collaborators") or ()}
    for each in now.get("collaborators") or ():
        old = known.get(each["cluster"])
        if old is None:
            yield f"{each['cluster']} takes part"
        failed, had_failed = each.get("state") == FAILED, (old or {}).get("state") == FAILED
        reason = each.get("reason") or ""  # also of one that waits for its site
        if (failed and not had_failed) or (reason and reason != (old or {}).get("reason")):
            yield f"{each['cluster']}: {reason or FAILED}. {each.get('message', '')}".rstrip(" .")
        elif had_failed and not failed and not reason:
            yield f"{each['cluster']} recovered"
    if now.get("phase") not in ENDED:
        there = {c["cluster"] for c in now.get("collaborators") or ()}
        yield from (f"{cluster} no longer takes part" for cluster in known if cluster not in there)


def _round(before: Status, now: Status) -> Iterator[str]:
    done, total = (now.get("rounds") or {}).get("completed", 0), (now.get("rounds") or {}).get("total", 0)
    if done <= (before.get("rounds") or {}).get("completed", 0):
        return
    rounds = now["rounds"]
    details = [f"{rounds['replies']} cluster{'s' if rounds['replies'] > 1 else ''}"] if rounds.get("replies") else []
    details += [f"{rounds['failures']} failed"] if rounds.get("failures") else []
    details += [f"{rounds['seconds']:.1f} s"] if rounds.get("seconds") is not None else []
    metrics = numbers(now)
    described = ", ".join(details)
    yield f"round {done}/{total}{f': {metrics}' if metrics else ''}{f' ({described})' if described else ''}"


def _notices(before: Status, now: Status) -> Iterator[str]:
    """The conditions that exist only if there is something to report."""
    known = {c["type"]: c.get("message") for c in before.get("conditions") or ()}
    for each in now.get("conditions") or ():
        if each["type"] not in USUAL_CONDITIONS and known.get(each["type"]) != each.get("message"):
            yield f"{each['type']}: {each.get('message', '')}"


def _phase(before: Status, now: Status) -> Iterator[str]:
    """The phase and its message when they change. While a run stays Running, other lines report its rounds and problems."""
    phase, message = now.get("phase", ""), now.get("message", "")
    if not phase or (phase == before.get("phase") and (message == before.get("message", "") or phase == "Running")):
        return
    yield f"{phase}: {message}" if message else phase


def summary(status: Status) -> list[str]:
    """The models and the files of a run that has ended."""
    found = []
    if (initial := status.get("initialModel")) and not status.get("evaluation"):
        found += [f"begun   with {initial['uri']}{' of ' + initial['run'] if initial.get('run') else ''}"]
    if model := status.get("model"):
        found += [f"model   {model['uri']}", f"        {model['digest']}, {model['size']} bytes, after round {model['round']}"]
    if export := status.get("export"):
        found += [f"export  {export['uri']}", *(f"        {each['name']}, {each['check']}" for each in export.get("files") or ())]
    private = status.get("privacy") or {}
    if "delta" in private:
        epsilon, updates = private.get("epsilon", 0.0), private.get("updates", 0)
        spent = f"ε at most {epsilon:.4g} at δ {private['delta']:g} for a site, after {updates} update{'s' if updates != 1 else ''}"
        found.append(f"privacy {spent} (planned: {private['plannedEpsilon']:.4g})")
    if (secure := private.get("secureAggregation")) is not None:
        dropped = f"; dropped out: {', '.join(secure['dropped'])}" if secure.get("dropped") else ""
        stay = f"{secure['threshold']} clusters had to stay in the last training" if secure.get("threshold") else "no training yet"
        found.append(f"secure  secure aggregation: {stay}{dropped}")
    published = status.get("publish") or {}
    if version := published.get("mlflow"):
        found.append(f"mlflow  {version['uri']}")
    if version := published.get("modelRegistry"):
        found.append(f"version {version['uri']}")
    if files := status.get("files"):
        left_out = f"; {files['leftOut']} left out" if files.get("leftOut") else ""
        found += [f"files   {files['uri']}", f"        {files['count']} of the app, {files['size']} bytes{left_out}"]
    return found


def numbers(status: Mapping[str, Any]) -> str:
    """The metrics of a status or of one of its collaborators, such as `accuracy 0.913, loss NaN`."""
    found = {**(status.get("metrics") or {}), **(status.get("nonFiniteMetrics") or {})}
    return ", ".join(f"{name} {figures.number(value)}" for name, value in found.items())
