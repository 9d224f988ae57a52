"""The export of the model: an app may name a function that writes it in other forms, such as ONNX, after the run is Completed.

The function is named in the app's pyproject.toml; the aggregator's Pod reports it with the model (`status.model.export`). The container
`export` has the app's image and calls it, without network: a filter of the kernel refuses sockets (`panal.pod.tools.export.isolated`).
`results` stores what it has written in the folder `export` beside the model. What this Job has in common with the others that follow a run
is in `model_job`.
"""

from __future__ import annotations

from datetime import datetime

from panal.api import export, names
from panal.api.types import ExportStatus
from panal.lifecycle import model_job, pods
from panal.lifecycle.model_job import RESULTS_DIR, Finding, ModelJob
from panal.lifecycle.reasons import Reason
from panal.lifecycle.world import Object, Run, World

CONDITION = "Exported"
EXPORT, RESULTS = "export", "results"  # containers
SECONDS = 3600  # what the export and the checks may take
RESULTS_LIMIT = "10Gi"  # of the volume to which the export's container writes


def step(world: World, now: datetime) -> ModelJob | None:
    """None if the app exports nothing. Others in the namespace can write the progress: what is no function is not called."""
    model = world.run.status.model
    if model is None or not model.export or not export.FUNCTION.fullmatch(model.export):
        return None
    return ModelJob(
        condition=CONDITION,
        name=names.export(world.run.name),
        view=world.export,
        seconds=SECONDS,
        doing=f"{model.export} of the app exports the model",
        going=Reason.EXPORTING,
        failed=Reason.EXPORT_FAILED,
        last=RESULTS,
        result=lambda message: _result(world.run, message, now),
        make=lambda: _job(world),
        without=_problem(world),
    )


def _problem(world: World) -> Finding | None:
    """The run did not say that it would need the storage after its end, so that this is found here."""
    wrong = model_job.problem(world.run.spec, "[tool.panal] export of the app")
    return Finding("False", Reason.EXPORT_FAILED, wrong) if wrong else None


def _result(run: Run, message: str, now: datetime) -> Finding | None:
    result = export.read(message)
    if result is None:
        return None
    status = ExportStatus(
        uri=model_job.beside(run, names.EXPORT_FOLDER),
        files=result.files,
        count=result.count,
        size=result.size,
        digest=result.digest,
        time=now,
    )
    number = f"{result.count} file{'s' if result.count != 1 else ''}"
    detail = ", ".join(f"{each.name} ({each.check})" for each in result.files[:3])
    return Finding("True", Reason.EXPORTED, f"{number} at {status.uri}", {"export": status}, detail)


def _job(world: World) -> Object:
    init = [pods.tools_container(world.images), model_job.copying(world), _export(world)]
    results = model_job.storing(world, RESULTS, "panal.pod.exporting")
    pod = model_job.pod(world, init, results, model_job.users_volumes(RESULTS_LIMIT))
    return model_job.job(world.run, names.export(world.run.name), "export", SECONDS, pod)


def _export(world: World) -> Object:
    run, server = world.run, world.run.spec.server
    assert run.status.model is not None
    assert run.status.model.export is not None
    return model_job.users_container(run, EXPORT, server.image, ["export", "run", run.status.model.export, RESULTS_DIR], server)
