"""How a run's progress reaches the hub: the reporter writes it as JSON into `data.progress` of the ConfigMap `<run>-progress`,
the controller reads it into the status. Bounded: at most MAX_COLLABORATORS clusters (failed ones first) and MAX_METRICS numbers each.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field

from panal.api.status import MAX_COLLABORATORS, MAX_NAME
from panal.api.text import by_name, shown
from panal.api.types import EvaluationStatus, FilesStatus, InitialModelStatus, Model, ModelStatus
from panal.pod.tools.codes import CLUSTER, DIGEST, MAX_CODE, MAX_COUNT, MAX_METRICS, MAX_TEXT, NotFinite

__all__ = [
    "MAX_COLLABORATORS",
    "MAX_METRICS",
    "MAX_NAME",
    "CollaboratorProgress",
    "HistoryHead",
    "Metric",
    "Progress",
    "UpdateCounts",
    "finite",
    "non_finite",
    "ranked",
]

MAX_NOTICES = 8
MAX_COUNTED = 5000  # clusters whose updates are counted
HEADLINES = ("accuracy", "acc", "auc", "f1", "loss")  # the first metric whose name ends with one of these is the headline


def named(metrics: Any) -> Any:
    return by_name(metrics, MAX_NAME) if isinstance(metrics, Mapping) and all(isinstance(key, str) for key in metrics) else metrics


# Others in the namespace can write the ConfigMap: a value outside these limits makes it invalid, and texts are escaped (`panal.api.text`).
Count = Annotated[int, Field(ge=0, le=MAX_COUNT)]
Number = Annotated[float, Field(allow_inf_nan=False)]
Metric = Number | NotFinite
Name = Annotated[str, Field(max_length=MAX_NAME)]
Code = Annotated[str, AfterValidator(lambda text: shown(text, MAX_CODE))]
Text = Annotated[str, AfterValidator(lambda text: shown(text, MAX_TEXT))]
Digest = Annotated[str, Field(pattern=rf"^({DIGEST})?$")]
Hash = Annotated[str, Field(pattern=r"^([0-9a-f]{64})?$")]
Version = Annotated[str, Field(pattern=r"^[0-9A-Za-z.+!-]{0,32}$")]
Metrics = Annotated[dict[Name, Metric], Field(max_length=MAX_METRICS), BeforeValidator(named)]


Counts = Annotated[dict[Annotated[str, Field(pattern=rf"^{CLUSTER}$")], Count], Field(max_length=MAX_COUNTED)]


def ranked(names: Iterable[str]) -> list[str]:
    """Names of metrics, the headline first."""
    return sorted(
        names, key=lambda name: (next((n for n, word in enumerate(HEADLINES) if name.lower().endswith(word)), len(HEADLINES)), name)
    )


def finite(metrics: Mapping[str, Metric]) -> dict[str, float]:
    return {name: value for name, value in metrics.items() if not isinstance(value, str)}


def non_finite(metrics: Mapping[str, Metric]) -> dict[str, str]:
    """JSON has no numbers for these."""
    return {name: value for name, value in metrics.items() if isinstance(value, str)}


class CollaboratorProgress(Model):
    """The last report of one cluster, and its time (seconds since 1970). `reason` is a code (an exception's class name), never free text of
    the app; `message` is free text of the app, and empty unless the site's owner shares it."""

    round: Count = 0
    time: Number | None = None
    failed: bool = False
    reason: Code = ""
    message: Text = ""
    seconds: Number | None = None
    metrics: Metrics = Field(default_factory=dict)


class UpdateCounts(Model):
    """How many updates may have left each site of a private run (spec.privacy): `own` those for which this aggregator has asked, `earlier`
    those for which `lost` earlier ones have. Each of these may have asked for one more that nobody has heard of."""

    own: Counts = Field(default_factory=dict)
    earlier: Counts = Field(default_factory=dict)
    lost: Count = 0

    def by_cluster(self) -> dict[str, int]:
        """At most so many have left each site that was ever asked."""
        clusters = sorted({*self.own, *self.earlier})
        return {cluster: self.own.get(cluster, 0) + self.earlier.get(cluster, 0) + self.lost for cluster in clusters}

    def followed(self, before: UpdateCounts) -> UpdateCounts:
        """With those of the aggregator before this one, as it is known from one of several places."""
        clusters = sorted({*self.earlier, *before.own, *before.earlier})
        known = {c: max(self.earlier.get(c, 0), before.own.get(c, 0) + before.earlier.get(c, 0)) for c in clusters}
        return self.model_copy(update={"earlier": known, "lost": max(self.lost, before.lost + 1)})


class HistoryHead(Model):
    """The end of the chain of the rows of `history.jsonl` (`panal.evidence.rows`): how many there are, the hash that the first one follows,
    and that of the last one."""

    rows: Count = 0
    first: Hash = ""
    hash: Hash = ""


class SecureProgress(Model):
    """Of the last training phase with secure aggregation: how many clusters had to stay, and which have dropped out."""

    threshold: Count = 0
    dropped: Annotated[list[str], Field(max_length=MAX_COLLABORATORS)] = Field(default_factory=list)


class Progress(Model):
    """`attempt` is the aggregator Job's uid, so that progress of an older attempt is not mistaken for the current one's.
    `app_hash` is the SHA-256 of the app bundle, which is the only one that collaborators run; empty until it is known.
    `runtime_version` is the framework's version in the aggregator's image; those in the collaborators' images must be compatible with it.
    `connected` counts the collaborators connected to the aggregator (None: not known yet).
    `started` is true once the training has begun, `rounds_completed` counts finished rounds of `rounds_total`;
    `replies` and `failures` are those of the last training phase, `seconds` its round's duration; `selected` are the clusters whose updates
    a method of spec.server.aggregation has selected in it, and `secure` is None without secure aggregation.
    `checkpoint` is the last round whose state is stored, so that another aggregator can go on after it; `resumed` is the round after which
    this one went on (0: it began with the first).
    `metrics` are those of the last completed round as aggregated by the app, `reported` those of round `reported_round`, which continues.
    `waiting` is what the app or the reporter waits for before anything more happens; if that is replies, `replied` are clusters that have
    replied, as far as they are listed. `unusable` is why nothing can be stored, or why the run cannot begin with its `initial_model`
    (`unusable_reason` is then InitialModelUnusable): the run ends.
    `notices` are conditions that do not end the run, each with its message. `result` is what the run has produced: empty until it has
    ended, then Model, Files or Metrics. `updates` is None unless the run is private. `history` is None if the reporter
    does not chain its rows.
    """

    attempt: str = ""
    app_hash: Digest = ""
    runtime_version: Version = ""
    connected: Count | None = None
    started: bool = False
    rounds_completed: Count = 0
    rounds_total: Count = 0
    checkpoint: Count = 0
    resumed: Count = 0
    replies: Count = 0
    failures: Count = 0
    selected: Annotated[list[str], Field(max_length=MAX_COLLABORATORS)] = Field(default_factory=list)
    secure: SecureProgress | None = None
    seconds: Number | None = None
    metrics: Metrics = Field(default_factory=dict)
    reported_round: Count = 0
    reported: Metrics = Field(default_factory=dict)
    waiting: Text = ""
    replied: Annotated[list[str], Field(max_length=MAX_COLLABORATORS)] = Field(default_factory=list)
    unusable: Text = ""
    unusable_reason: Code = ""
    initial_model: InitialModelStatus | None = None
    evaluation: EvaluationStatus | None = None
    notices: Annotated[dict[Name, Text], Field(max_length=MAX_NOTICES)] = Field(default_factory=dict)
    result: Code = ""
    collaborators: dict[str, CollaboratorProgress] = Field(default_factory=dict)
    updates: UpdateCounts | None = None
    history: HistoryHead | None = None
    model: ModelStatus | None = None
    files: FilesStatus | None = None
