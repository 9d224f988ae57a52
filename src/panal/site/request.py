"""What a collaborator's Pod asks of a site, read from the Pod itself.

The hub writes the Pod, so only what the Pod is counts: its images, its data, its program and variables. What the hub says about the run
(namespace, name, purpose, requester, rounds, clusters) is in an annotation, and is the hub's word. Everything else of the Pod must be as in
every collaborator (`panal.site.form`): another form might mount the data or reach the network without a decision of the owner.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from panal.api import names
from panal.api.placements import DNS_NAME
from panal.site import form
from panal.site.budgets import Terms, terms
from panal.site.form import NotRecognizedError, expect

__all__ = ["ID_LENGTH", "Asked", "NotRecognizedError", "asked", "images", "trimmed"]

Object = Mapping[str, Any]

ID_LENGTH = 32  # hexadecimal digits
LONGEST_ANNOTATION = 4096  # bytes
LARGEST = 32 << 10  # bytes of all that a Pod asks, as JSON: the ledger has it of each
LENGTHS = {"namespace": 63, "name": 63, "uid": 63, "purpose": 200, "requester": 253, "framework": 63}  # of what the hub says
ADDED = ("minimum_clusters",)  # later than the others: the id of a request without it is as before
COUNTS = ("rounds", "minimumClusters")
LARGEST_COUNT = 1 << 53
REQUIRED = ("namespace", "name", "uid", "framework")
LARGEST_SPEC = 128 << 10  # bytes of a collaborator's, as JSON
STATUSES = ("initContainerStatuses", "containerStatuses")
MOST_CONTAINERS = 4
LONGEST_IMAGE = 500  # characters of the kubelet's name of an image
KEPT = ("name", "namespace", "uid", "resourceVersion", "deletionTimestamp")
NOT_ASKED = ("pod", "uid", "aggregator", "rounds")  # differ between Pods of one run


@dataclass(frozen=True, slots=True)
class Asked:
    """`run`: the uid of the run. `aggregator`: host and port that the gateway connects to. `program`: of a run without a framework.
    `data`: the location that is mounted, or the bucket; empty for none. `secrets`: those that the main container reads. `variables`: of the
    run's author, with their values or where these come from, as JSON. `rounds` and `minimum_clusters`: how many the run
    plans, and how many clusters a round needs, as the hub says; 0 if it does not.
    `privacy`: how updates are protected, as JSON; empty if they are not."""

    pod: str
    uid: str
    namespace: str
    name: str
    run: str
    framework: str
    purpose: str
    requester: str
    image: str
    panal_images: tuple[str, ...]
    program: tuple[str, ...]
    app_hash: str
    data: str
    secrets: tuple[str, ...]
    variables: tuple[tuple[str, str], ...]
    rounds: int
    minimum_clusters: int
    minimum_examples: int
    privacy: str
    aggregator: str

    @property
    def key(self) -> str:
        """What the run is counted by."""
        return self.run

    @property
    def noise_multiplier(self) -> float:
        """0 for updates that are not protected."""
        return self.terms.noise

    @property
    def terms(self) -> Terms:
        return terms(self.data, self.privacy)

    @property
    def aggregates_securely(self) -> bool:
        return isinstance(self._privacy("secureAggregation"), dict)

    @property
    def threshold(self) -> int:
        """The least number of sites whose sum is revealed; 0 if it depends on how many begin."""
        found = self._privacy("secureAggregation")
        return _count(found.get("threshold")) if isinstance(found, dict) else 0

    def _privacy(self, name: str) -> Any:
        try:
            return json.loads(self.privacy or "{}").get(name)
        except (ValueError, AttributeError, RecursionError):
            return None

    @property
    def id(self) -> str:
        """Hexadecimal digits for exactly this: another image, app, program or data of the same run is another request."""
        content = {name: value for name, value in asdict(self).items() if name not in NOT_ASKED and (value or name not in ADDED)}
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:ID_LENGTH]

    def record(self) -> dict[str, Any]:
        """For the ledger and for people."""
        found = {
            "request": self.id,
            "run": f"{self.namespace}/{self.name}",
            "uid": self.run,
            "framework": self.framework,
            "purpose": self.purpose,
            "requester": self.requester,
            "image": self.image,
            "panalImages": list(self.panal_images),
            "program": list(self.program),
            "appHash": self.app_hash,
            "data": self.data,
            "secrets": list(self.secrets),
            "variables": dict(self.variables),
            "rounds": self.rounds,
            "minimumClusters": self.minimum_clusters,
            "minimumExamples": self.minimum_examples,
            "privacy": self.privacy,
            "aggregator": self.aggregator,
        }
        return {name: value for name, value in found.items() if value}


def asked(pod: Object) -> Asked:
    """What a Pod asks. Raises NotRecognizedError."""
    metadata = pod["metadata"]
    said, counts = _said(metadata)
    parts = form.parts(pod)
    expect(said["framework"] == parts.framework, f"metadata.annotations[{names.ANNOTATION_REQUEST}].framework")
    found = Asked(
        pod=metadata["name"],
        uid=metadata.get("uid") or "",
        namespace=said["namespace"],
        name=said["name"],
        run=said["uid"],
        framework=parts.framework,
        purpose=said["purpose"],
        requester=said["requester"],
        image=parts.image,
        panal_images=parts.panal_images,
        program=parts.program,
        app_hash=parts.app_hash,
        data=parts.data,
        secrets=parts.secrets,
        variables=parts.variables,
        rounds=counts["rounds"],
        minimum_clusters=counts["minimumClusters"],
        minimum_examples=parts.minimum_examples,
        privacy=parts.privacy,
        aggregator=parts.aggregator,
    )
    if len(json.dumps(found.record())) > LARGEST:
        raise NotRecognizedError(f"its variables, program and other fields have more than {LARGEST >> 10} KiB")
    return found


def trimmed(pod: Object) -> dict[str, Any]:
    """What of a Pod is read, for a cache: the hub may create many of them, with much in them. Of what is too large for any collaborator so
    much is kept that it is not recognized."""
    metadata = {name: value for name, value in pod["metadata"].items() if name in KEPT}
    if said := (pod["metadata"].get("annotations") or {}).get(names.ANNOTATION_REQUEST):
        metadata["annotations"] = {names.ANNOTATION_REQUEST: said[: LONGEST_ANNOTATION + 1]}
    spec, status = pod["spec"], pod.get("status") or {}
    if len(json.dumps(spec)) > LARGEST_SPEC:
        spec = {name: value for name, value in spec.items() if name == "schedulingGates"}
    conditions = [each for each in status.get("conditions") or () if each.get("type") == names.SITE_GATE]
    kept = {"conditions": conditions, **{name: _trimmed(status[name]) for name in STATUSES if status.get(name)}}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec, "status": kept}


def _trimmed(statuses: list[Object]) -> list[dict[str, str]]:
    return [{name: str(each.get(name) or "")[:LONGEST_IMAGE] for name in ("name", "imageID")} for each in statuses[:MOST_CONTAINERS]]


def images(pod: Object) -> dict[str, str]:
    """What the containers run, by their names: the kubelet's name of the image, with its digest. Empty until each has one."""
    status = pod.get("status") or {}
    found = {each["name"]: each.get("imageID") or "" for name in STATUSES for each in status.get(name) or ()}
    spec = pod["spec"]
    wanted = {each["name"] for name in ("initContainers", "containers") for each in spec.get(name) or ()}
    return dict(sorted(found.items())) if found.keys() >= wanted and all(found.values()) else {}


def _said(metadata: Object) -> tuple[dict[str, str], dict[str, int]]:
    """What the hub says: texts of one line, and counts, 0 for those that it does not say."""
    where = f"metadata.annotations[{names.ANNOTATION_REQUEST}]"
    text = (metadata.get("annotations") or {}).get(names.ANNOTATION_REQUEST) or ""
    expect(0 < len(text.encode()) <= LONGEST_ANNOTATION, where)
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        found = None
    expect(isinstance(found, dict), where)
    said = {name: found.get(name) or "" for name in LENGTHS}
    for name, value in said.items():
        expect(isinstance(value, str) and len(value) <= LENGTHS[name] and value.isprintable(), f"{where}.{name}")
        expect(value or name not in REQUIRED, f"{where}.{name}")
    for name in ("namespace", "name"):
        expect(re.fullmatch(DNS_NAME, said[name]), f"{where}.{name}")
    return said, {name: _count(found.get(name)) for name in COUNTS}


def _count(value: Any) -> int:
    return value if type(value) is int and 0 < value <= LARGEST_COUNT else 0
