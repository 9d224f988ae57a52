"""What happened to a run between two looks at its status, in lines. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from panal.api.status import Phase
from panal.cli.output import numbers

Status = dict[str, Any]
ENDED = (Phase.COMPLETED, Phase.FAILED)
FAILED = "Failed"  # the state of a collaborator
# The conditions that every run has; what they say is in its phase and message.
USUAL = ("SpecAccepted", "ClustersSelected", "AggregatorReady", "CollaboratorsReady", "Progressing", "Complete", "Failed")


def ended(run: Mapping[str, Any]) -> bool:
    return (run.get("status") or {}).get("phase") in ENDED


def lines(before: Status, now: Status) -> list[str]:
    """One for each change that somebody who waits wants to know of; none for what is only another way to say the same."""
    return [*_collaborators(before, now), *_round(before, now), *_notices(before, now), *_phase(before, now)]


def _collaborators(before: Status, now: Status) -> Iterator[str]:
    known = {c["cluster"]: c for c in before.get("collaborators") or ()}
    for each in now.get("collaborators") or ():
        old = known.get(each["cluster"])
        if old is None:
            yield f"{each['cluster']} takes part"
        failed, had_failed = each.get("state") == FAILED, (old or {}).get("state") == FAILED
        if failed and (not had_failed or each.get("reason") != (old or {}).get("reason")):
            yield f"{each['cluster']}: {each.get('reason') or FAILED}. {each.get('message', '')}".rstrip(" .")
        elif had_failed and not failed:
            yield f"{each['cluster']} is well again"
    if now.get("phase") not in ENDED:
        there = {c["cluster"] for c in now.get("collaborators") or ()}
        yield from (f"{cluster} takes part no more" for cluster in known if cluster not in there)


def _round(before: Status, now: Status) -> Iterator[str]:
    done, total = (now.get("rounds") or {}).get("completed", 0), (now.get("rounds") or {}).get("total", 0)
    if done <= (before.get("rounds") or {}).get("completed", 0):
        return
    rounds = now["rounds"]
    how = [f"{rounds['replies']} cluster{'s' if rounds['replies'] > 1 else ''}"] if rounds.get("replies") else []
    how += [f"{rounds['failures']} failed"] if rounds.get("failures") else []
    how += [f"{rounds['seconds']:.1f} s"] if rounds.get("seconds") is not None else []
    metrics = numbers(now)
    said = ", ".join(how)
    yield f"round {done}/{total}{f': {metrics}' if metrics else ''}{f' ({said})' if said else ''}"


def _notices(before: Status, now: Status) -> Iterator[str]:
    """Conditions that are there only when something is to be told."""
    known = {c["type"]: c.get("message") for c in before.get("conditions") or ()}
    for each in now.get("conditions") or ():
        if each["type"] not in USUAL and known.get(each["type"]) != each.get("message"):
            yield f"{each['type']}: {each.get('message', '')}"


def _phase(before: Status, now: Status) -> Iterator[str]:
    """A message of a run that is Running only says which round it is at, unless it is in trouble, which the clusters' lines say."""
    phase, message = now.get("phase", ""), now.get("message", "")
    if not phase or (phase == before.get("phase") and (message == before.get("message", "") or phase == "Running")):
        return
    yield f"{phase}: {message}" if message else phase


def summary(status: Status) -> list[str]:
    """Of a run that has ended: where its model is, and what its app has written."""
    found = []
    if model := status.get("model"):
        found += [f"model   {model['uri']}", f"        {model['digest']}, {model['size']} bytes, after round {model['round']}"]
    if files := status.get("files"):
        left_out = f"; {files['leftOut']} left out" if files.get("leftOut") else ""
        found += [f"files   {files['uri']}", f"        {files['count']} of the app, {files['size']} bytes{left_out}"]
    return found
