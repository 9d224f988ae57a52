"""The container of a collaborator: runs the tasks of the workspace's task runner on the site's data, until the container is stopped.

It never ends by itself, except if the image or the data is not fit: it waits for an aggregator that is not there yet, and after the last
round it waits to be stopped. An exception of the app ends the site's part in the round. The aggregator learns its class; its text stays in
the site's log.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
import time
import traceback
from types import FrameType
from typing import Any

from ..data import check_data
from ..files import RunError, gateway_port, log_line, terminate
from ..working_directory import enter
from . import workspace
from .channel import Channel, RefusedError, install
from .federation import FAILED
from .known import refuse_unknown, repair
from .resuming import LOCAL, forget

HEARTBEAT = 3.0  # seconds between two signs of life, also during a task
AGAIN = 5.0  # seconds after a refused request until the site asks for the tasks again
ANSWER = 10.0  # seconds until a sign of life counts as lost


def main() -> int:
    signal.signal(signal.SIGTERM, _stopped)
    try:
        check_data(os.environ.get("PANAL_DATA_PATH", ""))
        refuse_unknown()
        enter(workspace.find)
        workspace.configure_logging()
        plan = workspace.read_plan()
        repair()
        install()
        Site(plan, os.environ["PANAL_CLUSTER"]).run()
    except RunError as end:
        terminate(end.reason, end.message)
    return 1


def _stopped(_signal: int, _frame: FrameType | None) -> None:
    os._exit(0)


class Site:
    def __init__(self, plan: Any, cluster: str) -> None:
        self._plan, self._cluster = plan, cluster
        plan.config["network"]["settings"]["agg_port"] = gateway_port()
        plan.cols_data_paths = {cluster: workspace.data_path(plan.cols_data_paths, cluster)}
        self._client = plan.get_client(cluster)
        self._collaborator: Any = None  # created at the first task, because the app's code may raise
        self._aggregator = ""  # the identity of the one whose tasks were done last

    def run(self) -> None:
        """Does not return."""
        threading.Thread(target=self._heartbeat, daemon=True).start()
        while True:
            self.step()

    def step(self) -> None:
        """Asks for tasks, and does them. An aggregator that refuses a request may offer the same round again."""
        try:
            tasks, number, pause, _ = self._client.get_tasks()
            if tasks:
                self._tasks(tasks, number)
            else:
                time.sleep(max(pause, 1))
        except RefusedError as refusal:
            log_line(f"the aggregator refuses a request, and is asked for the tasks again: {refusal}")
            time.sleep(AGAIN)

    def _tasks(self, tasks: Any, number: int) -> None:
        if self._collaborator is not None and Channel.aggregator != self._aggregator:
            self._begin_again(number)
        self._aggregator = Channel.aggregator
        self._round(tasks, number)

    def _begin_again(self, number: int) -> None:
        """For another aggregator. If the run goes on there, the model and what it has of optimizers come from the aggregator, and the task
        runner stays as it is: a new one of OpenFL's would not ask for the optimizers' state in its first round."""
        if number == 0 or self._plan.config.get("collaborator", {}).get("settings", {}).get("opt_treatment") == LOCAL:
            restart("the aggregator is another one")
        log_line("the aggregator is another one, and the run goes on")
        forget(self._collaborator.tensor_db)

    def _round(self, tasks: Any, number: int) -> None:
        try:
            if self._collaborator is None:
                self._collaborator = self._plan.get_collaborator(self._cluster, client=self._client)
                self._collaborator.callbacks.on_experiment_begin()
            self._collaborator.callbacks.on_round_begin(number)
            logs: dict[str, Any] = {}
            for task in tasks:
                logs.update(self._collaborator.do_task(task, number))
            self._collaborator.tensor_db.clean_up(self._collaborator.db_store_rounds)
            self._collaborator.callbacks.on_round_end(number, logs)
        except RefusedError:
            raise
        except (Exception, SystemExit) as error:  # noqa: BLE001  the app's code
            traceback.print_exc()
            self._report(number, type(error).__name__)

    def _report(self, number: int, name: str) -> None:
        """Tells the aggregator the class of an exception."""
        from openfl.protocols import base_pb2

        log_line(f"round {number + 1} goes on without this site: {name}")
        try:
            self._client.send_local_task_results(number, FAILED, -1, [base_pb2.NamedTensor(name=name)])
        except RefusedError as refusal:
            log_line(f"the aggregator does not take the report: {refusal}")

    def _heartbeat(self) -> None:
        """A channel of its own, so that a long upload does not delay the signs of life."""
        import grpc
        from openfl.protocols import aggregator_pb2, aggregator_pb2_grpc
        from openfl.transport.grpc.common import create_header

        stub = aggregator_pb2_grpc.AggregatorStub(Channel(grpc.insecure_channel(self._client.uri)))
        header = create_header(self._cluster, self._plan.aggregator_uuid, self._plan.federation_uuid, "")
        while True:
            with contextlib.suppress(grpc.RpcError, RefusedError):  # the channel has logged it
                stub.Ping(aggregator_pb2.PingRequest(header=header), timeout=ANSWER)
            time.sleep(HEARTBEAT)


def restart(why: str) -> None:
    """Replaces this process by a new one: OpenFL keeps tensors of rounds in memory."""
    log_line(f"{why}; starting again")
    sys.stdout.flush()
    os.execv(sys.executable, sys.orig_argv)
