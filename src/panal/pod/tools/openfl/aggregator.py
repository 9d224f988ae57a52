"""The container of the aggregator: runs OpenFL's Aggregator for the rounds of the run, and ends with the run's result.

The main thread waits for the quorum, ends each round when `rounds` says so, writes records and checkpoints, and hands the final model over.
Threads of the gRPC server serve the collaborators all the time: until the quorum and after the last round they have no tasks for them.
"""

from __future__ import annotations

import os
import signal
import sys
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

from .. import checkpoint, working_directory
from ..checkpoint import Saved
from ..codes import END, TRAIN, Doubt, Ending, Unanswered
from ..ending import TERMINATED, conclude, main_program
from ..files import ROUNDS, RunError, append, log_line, loopback, number, participants, run_dir, straggler_grace
from ..model import hand_over
from ..records import Connected, Notice, Number, Round, Started
from . import workspace
from .assignment import Assignment, EndingPolicy, tasks_of
from .codes import AGGREGATOR_PORT, ENDINGS, LARGEST_REPLY
from .federation import Federation
from .final import replace_last
from .gate import Gate
from .journal import Outcome, records
from .known import refuse_unknown, repair
from .replies import Rules
from .resuming import not_resumable
from .rounds import Limits, View, is_over
from .service import Service, serve
from .sites import Sites

POLL = 0.1  # seconds between two looks at the state of a round


def main() -> int:
    code = main_program(_run, "aggregator")
    sys.stdout.flush()
    os._exit(code)  # threads that serve a request do not delay the end of the run


def _terminated(_signal: int, _frame: FrameType | None) -> None:
    os._exit(TERMINATED)


def _run() -> str:
    signal.signal(signal.SIGTERM, _terminated)  # at once, whatever code of the app runs
    refuse_unknown()
    working_directory.enter(workspace.find)
    workspace.configure_logging()
    plan = workspace.read_plan()
    repair()
    sites = Sites()
    federation = build(plan, sites)
    aggregator = Aggregator(federation, sites, resumable=_resumable(plan, federation))
    if aggregator.resumable and (saved := checkpoint.last()):
        aggregator.resume(saved)
    from openfl.transport import AggregatorGRPCServer

    stock = AggregatorGRPCServer(aggregator=federation.agg, agg_port=0, use_tls=False)
    service = Service(federation, stock, number("PANAL_LARGEST_REPLY", LARGEST_REPLY))
    server = serve(service, Gate(sites), f"{loopback()}:{number('PANAL_OPENFL_PORT', AGGREGATOR_PORT)}")
    end = aggregator.run(lambda model, at: _keep(plan, federation, model, at))
    working_directory.hand_over()
    message = conclude(end, ENDINGS)
    server.stop(0)  # without a reference to it, it would have stopped before
    return message


def build(plan: Any, sites: Sites) -> Federation:
    """OpenFL's Aggregator with panal's assigner and policy. Raises RunError if the workspace is not fit for it."""
    tasks = tasks_of(plan.config.get("assigner") or {}, (plan.config.get("tasks") or {}).keys())
    settings = plan.config["aggregator"]["settings"]
    policy = EndingPolicy()
    try:
        for name in ("best_state_path", "last_state_path"):
            Path(settings[name]).parent.mkdir(parents=True, exist_ok=True)
        assignment = Assignment(tasks, plan.get_tasks(), lambda: sites.participants or frozenset())
        plan.assigner_, plan.straggler_policy_ = assignment, lambda: policy
        agg = plan.get_aggregator(tensor_dict=initial_model(plan, Path(settings["init_state_path"])))
    except (Exception, SystemExit) as error:
        traceback.print_exc()
        raise RunError(Ending.APP_INVALID, f"The aggregator cannot be built from the workspace: {workspace.described(error)}") from error
    rules = Rules(os.environ.get("PANAL_REPLY_SHAPES") != "Any", os.environ.get("PANAL_REPLY_NUMBERS") != "Any")
    return Federation(agg, policy, assignment, sites, rules)


def initial_model(plan: Any, file: Path) -> dict[str, Any]:
    """The tensors of `file`, which `fx plan initialize` writes; those of a new task runner if it does not exist. The file's number of the
    round is not used: OpenFL would count the run's rounds from it."""
    from openfl.protocols import utils
    from openfl.utilities.dataloading import initialize_minimal_dataloader

    if file.is_file():
        tensors, _ = utils.deconstruct_model_proto(utils.load_proto(str(file)), plan.get_tensor_pipe())
    else:
        tensors = plan.get_task_runner(initialize_minimal_dataloader(plan)).get_tensor_dict(False)
    if not tensors:
        raise ValueError("the initial model has no tensors")
    return dict(tensors)


def _resumable(plan: Any, federation: Federation) -> bool:
    """Whether the run can be resumed exactly; writes a notice if not."""
    if why := not_resumable(plan.config, federation.functions()):
        append(Notice(kind=Doubt.NOT_RESUMABLE, message=why))
    return not why


def _keep(plan: Any, federation: Federation, model: Mapping[str, Any], round_: int) -> None:
    replace_last(plan, model, round_, federation.agg.last_state_path)


