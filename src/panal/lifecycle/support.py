"""What this version can run: everything else ends at once, with a reason that names the field, instead of waiting for ever."""

from __future__ import annotations

import re

from panal.api.names import MAX_RUN_NAME
from panal.api.types import Framework, Spec
from panal.lifecycle import exposure, storage
from panal.lifecycle.reasons import Reason, Trouble
from panal.placement.data import data_claim
from panal.runtimes import runtime_for

RUN_NAME = re.compile(rf"[a-z](?:[-a-z0-9]{{0,{MAX_RUN_NAME - 2}}}[a-z0-9])?")


def unsupported(name: str, spec: Spec) -> Trouble | None:
    """Why this run cannot run here, or None."""
    if not RUN_NAME.fullmatch(name):  # the CRD refuses such a name; resources of the former controller may have one
        return Trouble.of(Reason.INVALID_SPEC, f"metadata.name: {name} is not a DNS label of at most {MAX_RUN_NAME} characters")
    if runtime_for(spec.framework) is None:
        return Trouble.of(Reason.RUNTIME_NOT_SUPPORTED, f"spec.framework: {_framework(spec.framework)} cannot be run by this version")
    for i, listener in enumerate(spec.server.listeners[:1]):
        if listener.type not in exposure.KINDS:
            message = f"spec.server.listeners[{i}].type: {listener.type} cannot be made by this version"
            return Trouble.of(Reason.LISTENER_NOT_SUPPORTED, message)
    if spec.server.storage.type not in storage.KINDS:
        return Trouble.of(
            Reason.STORAGE_NOT_SUPPORTED, f"spec.server.storage.type: {spec.server.storage.type} cannot be used by this version"
        )
    for field, image in (("server", spec.server.image), ("client", spec.client.image)):
        if not image:
            return Trouble.of(Reason.INVALID_SPEC, f"spec.{field}.image is empty")
    if not data_claim(spec.client.placement, spec.client.data_claim):
        return Trouble.of(Reason.DATA_CLAIM_MISSING, "spec.client.dataClaim: the run does not say which data of the clusters it needs")
    return None


def ignored_fields(spec: Spec) -> list[str]:
    """Fields that are accepted for the sake of older resources and have no effect."""
    found = []
    if spec.server.superlink:
        found.append("spec.server.superlink")
    if spec.client.supernode:
        found.append("spec.client.supernode")
    if len(spec.server.listeners) > 1:
        found.append("spec.server.listeners after the first")
    return found


def _framework(framework: Framework) -> str:
    return f"{framework} (OpenFL's form)" if framework is Framework.OTHER else str(framework)
