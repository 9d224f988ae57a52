"""A component of the job, in FLARE's server: writes the records of the rounds, hands the model over, and keeps the files that FLARE writes.

It also refreshes the list of clients, with which a job's process begins and which FLARE does not renew. It tells `Checkpoints` about the
model before and after each round.
"""

from __future__ import annotations

import contextlib
import shutil
import threading
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from nvflare.apis.event_type import EventType
from nvflare.apis.fl_component import FLComponent
from nvflare.apis.fl_constant import EventScope, FLContextKey
from nvflare.app_common.app_constant import AppConstants
from nvflare.app_common.app_event_type import AppEventType
from nvflare.app_common.utils.fl_model_utils import FLModelUtils

from .. import checkpoint, model
from ..codes import Ending
from ..files import RunError, append, log_line, number, shown
from ..records import NoModel, Number, Record, Started, Stopped
from ..working_directory import volume_dir
from . import flare
from .checkpoints import Checkpoints, StateLostError
from .codes import FINISHED, cluster_name
from .journal import Journal, numbers

REFRESH = 2.0  # seconds between two looks at the list of clients
RESULTS = "flare"  # the folder of FLARE's files in the app's working directory
NOT_KEPT = shutil.ignore_patterns("app_*", "*log*.txt", "log*.json", "*.log", "fl_app.txt", "pool_stats", "meta.json", "audit.*")


class Recorder(FLComponent):  # type: ignore[misc]
    def __init__(self, first: int | None = None, done: int = 0, digest: str = "") -> None:
        """The arguments are those of Checkpoints."""
        super().__init__()
        self._journal, self._lock = Journal(), threading.RLock()
        self._checkpoints = Checkpoints(first, done, digest)
        self._metrics: Any = None  # of FLARE's last aggregation, as the workflow has them
        self._stopped = threading.Event()
        self._failed = False
        self._results: dict[str, dict[str, Number]] = {}  # by cluster: the metrics of the result that is being processed
        self._events = {
            EventType.START_RUN: self._start,
            AppEventType.INITIAL_MODEL_LOADED: self._loaded,
            AppEventType.ROUND_STARTED: self._round,
            AppEventType.BEFORE_TRAIN_TASK: self._sent,
            EventType.AFTER_TASK_DATA_FILTER: self._assigned,
            EventType.BEFORE_PROCESS_SUBMISSION: self._result,
            EventType.AFTER_PROCESS_SUBMISSION: self._processed,
            AppEventType.AFTER_AGGREGATION: self._aggregated,
            EventType.FATAL_SYSTEM_ERROR: self._fatal,
            EventType.ABOUT_TO_END_RUN: self._finish,
            EventType.END_RUN: self._ended,
        }

    def handle_event(self, event_type: str, fl_ctx: Any) -> None:
        if fl_ctx.get_prop(FLContextKey.EVENT_SCOPE) == EventScope.FEDERATION:
            return  # a site has fired it
        if (handler := self._events.get(event_type)) is not None:
            with self._lock:
                try:
                    handler(fl_ctx)
                except StateLostError as error:
                    self._lost(f"The state of the run cannot be restored: {error}", fl_ctx)

    def _start(self, fl_ctx: Any) -> None:
        append(Started(rounds=number("PANAL_ROUNDS", 1)))
        threading.Thread(target=self._refresh, args=(fl_ctx.get_engine(),), daemon=True).start()

    def _refresh(self, engine: Any) -> None:
        while not self._stopped.wait(REFRESH):
            with contextlib.suppress(RuntimeError):  # the main process has ended the job
                engine.sync_clients_from_main_process()

    def _loaded(self, fl_ctx: Any) -> None:
        self._checkpoints.loaded(fl_ctx.get_prop(AppConstants.GLOBAL_MODEL), self._journal)

    def _round(self, fl_ctx: Any) -> None:
        self._checkpoints.begins()
        current = int(fl_ctx.get_prop(AppConstants.CURRENT_ROUND, 0))
        first = self._checkpoints.first
        if first is None:
            first = int(fl_ctx.get_prop(AppConstants.START_ROUND, 0) or 0)
        self._write(self._journal.begin(current - first + 1, time.monotonic()))
        self._checkpoint(current - first, fl_ctx)

    def _checkpoint(self, round_: int, fl_ctx: Any) -> None:
        """`round_` is complete, and its records are written."""
        self._checkpoints.write(round_, fl_ctx.get_prop(AppConstants.GLOBAL_MODEL), self._metrics, self._journal)

    def _sent(self, fl_ctx: Any) -> None:
        self._checkpoints.sent(fl_ctx.get_prop(AppConstants.TRAIN_SHAREABLE))

    def _assigned(self, fl_ctx: Any) -> None:
        self._journal.assigned(_task(fl_ctx), fl_ctx.get_prop(FLContextKey.TASK_NAME, ""), _peer(fl_ctx), time.monotonic())

    def _result(self, fl_ctx: Any) -> None:
        """FLARE may drop the content of a result while it processes it."""
        self._results[_peer(fl_ctx)] = metrics_of(fl_ctx.get_prop(FLContextKey.TASK_RESULT))

    def _processed(self, fl_ctx: Any) -> None:
        cluster, result = _peer(fl_ctx), fl_ctx.get_prop(FLContextKey.TASK_RESULT)
        accepted = bool(fl_ctx.get_prop(AppConstants.AGGREGATION_ACCEPTED, True))
        code, metrics = str(result.get_return_code()), self._results.pop(cluster, {})
        self._journal.replied(_task(fl_ctx), cluster, code, accepted, metrics, time.monotonic())

    def _aggregated(self, fl_ctx: Any) -> None:
        result = fl_ctx.get_prop(AppConstants.AGGREGATION_RESULT)
        self._metrics = getattr(result, "metrics", None)
        self._journal.metrics = numbers(self._metrics)

    def _fatal(self, fl_ctx: Any) -> None:
        if not self._failed:
            self._failed = True
            reason = str(fl_ctx.get_prop(FLContextKey.EVENT_DATA, "") or "no reason given")
            append(Stopped(reason=Ending.SERVER_APP_FAILED, message=f"FLARE ended the job: {shown(reason, 500)}"))

    def _lost(self, message: str, fl_ctx: Any) -> None:
        """Ends the job. The next aggregator starts with the first round."""
        self._failed = True
        append(Stopped(reason=Ending.STATE_LOST, message=message))
        checkpoint.reset()
        self.system_panic(message, fl_ctx)

    def _finish(self, fl_ctx: Any) -> None:
        """The model is that of the last complete round: a workflow aggregates at the end of a round."""
        self._stopped.set()
        complete = not self._failed and not fl_ctx.get_run_abort_signal().triggered
        self._write(self._journal.end(time.monotonic(), complete=complete))
        if complete:
            self._checkpoint(self._journal.round, fl_ctx)
        if not self._journal.completed:
            return
        try:
            hand_over(arrays_of(fl_ctx.get_prop(AppConstants.GLOBAL_MODEL)), self._journal)
        except RunError as error:
            append(Stopped(reason=error.reason, message=error.message))
        except Exception as error:  # noqa: BLE001  the job's model may be anything
            why = shown(f"{type(error).__name__}: {error}", 300)
            append(Stopped(reason=Ending.ARRAYS_NOT_STORABLE, message=f"The model cannot be handed over: {why}"))

    def _write(self, records: Iterable[Record]) -> None:
        for record in records:
            append(record)

    def _ended(self, fl_ctx: Any) -> None:
        self._keep_files(fl_ctx)
        if not self._failed and not fl_ctx.get_run_abort_signal().triggered:
            (flare.folder() / FINISHED).touch()

    def _keep_files(self, fl_ctx: Any) -> None:
        """Copies what FLARE and the job have written to the app's working directory, whose new files are stored."""
        folder, volume = Path(fl_ctx.get_workspace().get_run_dir(fl_ctx.get_job_id())), volume_dir()
        if volume is None or not (volume / "app").is_dir():
            return
        try:
            shutil.copytree(folder, volume / "app" / RESULTS, ignore=NOT_KEPT, dirs_exist_ok=True)
        except (OSError, shutil.Error) as error:
            log_line(f"FLARE's files cannot be copied: {error}")


