"""A hub with a run whose model is stored, as far as a command needs it."""

import hashlib

from fake_client import FakeAccess, FakeClient
from panal.kube.execution import ProgramFailed
from panal.lifecycle.decide import decide
from worlds import NOW, fresh

CONTENT = b"a model" * 1000
DIGEST = f"sha256:{hashlib.sha256(CONTENT).hexdigest()}"


def run(name="digits", digest=DIGEST, metrics=None, **status):
    model = {"uri": f"pvc://models/fl/ns/{name}/u/model.safetensors", "digest": digest, "size": len(CONTENT), "round": 3}
    metadata = {"name": name, "namespace": "ns", "uid": "u"}
    content = {"phase": "Completed", "completionTime": "2026-01-01T00:00:00Z", "model": model, "metrics": metrics or {"accuracy": 0.9}}
    return {"apiVersion": "federation-ai.open-cluster-management.io/v1alpha1", "kind": "FederatedLearning",
            "metadata": metadata, "spec": {}, "status": content | status}  # fmt: skip


class Hub(FakeClient):
    """Its Pods run at once. `content`: what a program in a container writes."""

    def __init__(self, *objects, content=CONTENT):
        super().__init__(*objects)
        self.content, self.asked, self.made = content, [], []

    async def create(self, obj):
        obj = obj | {"metadata": obj["metadata"] | {"name": "reading-1", "uid": "p"}, "status": {"phase": "Running"}}
        self.made.append(obj)
        return await self.apply(obj)

    async def execute(self, namespace, pod, container, command):
        self.asked.append((namespace, pod, container, command))
        if self.content is None:
            raise ProgramFailed("the storage has no x of this run")
        for start in range(0, len(self.content), 1000):
            yield self.content[start : start + 1000]

    async def delete(self, kind, namespace, name, uid="", grace=None):
        return await super().delete(kind, namespace, name, uid)


class Access(FakeAccess):
    local = False


def job():
    (found,) = (obj for obj in decide(fresh(), NOW).apply if obj["kind"] == "Job")
    owners = [each | {"uid": "u"} for each in found["metadata"]["ownerReferences"]]
    return found | {"metadata": found["metadata"] | {"namespace": "ns", "name": "digits-aggregator", "ownerReferences": owners}}


def hub(**more):
    return Hub(run(**more), job())
