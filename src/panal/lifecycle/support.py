"""Checks that this version supports a run. Other runs fail at once, with a reason that names the field."""

from __future__ import annotations

import re

from panal.api import names
from panal.api.names import MAX_RUN_NAME
from panal.api.spec import AggregationMethod
from panal.api.types import Mode, Result, Spec, StorageType
from panal.lifecycle import initial_model, privacy, publication, storage, validation
from panal.lifecycle.pods import HOME
from panal.lifecycle.reasons import Reason, Trouble
from panal.placement.data import data_claim
from panal.runtimes import framework_of, installed, runtime_for

NOT_FOR_APPS = (names.IDENTITY_SECRET, names.PROXY, names.SITE_CONTROLLER)  # Secrets and ConfigMaps of a site
READS = {"secretKeyRef": "Secret", "configMapKeyRef": "ConfigMap"}
RUN_NAME = re.compile(rf"[a-z](?:[-a-z0-9]{{0,{MAX_RUN_NAME - 2}}}[a-z0-9])?")


def unsupported(name: str, spec: Spec) -> Trouble | None:
    """Why this run cannot run here, or None."""
    if not RUN_NAME.fullmatch(name):  # the CRD refuses such a name; resources of the previous controller may have one
        return Trouble.of(Reason.INVALID_SPEC, f"metadata.name: {name} is not a DNS label of at most {MAX_RUN_NAME} characters")
    runtime = runtime_for(framework_of(spec))
    if runtime is None:
        return Trouble.of(Reason.RUNTIME_NOT_SUPPORTED, _not_installed(framework_of(spec)))
    if problem := runtime.problem(spec) or _of_updates(spec, possible=runtime.examines_updates):
        return Trouble.of(Reason.INVALID_SPEC, problem)
    if problem := storage.KINDS[spec.server.storage.type].problem(spec.server.storage):
        return Trouble.of(Reason.INVALID_SPEC, problem)
    if problem := initial_model.problem(name, spec, possible=runtime.warm_start) or validation.problem(spec) or publication.problem(spec):
        return Trouble.of(Reason.INVALID_SPEC, problem)
    found = _not_of_an_evaluation(spec) or _of_the_sites(spec) or privacy.problem(spec, possible=runtime.protects_updates)
    if problem := found:
        return Trouble.of(Reason.INVALID_SPEC, problem)
    for field, image in (("server", spec.server.image), ("client", spec.client.image)):
        if not image:
            return Trouble.of(Reason.INVALID_SPEC, f"spec.{field}.image is empty")
    if not data_claim(spec.client.placement, spec.client.data_claim):
        return Trouble.of(Reason.DATA_CLAIM_MISSING, "spec.client.dataClaim: the run does not name the data that it needs")
    return None


def _of_updates(spec: Spec, *, possible: bool) -> str:
    """What the aggregator of this framework would not do with updates; empty if nothing is asked of it."""
    asked = {
        "aggregation.method": spec.server.aggregation.method is not AggregationMethod.APP,
        "replies.largestUpdateNorm": spec.server.replies.largest_update_norm is not None,
    }
    found = [f"spec.server.{field}" for field, is_set in asked.items() if is_set and not possible]
    return f"{', '.join(found)}: not possible with framework {spec.framework}, only with flower; remove this" if found else ""


def _not_of_an_evaluation(spec: Spec) -> str:
    """The fields that ask for what no evaluation produces; empty if there is none. The CRD refuses them as well."""
    asked = {"result": spec.result not in (None, Result.NONE), "validation": spec.validation, "publish": spec.publish}
    found = [f"spec.{field}" for field, is_set in asked.items() if is_set] if spec.mode is Mode.EVALUATE else []
    return f"{', '.join(found)}: not with mode Evaluate, which produces only metrics; remove this" if found else ""


def _of_the_sites(spec: Spec) -> str:
    """The variables of collaborators that read what only panal's own containers may have at a site; empty if there is none."""
    for each in spec.client.env:
        source = each.get("valueFrom")
        for field, kind in READS.items():
            reference = source.get(field) if isinstance(source, dict) else None
            name = reference.get("name") if isinstance(reference, dict) else None
            if name in NOT_FOR_APPS:
                where = f"spec.client.env[{each.get('name')}].valueFrom.{field}"
                return f"{where}: the {kind} {name} of a site is for panal's gateway alone; remove the variable"
    return ""


def ignored_fields(spec: Spec) -> list[str]:
    """Fields that are accepted for compatibility with older resources and have no effect."""
    runtime = runtime_for(framework_of(spec))
    found = [*runtime.ignored_fields(spec)] if runtime else []
    if spec.server.storage.type is StorageType.S3_BUCKET and spec.server.storage.path:
        found.append("spec.server.storage.path")
    sides = {"server": spec.server.env, "client": spec.client.env}
    return [*found, *(f"spec.{side}.env {HOME['name']}" for side, env in sides.items() if HOME["name"] in [e.get("name") for e in env])]


def _not_installed(framework: str) -> str:
    return f"spec.framework: {framework} is not installed on the hub; installed are: {', '.join(installed()) or 'none'}"
