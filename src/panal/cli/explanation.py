"""What `panal explain` prints: lines for people, bounded and with a summary first; and JSON, whose fields stay. No input or output."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from panal.api.names import ClusterName
from panal.client.problem import Code, Problem
from panal.lifecycle.collaborators import without_data
from panal.lifecycle.participants import refused
from panal.lifecycle.policies import not_compliant
from panal.lifecycle.reasons import REMEDY, Reason, Trouble
from panal.lifecycle.world import ClusterView, Compliance, SiteView
from panal.placement.obstacles import Cause, Obstacle, about_hidden_claims
from panal.placement.selection import Selection, Standing, Verdict

MOST_ROWS = 20  # clusters in the table
MOST_GROUPS = 10  # reasons
MOST_NAMED = 5  # clusters of one reason
FIELD = "spec.client.placement"
LeftOut = Mapping[str, tuple[Obstacle, ...]]


def leaving_out(
    clusters: Mapping[ClusterName, ClusterView],
    sites: Mapping[ClusterName, SiteView] | None,
    claim: str,
    required: tuple[str, ...] = (),
    compliance: Compliance | None = None,
) -> LeftOut:
    """Why the run leaves out clusters even if they are selected. `sites` or `compliance` None: not known. `claim`: that of the data.
    `required`: see `policies.required`."""
    found = {}
    for name, cluster in clusters.items():
        obstacles = []
        if not cluster.accepted:
            remedy = f"Accept it: `clusteradm accept --clusters {name}`."
            obstacles.append(Obstacle(Cause.NOT_ACCEPTED, "", "is not accepted by the hub", remedy))
        if sites is not None and (trouble := refused(name, sites.get(name))):
            obstacles.append(_of(Cause.ADDON, name, trouble))
        if claim and (trouble := without_data(cluster, claim)):
            obstacles.append(_of(Cause.DATA, name, trouble))
        if compliance is not None and (trouble := not_compliant(name, required, compliance)):
            obstacles.append(_of(Cause.POLICY, name, trouble))
        if obstacles:
            found[str(name)] = tuple(obstacles)
    return found


def _of(cause: Cause, cluster: str, trouble: Trouble) -> Obstacle:
    remedy = REMEDY.get(trouble.reason, "")
    why = trouble.message.removesuffix(remedy).rstrip(" .").removeprefix(f"{cluster} ").removeprefix(f"{cluster}: ")
    if trouble.reason == Reason.DATA_NOT_FOUND:
        remedy = "Create the ClusterClaim on the cluster."
    return Obstacle(cause, "", why, remedy)


@dataclass(frozen=True, slots=True)
class Report:
    """`planned`: the run need not exist. `needed`: spec.server.minAvailableClients. `number`: numberOfClusters. `notes` concern all."""

    run: str
    namespace: str
    planned: bool
    needed: int
    number: int | None
    selection: Selection
    left_out: LeftOut
    notes: tuple[str, ...]

    def only(self, cluster: str) -> Report:
        """Raises Problem if the hub does not have it."""
        found = [each for each in self.selection.standings if each.cluster == cluster]
        if not found:
            said = "; ".join(self.notes)
            raise Problem(Code.NOT_FOUND, f"nothing is known of a cluster {cluster}", said or "`panal get clusters` lists the clusters.")
        return replace(self, selection=replace(self.selection, standings=found))

    # --- for programs -----------------------------------------------------------------------------------------------
    def as_json(self) -> dict[str, Any]:
        return {
            "run": self.run,
            "namespace": self.namespace,
            "dryRun": self.planned,
            "minAvailableClients": self.needed,
            "numberOfClusters": self.number,
            "problem": self.selection.problem,
            "notes": list(self.notes),
            "prioritizers": [{"name": name, "weight": weight} for name, weight in self.selection.prioritizers.items()],
            "summary": self._counts(),
            "clusters": [self._cluster(each) for each in self._sorted()],
        }

    def _cluster(self, standing: Standing) -> dict[str, Any]:
        return {
            "cluster": standing.cluster,
            "verdict": str(standing.verdict),
            "decided": standing.decided,
            "decidedOtherwise": standing.otherwise,
            "takesPart": self._takes_part(standing),
            "reasons": list(map(_as_json, standing.obstacles)),
            "leftOut": list(map(_as_json, self.left_out.get(standing.cluster, ()))),
            "scores": dict(standing.scores),
            "totalScore": standing.total,
            "rank": standing.rank,
            "notes": list(self._notes(standing)),
        }

    def _counts(self) -> dict[str, int]:
        verdicts = Counter(each.verdict for each in self.selection.standings)
        return {
            "clusters": len(self.selection.standings),
            **{f"{verdict[0].lower()}{verdict[1:]}": verdicts[verdict] for verdict in Verdict},
            "takePart": sum(map(self._takes_part, self.selection.standings)),
            "decidedOtherwise": sum(each.otherwise for each in self.selection.standings),
        }

    def _takes_part(self, standing: Standing) -> bool:
        """A cluster that is selected, by the decision if there is one, and not left out by the run."""
        selected = standing.verdict is Verdict.SELECTED if standing.decided is None else standing.decided
        return selected and standing.cluster not in self.left_out

    def _notes(self, standing: Standing) -> Iterator[str]:
        yield from standing.notes
        reasons = (*standing.obstacles, *self.left_out.get(standing.cluster, ()))
        if standing.hidden_claims and any(each.cause in (Cause.CLAIM, Cause.DATA) for each in reasons):
            yield about_hidden_claims(standing.hidden_claims)

    def _sorted(self) -> Sequence[Standing]:
        return sorted(self.selection.standings, key=lambda each: each.cluster)

    # --- for people -------------------------------------------------------------------------------------------------
    def lines(self, detailed: bool) -> Iterator[str]:
        if not detailed:
            yield from self._summary()
        for note in self.notes:
            yield f"note: {note}"
        for standing in self._sorted() if detailed else ():
            yield from self._details(standing)
        if not detailed:
            yield from self._table()
            yield from self._groups()
            yield ""
            yield "`panal explain … --cluster NAME` explains one cluster, -o json lists all."

    def _summary(self) -> Iterator[str]:
        counts = self._counts()
        would = "would be" if self.planned else "are"
        yield (
            f"{self.run} in namespace {self.namespace}: {counts['selected']} of {counts['clusters']} clusters {would} selected, "
            f"{counts['takePart']} can take part, {self.needed} needed"
        )
        if self.selection.problem:
            yield f"no cluster qualifies: {self.selection.problem}"
        for key, words in (("outscored", "qualify, but have lower scores"), ("notEvaluated", "cannot be told from here")):
            if counts[key]:
                yield f"{counts[key]} {words}"
        if counts["decidedOtherwise"]:
            yield f"{counts['decidedOtherwise']} decided otherwise by OCM than is found here"

    def _table(self) -> Iterator[str]:
        selected = [each for each in self._sorted() if each.verdict is Verdict.SELECTED or each.decided]
        if not selected:
            return
        yield ""
        yield "SELECTED"
        selected.sort(key=lambda each: (each.rank or 0, each.cluster))
        for standing in selected[:MOST_ROWS]:
            yield f"  {standing.cluster}{self._scores(standing)}{self._otherwise(standing)}{self._left(standing)}"
        if len(selected) > MOST_ROWS:
            yield f"  and {len(selected) - MOST_ROWS} more"

    def _scores(self, standing: Standing) -> str:
        """Only where they decide."""
        if self.number is None or standing.total is None:
            return ""
        return f": score {standing.total} ({_scored(standing.scores, self.selection.prioritizers)})"

    def _left(self, standing: Standing) -> str:
        reasons = self.left_out.get(standing.cluster, ())
        return f"; does not take part: {'; '.join(each.why for each in reasons)}" if reasons else ""

    @staticmethod
    def _otherwise(standing: Standing) -> str:
        return "; decided otherwise by OCM" if standing.otherwise else ""

    def _groups(self) -> Iterator[str]:
        """The clusters that are not selected, by reason, the most frequent reason first."""
        by_reason: dict[tuple[tuple[str, str], ...], list[str]] = {}
        for standing in self._sorted():
            if standing.verdict is not Verdict.SELECTED and not standing.decided:
                reasons = tuple((each.why, each.remedy) for each in standing.obstacles)
                by_reason.setdefault(reasons, []).append(standing.cluster + self._otherwise(standing))
            elif standing.verdict is Verdict.SELECTED and standing.otherwise:
                reason = (("qualifies here, and is not selected: decided otherwise by OCM", ""),)
                by_reason.setdefault(reason, []).append(standing.cluster)
        groups = sorted(by_reason.items(), key=lambda item: (-len(item[1]), item[0]))
        if groups:
            yield ""
            yield "NOT SELECTED"
        for reasons, clusters in groups[:MOST_GROUPS]:
            named = ", ".join(clusters[:MOST_NAMED]) + (f" and {len(clusters) - MOST_NAMED} more" if len(clusters) > MOST_NAMED else "")
            yield f"  {named}: {'; '.join(why for why, _ in reasons)}"
            yield from (f"      {remedy}" for _, remedy in reasons if remedy)
        if rest := groups[MOST_GROUPS:]:
            yield f"  and {sum(len(clusters) for _, clusters in rest)} clusters for {len(rest)} other reasons"

    def _details(self, standing: Standing) -> Iterator[str]:
        """Everything about one cluster."""
        yield f"{standing.cluster}: {_WORDS[standing.verdict]}"
        if self.selection.problem:
            yield f"  no cluster qualifies: {self.selection.problem}"
        if standing.decided is not None:
            yield f"  Open Cluster Management has {'' if standing.decided else 'not '}selected it"
        if standing.otherwise:
            yield "  decided otherwise by OCM: the hub may have changed since, or OCM decides by something that is not evaluated here"
        yield from _with_fields(standing.obstacles)
        if reasons := self.left_out.get(standing.cluster, ()):
            yield "  the run leaves it out even if it is selected:"
            yield from _with_fields(reasons)
        if standing.total is not None:
            scores = _scored(standing.scores, self.selection.prioritizers)
            yield f"  score {standing.total}, rank {standing.rank} ({scores or 'no prioritizer counts'})"
        yield from (f"  note: {note}" for note in self._notes(standing))


_WORDS = {
    Verdict.SELECTED: "qualifies",
    Verdict.OUTSCORED: "qualifies, and is not selected",
    Verdict.NOT_QUALIFIED: "does not qualify",
    Verdict.NOT_EVALUATED: "cannot be told from here",
}


def _as_json(obstacle: Obstacle) -> dict[str, Any]:
    change = obstacle.change
    return {
        "cause": str(obstacle.cause),
        "field": f"{FIELD}.{obstacle.field}" if obstacle.field else "",
        "message": obstacle.why,
        "remedy": obstacle.remedy,
        "change": {"action": change.action, "what": change.what, "key": change.key, "value": change.value} if change else None,
    }


def _scored(scores: Mapping[str, int], weights: Mapping[str, int]) -> str:
    """Such as `Balance 100, Steady 100 x 10`."""
    return ", ".join(f"{name} {score}{'' if weights.get(name, 1) == 1 else f' x {weights[name]}'}" for name, score in scores.items())


def _with_fields(obstacles: Iterable[Obstacle]) -> Iterator[str]:
    for each in obstacles:
        yield f"  {each.why}{f' ({FIELD}.{each.field})' if each.field else ''}"
        if each.remedy:
            yield f"      {each.remedy}"