def _peer(fl_ctx: Any) -> str:
    """The cluster whose request is processed; `peers` has compared it with the client."""
    return cluster_name(str(fl_ctx.get_peer_context().get_identity_name()))


def _task(fl_ctx: Any) -> str:
    """The id of the task: FLARE's own where it is assigned, and what the site says with a result."""
    return str(fl_ctx.get_prop(FLContextKey.TASK_ID, ""))


def metrics_of(result: Any) -> dict[str, Number]:
    """The metrics of a task's result; none if it has no model or metrics in FLARE's form."""
    try:
        return numbers(FLModelUtils.from_shareable(result).metrics)
    except Exception:  # noqa: BLE001  an app may send what it likes
        return {}


def arrays_of(model: Any) -> dict[str, Any]:
    """The named arrays of a model of FLARE, with tensors of PyTorch as numpy arrays."""
    import numpy as np

    weights = model.get("weights") if isinstance(model, Mapping) else None
    if not isinstance(weights, Mapping):
        return {}
    return {str(name): np.asarray(value.detach().cpu().numpy() if hasattr(value, "detach") else value) for name, value in weights.items()}


def hand_over(arrays: Mapping[str, Any], journal: Journal) -> None:
    """Hands the model over. Raises RunError if it cannot be stored."""
    if arrays:
        model.hand_over(arrays, journal.completed, journal.history, "FLARE", ("nvflare", "numpy", "torch"))
    else:
        append(NoModel(message="The job has no global model"))
