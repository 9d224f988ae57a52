"""Whether a notebook approves the model: `spec.validation`, after the run is Completed.

The container `notebook` has the user's image and executes the notebook. `results` stores the executed notebook, the report and the metrics
beside the model. What this Job has in common with the others that follow a run is in `model_job`.
"""

from __future__ import annotations

from datetime import datetime

from panal.api import names, validation
from panal.api.figures import number
from panal.api.progress import finite, non_finite
from panal.api.types import Spec, ValidationStatus
from panal.lifecycle import model_job, pods
from panal.lifecycle.model_job import RESULTS_DIR, Finding, ModelJob
from panal.lifecycle.reasons import Reason, with_remedy
from panal.lifecycle.world import Object, Run, World

CONDITION = "Validated"
NOTEBOOK, RESULTS = "notebook", "results"  # containers
RESULTS_LIMIT = "512Mi"  # of the volume to which the notebook's container writes


def problem(spec: Spec) -> str:
    """What is wrong with the field; empty if nothing is."""
    return model_job.problem(spec, "spec.validation") if spec.validation else ""


def step(world: World, now: datetime) -> ModelJob | None:
    """None if nothing is validated."""
    wanted = world.run.spec.validation
    if wanted is None:
        return None
    return ModelJob(
        condition=CONDITION,
        name=names.validation(world.run.name),
        view=world.validation,
        seconds=wanted.timeout_seconds,
        doing=f"{wanted.notebook} of {wanted.image} is executed on the model",
        going=Reason.VALIDATING,
        failed=Reason.VALIDATION_FAILED,
        last=RESULTS,
        result=lambda message: _result(world.run, message, now),
        make=lambda: _job(world),
    )


def _result(run: Run, message: str, now: datetime) -> Finding | None:
    result = validation.read(message)
    if result is None:
        return None
    report = model_job.beside(run, f"{validation.FOLDER}/{validation.REPORT}")
    numbers = finite(result.metrics)
    status = ValidationStatus(metrics=numbers, non_finite_metrics=non_finite(result.metrics), report=report, time=now)
    if result.failure:
        said = with_remedy(Reason.NOTEBOOK_FAILED, result.failure)
        return Finding("False", Reason.NOTEBOOK_FAILED, said, {"validation": status})
    detail = ", ".join(f"{name} {number(value)}" for name, value in list(numbers.items())[:3])
    return Finding("True", Reason.VALIDATED, "all cells of the notebook succeeded", {"validation": status}, detail)


def _job(world: World) -> Object:
    run, wanted = world.run, world.run.spec.validation
    assert wanted is not None
    init = [pods.tools_container(world.images), model_job.copying(world), _notebook(world)]
    results = model_job.storing(world, RESULTS, "panal.pod.validating")
    pod = model_job.pod(world, init, results, model_job.users_volumes(RESULTS_LIMIT))
    return model_job.job(run, names.validation(run.name), "validation", wanted.timeout_seconds, pod)


def _notebook(world: World) -> Object:
    run, wanted = world.run, world.run.spec.validation
    assert wanted is not None
    settings = run.spec.server.model_copy(update={"env": wanted.env, "resources": wanted.resources})
    files = [f"{RESULTS_DIR}/{validation.EXECUTED}", f"{RESULTS_DIR}/{validation.REPORT}"]
    command = ["notebook", "execute", wanted.notebook, *files, "0", str(wanted.timeout_seconds)]
    return model_job.users_container(run, NOTEBOOK, wanted.image, command, settings)
