"""OpenFL's Aggregator, guarded: one thread at a time changes it, and it gets only results that it can aggregate.

Threads of the gRPC server ask for tasks and bring results; the main thread starts and ends the rounds. So a failed aggregation ends the
run, and not the request of a collaborator, which would repeat it for ever.

OpenFL takes the results as they arrive, and aggregates those of the sites in its list of collaborators that have completed all tasks. When
the round is about to end, `settle` takes the sites out of this list whose results differ from those of the majority.
"""

from __future__ import annotations

import threading
from collections import defaultdict
from typing import Any

from ..checkpoint import Saved
from ..codes import MAX_CODE, Refused
from ..files import Json, log_line, shown
from ..refusals import Refusals
from .assignment import Assignment, EndingPolicy
from .journal import Metric, Outcome
from .majority import Result, Results, outliers, weightless
from .replies import Rules, Shape, Tensor, names, refused, too_many
from .resuming import MODEL, read_results, restore, results_as_json, state_of
from .sites import Sites

FAILED = "panal.failed"  # the name of the task by which a collaborator reports that the app raised an exception


class Federation:
    """`agg` is OpenFL's Aggregator."""

    def __init__(self, agg: Any, policy: EndingPolicy, assignment: Assignment, sites: Sites, rules: Rules) -> None:
        self.agg, self.sites, self.rules = agg, sites, rules
        self._policy, self._assignment = policy, assignment
        self._lock = threading.RLock()
        self._open = False  # whether collaborators get tasks
        self._model: dict[str, Shape] = {}
        self._initial = frozenset(self.model())  # the names of the initial model's tensors
        self._results: dict[str, dict[str, Result]] = {}  # that OpenFL has accepted in this round, by cluster and task
        self._before: Results | None = None  # of one of the sites that the last round aggregated
        self._refusals = Refusals()
        agg._end_of_round_check_done = defaultdict(bool)  # a list of fixed length, and rounds may be added

    def admit(self, clusters: frozenset[str]) -> None:
        """Sets the participants. OpenFL keeps the earlier ones, because it protects tensors by the names that it knows."""
        with self._lock:
            self.sites.participants = clusters
            self.agg.authorized_cols = sorted({*self.agg.authorized_cols, *clusters})
            self.agg.collaborators_done[:] = [each for each in self.agg.collaborators_done if each in clusters]

    def begin_round(self, rounds: int) -> None:
        """`rounds` is the number of rounds that is wanted now."""
        found = self.model()
        with self._lock:
            self.agg.rounds_to_train = rounds
            self._model = {name: tuple(numbers.shape) for name, numbers in found.items()}
            self._results = {}
            self.sites.begin_round()
            self._open = True

    def done(self) -> frozenset[str]:
        """The participants that have completed all tasks of the round."""
        with self._lock:
            return frozenset(self.agg.collaborators_done)

    def settle(self) -> bool:
        """Ends the acceptance of results if OpenFL can aggregate those that it has. Otherwise the round goes on without the sites whose
        results do not fit those of the others."""
        with self._lock:
            done = {cluster: self._results[cluster] for cluster in self.agg.collaborators_done}
            found = outliers(done, self._before) if self.rules.consistent else {}
            found = found or weightless(done, self._assignment.all_tasks_in_groups)
            self.agg.collaborators_done[:] = [each for each in self.agg.collaborators_done if each not in found]
            for cluster, verdict in found.items():
                self.refuse(cluster, *verdict)
            self._open = self._open and bool(found)
            return not found

    def end_round(self, failed: dict[str, str], rounds: int) -> Outcome:
        """Aggregates the round. `rounds` as in `begin_round`: OpenFL ends the experiment after the last one."""
        with self._lock:
            number, done = self.agg.round_number, frozenset(self.agg.collaborators_done)
            training = frozenset(task for cluster in done for task, each in self._results[cluster].items() if each.trained)
            before = next((self._results[cluster] for cluster in self.agg.collaborators_done), self._before)
            self._open, self.agg.rounds_to_train = False, rounds
            own = [metric for metric in self._metrics() if metric.origin in done]
            self._policy.end_round()
            if self.agg.round_number != number + 1:
                raise RuntimeError(f"OpenFL did not end round {number}")
            self._before = before
            aggregated = [metric._replace(origin="") for metric in self._metrics()]
            tasks = self._assignment.all_tasks_in_groups
            return Outcome(number + 1, tasks, training, done, failed, self.sites.seconds(), own + aggregated)

    def model(self) -> dict[str, Any]:
        """The tensors that the current round starts with."""
        with self._lock:
            found = self.agg.tensor_db.get_tensors_by_round_and_tags(self.agg.round_number, MODEL)
        return {key.tensor_name: numbers for key, numbers in found.items() if key.origin == self.agg.uuid}

    def final(self) -> dict[str, Any]:
        """The model that the last round left. Later rounds may add the states of optimizers, which are no part of it."""
        found = self.model()
        return {name: numbers for name, numbers in found.items() if name in self._initial} or found

    def functions(self) -> list[Any]:
        """Those that aggregate the tasks."""
        return [self._assignment.get_aggregation_type_for_task(task) for task in self._assignment.all_tasks_in_groups]

    def state(self) -> tuple[dict[str, Any], Json]:
        """What the next aggregator needs to go on, as arrays and JSON."""
        with self._lock:
            arrays, content = state_of(self.agg, self.model())
            return arrays, {**content, "before": results_as_json(self._before)}

    def restore(self, saved: Saved) -> None:
        """Goes on after the round of this checkpoint. Raises any exception if it does not fit."""
        with self._lock:
            restore(self.agg, saved)
            self._before = read_results(saved.state["before"])
            if missing := self._initial - self.model().keys():
                raise ValueError(f"it lacks {shown(min(missing), 60)}")

    def _metrics(self) -> list[Metric]:
        found = []
        while not self.agg.metric_queue.empty():
            each = self.agg.metric_queue.get_nowait()
            found.append(Metric(each["metric_origin"], each["task_name"], each["metric_name"], float(each["metric_value"])))
        return found

    # Called by the threads of the gRPC server:

    def tasks(self, cluster: str) -> tuple[int, list[str]]:
        """The number of the round, from 0, and the tasks that the cluster has not completed; none if it has to wait."""
        with self._lock:
            if not self._open or cluster in self.sites.failed():
                return self.agg.round_number, []
            found, number, _, _ = self.agg.get_tasks(cluster)
            if found:
                self.sites.started(cluster)
            return number, list(found or [])

    def has(self, name: str, round_: int, report: bool, tags: tuple[str, ...]) -> bool:
        """Whether OpenFL can answer a request for this tensor. Otherwise it would wait a minute for it."""
        from openfl.utilities import TensorKey

        wanted = tuple(tag for tag in tags if tag not in ("compressed", "lossy_compressed"))
        if "aggregated" in wanted and "delta" in wanted and round_ != 0:
            wanted = ("aggregated",)
        return self.agg.tensor_db.get_tensor_from_cache(TensorKey(name, self.agg.uuid, round_, report, wanted)) is not None

    def results(self, cluster: str, message: Any) -> None:
        """Takes the results of a task: an OpenFL TaskResults. Refused ones count as a failure of the cluster in this round."""
        if message.round_number != self.agg.round_number or cluster in self.sites.failed():
            return  # of a round that has ended, or after a failure
        task = message.task_name
        if task == FAILED:
            self._fail(cluster, _class_name(message), "the app raised an exception")
        elif task not in self._assignment.all_tasks_in_groups:
            self.refuse(cluster, Refused.REPLY_INVALID, f"the plan has no task {shown(task, 60)}")
        else:
            self._task_results(cluster, message)

    def refuse(self, cluster: str, reason: Refused, text: str) -> None:
        self._fail(cluster, str(reason), text)

    def _fail(self, cluster: str, reason: str, text: str) -> None:
        """The first failure of a cluster in a round counts, and none after it has completed all tasks."""
        with self._lock:
            late = cluster in self.agg.collaborators_done
            if not late:
                self.sites.fail(cluster, reason)
            what = "failed after it had completed all tasks, which is ignored" if late else "has no part in it"
            line = f"round {self.agg.round_number + 1}: {cluster} {what}: {reason}: {text}"
        for each in self._refusals.lines(cluster, line):
            log_line(each)

    def _task_results(self, cluster: str, message: Any) -> None:
        task = message.task_name
        if too_many(len(message.tensors), self._model):
            self.refuse(cluster, Refused.REPLY_INVALID, f"the results of {task} have {len(message.tensors)} tensors")
            return
        try:
            tensors = [decoded(self.agg, each) for each in message.tensors]
        except Exception as error:  # noqa: BLE001  decoding raises many types for what a site may send
            self.refuse(cluster, Refused.REPLY_INVALID, f"the results of {task} cannot be decoded ({type(error).__name__})")
            return
        rules = Rules(self.rules.consistent, self.rules.finite, self.agg.authorized_cols)
        verdict = refused(task, message.data_size, message.round_number, tensors, self._model, rules)
        if verdict is not None:
            self.refuse(cluster, *verdict)
            return
        with self._lock:
            self._accept(cluster, message, tensors)

    def _accept(self, cluster: str, message: Any, tensors: list[Tensor]) -> None:
        task, own = message.task_name, self._results.setdefault(cluster, {})
        if not self._open or message.round_number != self.agg.round_number or cluster in self.sites.failed() or task in own:
            return
        try:
            self.agg.send_local_task_results(cluster, message.round_number, task, message.data_size, message.tensors)
        except Exception as error:  # noqa: BLE001  a site must not end the run
            self.refuse(cluster, Refused.REPLY_INVALID, f"OpenFL does not accept the results of {task} ({type(error).__name__})")
            return
        own[task] = Result(names(tensors), message.data_size)
        self.sites.finished(cluster, task)


def decoded(agg: Any, named: Any) -> Tensor:
    """Decodes an OpenFL NamedTensor. Raises any exception for an invalid one."""
    from openfl.utilities import TensorKey

    tags = tuple(named.tags)
    if not {"compressed", "lossy_compressed"} & set(tags):
        raise ValueError("the tensor is not encoded")
    parts = [{"int_to_float": p.int_to_float, "int_list": p.int_list, "bool_list": p.bool_list} for p in named.transformer_metadata]
    key = TensorKey(named.name, agg.uuid, named.round_number, named.report, tags)
    _, numbers = agg.tensor_codec.decompress(key, data=named.data_bytes, transformer_metadata=parts, require_lossless="compressed" in tags)
    return Tensor(named.name, named.round_number, named.report, frozenset(tags), numbers)


def _class_name(message: Any) -> str:
    name = message.tensors[0].name if message.tensors else ""
    return name if name.isidentifier() and name.isascii() and len(name) <= MAX_CODE else "Exception"