@dataclass
class Aggregator:
    """The rounds of the run."""

    federation: Federation
    sites: Sites
    limits: Limits = field(
        default_factory=lambda: Limits(
            number("PANAL_MIN_CLIENTS", 1), number("PANAL_QUORUM_TIMEOUT", 600), number("PANAL_ROUND_TIMEOUT", 3600), straggler_grace()
        )
    )
    history: dict[str, dict[int, dict[str, Number]]] = field(default_factory=dict)  # metrics by phase and round
    completed: int = 0  # rounds
    trained: bool = False
    connected: int = -1
    enough: float = 0.0  # time when the quorum was last connected
    resumable: bool = True  # whether the run has checkpoints

    def resume(self, saved: Saved) -> None:
        """Goes on after the round of this checkpoint. Raises RunError if it does not fit the workspace."""
        try:
            self.federation.restore(saved)
            history = saved.state["history"]
            self.history = {phase: {int(number): metrics for number, metrics in each.items()} for phase, each in history.items()}
            self.completed, self.trained = saved.round, bool(saved.state["trained"])
        except Exception as error:
            traceback.print_exc()
            checkpoint.reset()
            what = f"The checkpoint of round {saved.round} does not fit the workspace: {workspace.described(error)}"
            raise RunError(Ending.STATE_LOST, what) from error
        checkpoint.resumed(saved)

    def run(self, keep: Callable[[Mapping[str, Any], int], None]) -> RunError | None:
        """Runs all rounds, and hands the model of the last one over; also if a later one fails, whose failure is returned, whether or not
        the model can be stored. `keep` gets the same model."""
        failure: RunError | None = None
        try:
            if self.completed < rounds():
                self._wait_for_quorum()
            append(Started(rounds=rounds()))
            while self.completed < rounds():
                self._round()
                self._save()
        except RunError as end:
            failure = end
        try:
            if self.trained:
                self._hand_over(keep)
        except Exception as error:
            if failure is None:
                raise
            log_line(f"the model of round {self.completed} is not handed over: {workspace.described(error)}")
        return failure

    def _hand_over(self, keep: Callable[[Mapping[str, Any], int], None]) -> None:
        model = self.federation.final()
        hand_over(model, self.completed, self.history, "OpenFL", ("openfl", "numpy"))
        keep(model, self.completed)

    def _wait_for_quorum(self) -> None:
        end = time.monotonic() + self.limits.quorum_timeout
        while (count := len(self._look())) < self.limits.min_clients:
            if time.monotonic() > end:
                wanted = f"{self.limits.min_clients} are needed (spec.server.minAvailableClients)"
                few = f"{count} collaborators connected within {self.limits.quorum_timeout:.0f} s, {wanted}"
                raise RunError(Ending.QUORUM_NOT_REACHED, few)
            time.sleep(POLL)

    def _look(self) -> frozenset[str]:
        """Reads the participants, and returns the connected ones."""
        if (found := participants()) is not None and found != self.sites.participants:
            self.federation.admit(found)
        connected = self.sites.connected()
        if len(connected) != self.connected:
            self.connected = len(connected)
            append(Connected(count=self.connected))
        if self.connected >= self.limits.min_clients:
            self.enough = time.monotonic()
        return connected

    def _round(self) -> None:
        began, enough_after = time.monotonic(), None
        self.federation.begin_round(rounds())
        while True:
            connected, done, failed = self._look(), self.federation.done(), self.sites.failed()
            seconds = time.monotonic() - began
            if enough_after is None and len(done) >= self.limits.min_clients:
                enough_after = seconds
            short = time.monotonic() - self.enough
            view = View(self.completed + 1, connected, done, failed, seconds, enough_after, short)
            if self._is_over(view) and self.federation.settle():
                break
            time.sleep(POLL)
        missing = self._missing(self.federation.done(), self.sites.failed())
        self._record(self._aggregated(missing), time.monotonic() - began)

    def _missing(self, done: frozenset[str], failed: Mapping[str, str]) -> dict[str, str]:
        """The participants without a part in the round, and why."""
        return {**dict.fromkeys(self.sites.at_work() - done - failed.keys(), Unanswered.NO_REPLY.value), **failed}

    def _is_over(self, view: View) -> bool:
        """As `is_over`; records the failures of a round that fails."""
        try:
            return is_over(view, self.limits)
        except RunError:
            missing = self._missing(view.done, view.failed)
            append(Round(round=view.number, phase=TRAIN, replies=len(view.done), failures=len(missing), failed=missing))
            raise

    def _aggregated(self, failed: dict[str, str]) -> Outcome:
        try:
            return self.federation.end_round(failed, rounds())
        except Exception as error:
            traceback.print_exc()
            what = f"OpenFL could not aggregate round {self.completed + 1}: {workspace.described(error)}"
            raise RunError(Ending.SERVER_APP_FAILED, what) from error

    def _record(self, outcome: Outcome, seconds: float) -> None:
        for record in records(outcome):
            self.history.setdefault(record.phase, {})[record.round] = record.metrics or {}
            append(record)
        append(Round(round=outcome.number, phase=END, seconds=round(seconds, 3)))
        self.completed, self.trained = outcome.number, self.trained or bool(outcome.training)

    def _save(self) -> None:
        """Writes the checkpoint of the round. The run goes on without it if that fails."""
        if not self.resumable:
            return
        try:
            arrays, state = self.federation.state()
            checkpoint.write(self.completed, arrays.items(), {**state, "history": self.history, "trained": self.trained})
        except (OSError, ValueError) as error:
            what = f"the checkpoint of round {self.completed} could not be written: {workspace.described(error)}"
            log_line(what)
            append(Notice(kind=Doubt.CHECKPOINT_FAILED, message=what))


def rounds() -> int:
    """The number of rounds that the resource wants now. It may be raised during the run."""
    try:
        return int((run_dir() / ROUNDS).read_text())
    except (OSError, ValueError):
        return number("PANAL_ROUNDS", 1)
