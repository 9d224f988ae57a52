"""Evaluates a model at each site in place of the rounds of `Strategy.start` (`spec.mode: Evaluate`).

Round 1: each site evaluates the global model, which is that of `spec.server.initialModel`. In the rounds after it, each site trains a model
of its own, which begins with the app's initial arrays, and evaluates it after the last one. The client app's own `evaluate` and `train` do
all of this, with the messages that the strategy configures; the strategy aggregates nothing, and no site gets what another has trained.

The exchange of messages is that of rounds: replies are examined, a site that does not reply is asked again, and fewer evaluations of the
global model than the quorum end the run. A local model that is missing costs only the comparison at its site. The table of the sites is
handed over to the reporter.
"""

from __future__ import annotations

import importlib
import math
import os
import time
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from ..codes import TRAIN, Ending, Unanswered
from ..files import EVALUATION, PARTICIPANTS, RunError, append, number, read_json, run_dir, write_json
from ..records import Number, Reply, Round
from .aggregation import base_rules
from .codes import EVALUATE, EVALUATE_LOCAL
from .exchange import Exchange, copy_for
from .judge import Judge
from .minimum import set_minimums
from .replies import Phase
from .watch import ROUND_TIMEOUT, watch_of

REPEATS = 2
NAMED = 10  # distinct failures in one message
JOIN, POLL = 60.0, 0.2  # seconds
EXAMPLES = "num-examples"
LOCAL = "local "  # before the names of what concerns a local model: no status shows its numbers as those of the global one


def wanted() -> bool:
    return os.environ.get("PANAL_MODE") == "Evaluate"


class Evaluation:
    """One evaluation. `call` has the arguments of `start`, `own` the app's initial arrays, and `model` the global model."""

    def __init__(self, strategy: Any, call: Mapping[str, Any], own: Any, model: Any) -> None:
        self.strategy, self.call, self.own, self.model = strategy, call, own, model
        self.grid = call["grid"]
        self.watch = watch_of(self.grid)
        self.journal = self.watch.journal
        rules = replace(base_rules(), consistent=False, finite=False, weighted_by=EXAMPLES)
        self.exchange = Exchange(self.watch.unobserved(self.grid), Judge(rules), self.watch.clusters, spares=False)
        self.record = str(getattr(strategy, "arrayrecord_key", "arrays"))
        self.config = str(getattr(strategy, "configrecord_key", "config"))
        self.min_clients = number("PANAL_MIN_CLIENTS", 1)
        self.local_rounds = number("PANAL_LOCAL_ROUNDS", 0)
        self.timeout = float(number("PANAL_ROUND_TIMEOUT", ROUND_TIMEOUT))
        self._configured: tuple[tuple[str, int], dict[int, Any]] = ("", 0), {}  # kind and round, and its messages by node

    def run(self) -> Any:
        """Returns what `start` returns: the global model, with its average metrics as those of round 1."""
        set_minimums(self.strategy, self.min_clients)
        self.watch.observing = True
        try:
            self.journal.started(1 + self.local_rounds)
            found, average = self._global()
            local = self._local(found.collaborators, average) if self.local_rounds else Phase()
        finally:
            self.watch.observing = False
        write_json(run_dir() / EVALUATION, {"sites": table(found, local), "localRounds": self.local_rounds})
        result = nothing(self.model)
        result.evaluate_metrics_clientapp[1] = _flower().MetricRecord({k: v for k, v in average.items() if isinstance(v, (int, float))})
        return result

    def _global(self) -> tuple[Phase, dict[str, Number]]:
        began = time.monotonic()
        absent = self._wait_for_all()
        _, phase = self._ask(EVALUATE, 1, dict.fromkeys(self._nodes(), self.model))
        phase.failed |= dict.fromkeys(absent - phase.collaborators.keys() - phase.failed.keys(), Unanswered.NOT_CONNECTED)
        phase.failures = max(phase.failures, len(phase.failed))
        average = averages(phase.collaborators.values())
        self.journal.phase(1, EVALUATE, phase, phase.seconds, average)
        if self._too_few(phase):
            self._give_up(phase)
        self.journal.end(1, time.monotonic() - began)
        return phase, average

    def _wait_for_all(self) -> set[str]:
        """Waits up to JOIN seconds until all participants are connected, because the run begins with the quorum. Returns those that are
        not."""
        wanted, end = set((read_json(run_dir() / PARTICIPANTS) or {}).get("clusters", ())), time.monotonic() + JOIN
        while absent := wanted - {self.watch.clusters.of(node) for node in self._nodes()}:
            if time.monotonic() >= end:
                break
            time.sleep(POLL)
        return absent

    def _local(self, known: Mapping[str, Reply], average: Mapping[str, Number]) -> Phase:
        """Trains and evaluates the local models of the sites that have evaluated the global one. Returns the phase of the evaluation, with
        the failures of the training."""
        local: dict[str, Any] = dict.fromkeys(known, self.own)
        failed: dict[str, str] = {}
        for round_ in range(1, self.local_rounds + 1):
            began = time.monotonic()
            replies, phase = self._ask(TRAIN, round_, self._by_node(local))
            trained = {self.watch.clusters.of(reply.metadata.src_node_id): reply for reply in replies if reply.has_content()}
            local = {cluster: self._arrays(reply.content) for cluster, reply in trained.items() if cluster}
            failed |= phase.failed
            self.journal.phase(1 + round_, TRAIN, of_local_models(phase), phase.seconds, {})
            if round_ < self.local_rounds:
                self.journal.end(1 + round_, time.monotonic() - began)
        _, found = self._ask(EVALUATE, self.local_rounds, self._by_node(local))
        found.failed = {**failed, **found.failed}
        metrics, seconds = {**average, **_named_local(averages(found.collaborators.values()))}, round(found.seconds, 3)
        fields = of_local_models(found).record_fields()
        append(Round(round=1 + self.local_rounds, phase=EVALUATE_LOCAL, seconds=seconds, metrics=metrics, **fields))
        self.journal.end(1 + self.local_rounds, time.monotonic() - began)
        return found

    def _ask(self, kind: str, round_: int, models: Mapping[int, Any]) -> tuple[list[Any], Phase]:
        """Sends each node its model. Sites that do not reply are asked again, as in the rounds of a training."""
        messages = [self._message(kind, round_, node, arrays) for node, arrays in models.items()]
        replies, phase = self.exchange(messages, self.timeout, kind)
        for _ in range(REPEATS):
            if not self._too_few(phase):
                break
            replies, phase = self.exchange.resend(self.timeout, kind, self.min_clients)
        self.exchange.clear()
        return replies, phase

    def _message(self, kind: str, round_: int, node: int, arrays: Any) -> Any:
        """As the strategy configures it, which may choose only some of the nodes: the others get a copy of the first one."""
        templates = self._templates(kind, round_)
        template = templates.get(node) or next(iter(templates.values()))
        content = type(template.content)(dict(template.content.items()))
        content[self._name(content)] = arrays
        return copy_for(template, node, content)

    def _templates(self, kind: str, round_: int) -> dict[int, Any]:
        if self._configured[0] != (kind, round_):
            config = self.call.get(f"{kind}_config")
            config = _flower().ConfigRecord(dict(config.items()) if config else {})
            configure = getattr(self.strategy, f"configure_{kind}")
            found = {message.metadata.dst_node_id: message for message in configure(round_, self.own, config, self.grid)}
            self._configured = (kind, round_), found or {0: self._plain(kind, round_, config)}
        return self._configured[1]

    def _plain(self, kind: str, round_: int, config: Any) -> Any:
        """For a strategy that leaves out this phase."""
        config["server-round"] = round_
        return _flower().Message(_flower().RecordDict({self.record: self.own, self.config: config}), 1, kind)

    def _name(self, content: Any) -> str:
        """The record with the model."""
        return self.record if self.record in content.array_records else next(iter(content.array_records), self.record)

    def _arrays(self, content: Any) -> Any:
        return content.array_records.get(self._name(content), self.own)

    def _nodes(self) -> list[int]:
        return sorted(self.exchange.nodes())

    def _by_node(self, local: Mapping[str, Any]) -> dict[int, Any]:
        named = {self.watch.clusters.of(node): node for node in self._nodes()}
        return {named[cluster]: arrays for cluster, arrays in local.items() if cluster in named}

    def _too_few(self, phase: Phase) -> bool:
        return phase.replies < min(self.min_clients, phase.sent)

    def _give_up(self, phase: Phase) -> None:
        named = ", ".join(sorted(set(phase.failed.values()))[:NAMED]) or "no reply"
        message = f"{phase.replies} of {phase.sent} sites have evaluated the model, {self.min_clients} needed ({named})"
        raised = phase.replies == 0 and phase.user_failures == phase.failures
        reason = Ending.ALL_COLLABORATORS_FAILED if raised else Ending.QUORUM_LOST
        self.journal.stopped(reason, message)
        raise RunError(reason, message)


