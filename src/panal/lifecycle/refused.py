"""Objects that an API server refuses. It names a field of the object; the message names the field of the run that it comes from."""

from __future__ import annotations

import re
from collections.abc import Mapping

from panal.api import names
from panal.lifecycle.reasons import Reason, Trouble
from panal.lifecycle.world import Refusal

LENGTH = 500  # characters of an API server's message
_POD = r"(?<=spec\.template\.spec\.)(?:(?:initC|c)ontainers\[[^]]*]\.)?(env|resources|image|tolerations|nodeSelector|imagePullSecrets)\b"
_LISTENER = "spec.server.listeners[0]"
_FURTHER = re.compile(r"-aggregator-(\d)$")  # the name of an object of a listener after the first: see names.listener
_OF_THE_NOTEBOOK = re.compile(r"^spec\.server\.(env|resources|image)$")
# By kind: fields of the object, and the field of the run. `\1` is the part of the path that both have.
_FIELDS: Mapping[str, tuple[tuple[str, str], ...]] = {
    "Job": ((_POD, r"spec.server.\1"),),
    "StatefulSet": ((_POD, r"spec.client.\1"),),
    "PersistentVolumeClaim": (
        (r"metadata\.name", "spec.server.storage.name"),
        (r"spec\.resources", "spec.server.storage.size"),
    ),
    "Service": ((r"spec\.ports", f"{_LISTENER}.port"),),
    "Route": ((r"spec\.host", f"{_LISTENER}.host"),),
    "TLSRoute": ((r"spec\.hostnames", f"{_LISTENER}.host"),),
    "Ingress": ((r"spec\.rules|host \"", f"{_LISTENER}.host"),),
    "Placement": ((r"(?<!\w)spec(\.[\w.\[\]]*\w\]?)", r"spec.client.placement\1"),),
    "ManagedClusterSetBinding": ((r"metadata\.name", "spec.client.placement.clusterSets"),),
}


def by_the_hub(refusal: Refusal) -> Trouble:
    what = f"the hub refuses {refusal.kind} {refusal.name}: {refusal.message[:LENGTH]}"
    found = [_of_object(field, refusal) for field in fields(refusal.kind, refusal.message)]
    return Trouble.of(Reason.OBJECT_REFUSED, f"{', '.join(found)}: {what}" if found else what)


def _of_object(field: str, refusal: Refusal) -> str:
    """Further listeners have objects of their own, and there are two Jobs."""
    if refusal.kind == "Job" and refusal.name.endswith(names.validation("")):
        return _OF_THE_NOTEBOOK.sub(r"spec.validation.\1", field)
    further = _FURTHER.search(refusal.name)
    return field.replace(_LISTENER, _LISTENER.replace("0", str(int(further[1]) - 1))) if further else field


def by_a_cluster(message: str) -> str:
    """What is wrong with the settings of the client; empty if the message names none of them."""
    found = fields("StatefulSet", message)
    return f"{', '.join(found)}: the cluster refuses the collaborator: {message[:LENGTH]}" if found else ""


def fields(kind: str, message: str) -> list[str]:
    """The fields of the run that an API server's message about an object of this kind is about."""
    found = (match.expand(field) for path, field in _FIELDS.get(kind, ()) for match in re.finditer(path, message))
    return list(dict.fromkeys(found))
