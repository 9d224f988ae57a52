"""What a service serves, has served, and is to serve.

KServe copies the annotations of an InferenceService to its Pods, so that a change of one replaces them. The state is therefore in a
ConfigMap beside it. It is written before the InferenceService, so that a process may be killed at any moment: what is `pending` has not
been proven to answer, and `serving` has.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field, replace
from typing import Any

Object = dict[str, Any]
STATES = ("serving", "previous", "pending", "canary")
ADOPTED = "adopted"
LABELS = {"app.kubernetes.io/managed-by": "panal-serve"}  # of all objects; panal's controller watches those with another value


@dataclass(frozen=True, slots=True)
class Version:
    """`predictor` is `spec.predictor` of the InferenceService. `digests`: those of the files that a runtime may load, as sha256:<hex>;
    empty if they are not known. `metrics`: by source, then by name."""

    run: str
    uid: str
    uri: str
    digests: tuple[str, ...]
    predictor: Object
    round: int = 0
    metrics: dict[str, dict[str, float]] = field(default_factory=dict)

    @property
    def revision(self) -> str:
        """Identifies the Pods that serve this version, among those of the same service."""
        content = json.dumps([self.uid, self.uri, self.digests, self.predictor], sort_keys=True)
        return hashlib.sha256(content.encode()).hexdigest()[:12]


@dataclass(frozen=True, slots=True)
class State:
    """`serving` has answered. `previous` served before it. `pending` is to replace `serving`; `canary` runs beside it. `adopted`: the
    InferenceService is older than this state, so that without `serving` it is not known what it served."""

    serving: Version | None = None
    previous: Version | None = None
    pending: Version | None = None
    canary: Version | None = None
    adopted: bool = False

    @property
    def going_back(self) -> bool:
        """Whether what is pending is the previous version: a rollback that was interrupted."""
        return self.pending is not None and self.previous is not None and self.pending.revision == self.previous.revision

    def proven(self) -> State:
        """What is pending has answered."""
        same = self.serving is not None and self.pending is not None and self.serving.revision == self.pending.revision
        return replace(self, serving=self.pending, previous=self.previous if same else self.serving, pending=None)

    def returned(self) -> State:
        """What is pending, the previous version, has answered: there is none before it."""
        return replace(self, serving=self.pending, previous=None, pending=None)


def state_name(service: str) -> str:
    """The ConfigMap with the state."""
    return f"{service}-served"


def written(state: State, service: str, namespace: str, owner: Object | None) -> Object:
    """The ConfigMap. `owner`: the InferenceService, with which it is deleted; None before it exists."""
    data = {each: json.dumps(asdict(version), sort_keys=True) for each in STATES if (version := getattr(state, each))}
    data |= {ADOPTED: "true"} if state.adopted else {}
    metadata: Object = {"name": state_name(service), "namespace": namespace, "labels": LABELS}
    if owner is not None:
        metadata["ownerReferences"] = [owned_by(owner)]
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}


def is_ours(obj: Object) -> bool:
    labels: dict[str, str] = obj["metadata"].get("labels") or {}
    return LABELS.items() <= labels.items()


def owned_by(owner: Object) -> Object:
    metadata = owner["metadata"]
    return {"apiVersion": owner["apiVersion"], "kind": owner["kind"], "name": metadata["name"], "uid": metadata["uid"]}


def read(config: Object) -> State:
    """Raises ValueError if it is not as `written` makes it."""
    data = config.get("data") or {}
    try:
        return State(**{each: _version(data[each]) for each in STATES if each in data}, adopted=ADOPTED in data)
    except (TypeError, KeyError, AttributeError) as error:
        raise ValueError(str(error)) from error


def _version(text: str) -> Version:
    found = json.loads(text)
    return Version(**{**found, "digests": tuple(found["digests"])})