def nothing(arrays: Any) -> Any:
    """The result of a `start` without rounds. Further calls of an app that calls it several times get it: only the first is evaluated."""
    result = importlib.import_module("flwr.serverapp.strategy.result").Result()
    result.arrays = arrays
    return result


def table(found: Phase, local: Phase) -> dict[str, dict[str, Any]]:
    """The sites by name: `global` and `local` metrics, and in `failed` and `localFailed` the codes why they are missing."""
    sites: dict[str, dict[str, Any]] = {cluster: {"global": reply.get("metrics", {})} for cluster, reply in found.collaborators.items()}
    sites |= {cluster: {"failed": code} for cluster, code in found.failed.items()}
    for cluster, reply in local.collaborators.items():
        sites.setdefault(cluster, {})["local"] = reply.get("metrics", {})
    for cluster, code in local.failed.items():
        if cluster in sites and "local" not in sites[cluster]:
            sites[cluster]["localFailed"] = code
    return sites


def of_local_models(phase: Phase) -> Phase:
    """`phase` with names of metrics that say that they are those of local models."""
    named = {
        cluster: Reply(**{**reply, "metrics": _named_local(reply.get("metrics", {}))}) for cluster, reply in phase.collaborators.items()
    }
    return replace(phase, collaborators=named)


def _named_local(metrics: Mapping[str, Number]) -> dict[str, Number]:
    return {f"{LOCAL}{name}": value for name, value in metrics.items()}


def averages(replies: Iterable[Reply]) -> dict[str, Number]:
    """The averages of the metrics, weighted by the numbers of examples, without those that are not finite."""
    sums: dict[str, tuple[float, float]] = {}
    for reply in replies:
        metrics = reply.get("metrics", {})
        weight = metrics.get(EXAMPLES)
        if isinstance(weight, str) or weight is None or weight <= 0:
            continue
        for name, value in metrics.items():
            if name != EXAMPLES and not isinstance(value, str):
                total, of = sums.get(name, (0.0, 0.0))
                sums[name] = total + value * weight, of + weight
    return {name: total / of for name, (total, of) in sums.items() if math.isfinite(total)}


def _flower() -> Any:
    return importlib.import_module("flwr.app")
