"""A component of FLARE's server: submits the job to FLARE's own job store when enough clusters are connected, instead of an administrator,
and follows it. FLARE starts a job only at the clients that are there at its start; this starts it also at those that join or return later.
"""

from __future__ import annotations

import threading
import time
import traceback
from typing import Any

from nvflare.apis.event_type import EventType
from nvflare.apis.fl_component import FLComponent
from nvflare.apis.fl_constant import RunProcessKey, SystemComponents
from nvflare.apis.job_def import JobMetaKey, RunStatus
from nvflare.apis.job_scheduler_spec import DispatchInfo
from nvflare.fuel.utils.zip_utils import zip_directory_to_bytes
from nvflare.private.defs import ERROR_MSG_PREFIX

from ..files import Json, append, log_line, number, write_json
from ..records import Connected
from . import flare
from .codes import STATE, cluster_name
from .job import ALL, NAME, load

POLL = 0.5  # seconds
SILENT = 12.0  # seconds without a sign of life until a client does not count as connected
AGAIN = 10.0  # seconds between two attempts to start the job at a client
ANSWER = 30.0  # seconds for a client's answer
AT_ONCE = 16  # clients at which the job is being started: one that does not answer does not keep the others waiting
ENDED = ("FINISHED", "ABANDONED")  # the beginnings of the final statuses


class Operator(FLComponent):  # type: ignore[misc]
    def handle_event(self, event_type: str, fl_ctx: Any) -> None:
        if event_type == EventType.SYSTEM_START:
            threading.Thread(target=self._run, args=(fl_ctx.get_engine(),), daemon=True).start()

    def _run(self, engine: Any) -> None:
        try:
            status = Following(engine).until_end()
        except Exception as error:  # noqa: BLE001  the main program reports it
            traceback.print_exc()
            status = repr(error)
        write_json(flare.folder() / STATE, {"completed": status == RunStatus.FINISHED_COMPLETED.value, "status": status})


class Following:
    """One job of the run, from its submission to its end."""

    def __init__(self, engine: Any) -> None:
        self._engine, self._jobs = engine, engine.get_component(SystemComponents.JOB_MANAGER)
        self._connected = -1
        self._tried: dict[str, float] = {}  # by name: when the job was last started at the client
        self._starting: set[str] = set()  # names of the clients at which the job is being started
        self._lock = threading.Lock()

    def until_end(self) -> str:
        """The job's last status in FLARE."""
        while len(self._look()) < number("PANAL_MIN_CLIENTS", 1):
            time.sleep(POLL)
        job = self._submit()
        while not (status := self._status(job)).startswith(ENDED):
            self._look()
            if status == RunStatus.RUNNING.value:
                self._admit(job)
            time.sleep(POLL)
        return status

    def _look(self) -> list[Any]:
        """The connected clients, one for each cluster: the last that has registered. Records their number when it changes."""
        now = time.time()
        found = list({each.name: each for each in self._engine.get_clients() if now - each.last_connect_time < SILENT}.values())
        if len(found) != self._connected:
            self._connected = len(found)
            append(Connected(count=self._connected))
        return found

    def _submit(self) -> str:
        meta: Json = load(flare.folder() / NAME / "meta.json") or {}
        meta[JobMetaKey.JOB_FOLDER_NAME.value] = NAME
        for key in (JobMetaKey.SUBMITTER_NAME, JobMetaKey.SUBMITTER_ORG, JobMetaKey.SUBMITTER_ROLE):
            meta[key.value] = "panal"
        content = zip_directory_to_bytes(str(flare.folder()), NAME)
        with self._engine.new_context() as fl_ctx:
            return str(self._jobs.create(meta, content, fl_ctx)[JobMetaKey.JOB_ID.value])

    def _status(self, job: str) -> str:
        with self._engine.new_context() as fl_ctx:
            return str(self._jobs.get_job(job, fl_ctx).meta.get(JobMetaKey.STATUS.value))

    def _admit(self, name: str) -> None:
        """Starts the job at connected clients that do not take part in it, as FLARE's job runner does it at the start of the job."""
        process = self._engine.run_processes.get(name)
        job = self._engine.job_runner.running_jobs.get(name)
        if process is None or job is None:
            return
        taking_part = process[RunProcessKey.PARTICIPANTS]
        for client in self._look():
            recent = time.monotonic() - self._tried.get(client.name, -AGAIN) < AGAIN
            if client.token in taking_part or recent or client.name in self._starting or len(self._starting) >= AT_ONCE:
                continue
            self._tried[client.name] = time.monotonic()
            self._starting.add(client.name)
            threading.Thread(target=self._try_at, args=(client, job, taking_part), daemon=True).start()

    def _try_at(self, client: Any, job: Any, taking_part: dict[str, Any]) -> None:
        try:
            self._start_at(client, job, taking_part)
        except Exception as error:  # noqa: BLE001  it is tried again
            log_line(f"the job cannot be started at {cluster_name(client.name)}: {error!r}")
        finally:
            self._starting.discard(client.name)

    def _start_at(self, client: Any, job: Any, taking_part: dict[str, Any]) -> None:
        app = next((app for app, sites in job.get_deployment().items() if ALL in sites or client.name in sites), None)
        if app is None:
            return
        runner = self._engine.job_runner
        log_line(f"starting the job at {cluster_name(client.name)}, which has connected later")
        with self._engine.new_context() as fl_ctx:
            message = runner._make_deploy_message(job, job.get_application(app, fl_ctx), app, fl_ctx)
            replies = self._engine.server.admin_server.send_requests_and_get_reply_dict({client.token: message}, timeout_secs=ANSWER)
            if replies.get(client.token) is None:
                log_line(f"{cluster_name(client.name)} has not answered; it is tried again")
                return
            with self._lock:
                self._start_deployed(client, app, job, taking_part, fl_ctx)

    def _start_deployed(self, client: Any, app: str, job: Any, taking_part: dict[str, Any], fl_ctx: Any) -> None:
        others = {token: each for token, each in taking_part.items() if each.name != client.name}
        job.meta[JobMetaKey.JOB_CLIENTS] = [each.to_dict() for each in (*others.values(), client)]
        for answer in self._engine.start_client_job(job, {client.name: DispatchInfo(app, {}, None)}, fl_ctx):
            if answer.reply is None or str(answer.reply.body).startswith(ERROR_MSG_PREFIX):
                log_line(f"{cluster_name(client.name)} does not start the job: {answer.reply and answer.reply.body}")
                return
        for token in taking_part.keys() - others.keys():
            del taking_part[token]
        taking_part[client.token] = client
