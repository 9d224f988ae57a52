"""The model of a run on a hub, which a Pod reads from the storage."""

from __future__ import annotations

import hashlib
import json

import numpy as np
import pytest
from safetensors.numpy import save

from panal.client.problem import Code, Problem
from panal.kube.execution import ProgramFailed
from panal.sdk.model import MOST, fetched
from stored import Access, Hub, job, run

ARRAYS = {"layer.weight": np.arange(6, dtype=np.float32).reshape(2, 3), "layer.bias": np.zeros(2, np.float32)}
MODEL = save(ARRAYS)
METADATA = {"versions": {"flwr": "1.42.0"}}


class Stored(Hub):
    """`files` are those of the run's folder."""

    def __init__(self, *objects, files):
        super().__init__(*objects)
        self.files = files

    async def execute(self, namespace, pod, container, command):
        self.asked.append(command[-1])
        if command[-1] not in self.files:
            raise ProgramFailed(f"the storage has no {command[-1]} of this run")
        for start in range(0, len(self.files[command[-1]]), 1000):
            yield self.files[command[-1]][start : start + 1000]


def hub(model: bytes = MODEL, metadata: bytes | None = json.dumps(METADATA).encode(), digest: str = "") -> Stored:
    files = {"model.safetensors": model} | ({"metadata.json": metadata} if metadata is not None else {})
    return Stored(run(digest=digest or f"sha256:{hashlib.sha256(model).hexdigest()}"), job(), files=files)


async def got(of: Stored, to=None, said=None):
    found = next(obj for obj in of.objects.values() if obj["kind"] == "FederatedLearning")
    return await fetched(Access({"hub": of}), of, found, to, (said if said is not None else []).append)


async def test_it_is_here_with_its_digest_its_arrays_and_its_metadata(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    said: list[str] = []
    model = await got(hub(), said=said)
    assert model.path == tmp_path / "digits.safetensors"
    assert model.path.read_bytes() == MODEL
    assert (model.digest, model.round, model.metadata) == (f"sha256:{hashlib.sha256(MODEL).hexdigest()}", 3, METADATA)
    assert sorted(model.names) == sorted(ARRAYS)
    np.testing.assert_array_equal(model.arrays["layer.weight"], ARRAYS["layer.weight"])
    assert model.arrays is model.arrays, "read once"
    assert said[-1].endswith("of model.safetensors")


async def test_a_folder_a_file_and_a_folder_that_does_not_exist_yet(tmp_path):
    assert (await got(hub(), tmp_path)).path == tmp_path / "digits.safetensors"
    assert (await got(hub(), tmp_path / "new/mine.safetensors")).path == tmp_path / "new/mine.safetensors"


async def test_a_file_that_is_here_is_not_downloaded_again(tmp_path):
    (tmp_path / "digits.safetensors").write_bytes(MODEL)
    of = hub()
    assert (await got(of, tmp_path)).metadata == METADATA
    assert of.asked == ["metadata.json"]


async def test_another_file_than_the_run_has_stored_is_refused_and_what_is_here_stays(tmp_path):
    (tmp_path / "digits.safetensors").write_bytes(b"of an earlier run")
    with pytest.raises(Problem, match="it is not the model that the run has stored") as found:
        await got(hub(digest=f"sha256:{'0' * 64}"), tmp_path)
    assert found.value.code == Code.REFUSED
    assert [(file.name, file.read_bytes()) for file in tmp_path.iterdir()] == [("digits.safetensors", b"of an earlier run")]


@pytest.mark.parametrize("metadata", [None, b"", b"[1]", b"{", b"[" * 100_000, b" " * (MOST + 1)], ids=range(6))
async def test_a_model_does_not_depend_on_its_metadata(metadata, tmp_path):
    assert (await got(hub(metadata=metadata), tmp_path)).metadata == {}
