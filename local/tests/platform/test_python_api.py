"""The Python API on the platform: a script as a user writes it, runs whose hub is killed, and runs that fail."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import re
import signal
import subprocess
import sys
import threading

import numpy as np
import pytest

import panal
from panal.client.problem import Code, Problem
from waiting import eventually

LONG = 300.0  # seconds; only what fails takes so long
SCRIPT = """
import json
import panal

run = panal.run("./myapp", rounds=2, timeout=300)
model = run.model("models")
print(json.dumps({
    "name": run.name, "digest": model.digest, "path": str(model.path), "round": model.round, "flwr": model.metadata["versions"]["flwr"],
    "shapes": {name: array.shape for name, array in model.arrays.items()}, "rounds": [each.round for each in run.history()],
}))
"""


@pytest.fixture(scope="module", autouse=True)
def environment(home):
    """This process uses the platform, as a notebook's kernel does."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("KUBECONFIG", raising=False)
        patch.setenv("PANAL_HOME", str(home.folder.root))
        patch.chdir(home.work)
        yield


@pytest.fixture(scope="module")
def app(home):
    home.panal("new", "myapp")
    return home.work / "myapp"


def sha256(path) -> str:
    return f"sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}"


def test_a_script_starts_the_platform_and_gets_its_model(home, app):
    (home.work / "models").mkdir()
    done = subprocess.run([sys.executable, "-c", SCRIPT], cwd=home.work, env=home.env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    assert re.search(r"^the platform is up ", done.stdout, re.MULTILINE)
    assert re.search(r"^round 2/2: accuracy 0\.\d+", done.stdout, re.MULTILINE)
    assert re.search(r"^Completed: model after 2 rounds", done.stdout, re.MULTILINE)
    found = json.loads(done.stdout.splitlines()[-1])
    assert (found["name"], found["round"], found["rounds"]) == ("myapp-1", 2, [1, 2])
    assert found["shapes"] == {"weight": [2, 4], "bias": [4]}
    status = home.json("get", "myapp-1")["status"]["model"]
    file = home.work / "models/myapp-1.safetensors"
    assert found["digest"] == status["digest"] == sha256(file)
    assert str(file) == found["path"]


def test_a_changed_model_is_refused_and_one_that_is_here_is_kept(home):
    run = panal.FederatedLearning.get("myapp-1")
    folder = home.work / "models"
    file = folder / "myapp-1.safetensors"
    before = file.stat().st_mtime_ns
    assert run.model(folder).path == file
    assert file.stat().st_mtime_ns == before
    (stored,) = home.folder.root.glob("**/myapp-1/*/model.safetensors")
    content = stored.read_bytes()
    stored.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    try:
        assert run.model(folder).path == file, "nothing is downloaded"
        with pytest.raises(Problem, match="it is not the model that the run has stored"):
            run.model(home.work / "other.safetensors")
        assert not list(home.work.glob("*other.safetensors*"))
    finally:
        stored.write_bytes(content)


@pytest.mark.long
async def test_a_run_is_followed_over_kills_of_its_hub_where_a_loop_runs(home, app):
    """As in a cell: the calls are plain functions, and an event loop runs in the thread that calls them."""
    assert asyncio.get_running_loop()
    run = panal.FederatedLearning.from_app(app, rounds=12).apply()
    seen: list[panal.Progress] = []
    thread = threading.Thread(target=lambda: [seen.append(each) for each in run.watch(LONG)], daemon=True)
    thread.start()
    for part, completed in (("hub-controller", 1), ("hub", 3)):
        eventually(lambda completed=completed: seen and seen[-1].round >= completed, f"round {completed} is complete")
        os.kill(home.parts()[part].pid, signal.SIGKILL)
    thread.join(LONG)
    assert (seen[-1].phase, seen[-1].round, seen[-1].current) == ("Completed", 12, True)
    rounds = [each.round for each in seen]
    assert rounds == sorted(rounds)
    assert [each.round for each in run.history()] == list(range(1, 13))
    model = run.model(home.work)
    assert model.digest == run.status.model.digest == sha256(model.path)
    assert np.isfinite(model.arrays["weight"]).all()
    assert run.history()[-1].metrics["accuracy"] == pytest.approx(run.status.metrics["accuracy"])


def test_an_app_that_fails_is_an_error_with_its_reason(home, app):
    broken = home.work / "broken"
    home.panal("new", "broken")
    file = broken / "broken/server_app.py"
    file.write_text(file.read_text().replace("@app.main()", "raise KeyError('no such key')\n\n\n@app.main()"))
    with pytest.raises(panal.RunFailed, match=r"broken-1 failed with the reason \w+: ") as found:
        panal.run(broken, rounds=1, timeout=LONG)
    assert found.value.code == Code.RUN_FAILED
    assert found.value.reason == next(c.reason for c in found.value.progress.status.conditions if c.type == "Failed")
    assert "panal logs broken-1" in found.value.__notes__[0]
    run = panal.FederatedLearning.get("broken-1")
    with pytest.raises(Problem, match="has no stored model"):
        run.model()
    run.delete(LONG)
    assert "broken-1" not in [each.name for each in panal.FederatedLearning.list()]


def test_the_platform_is_also_a_hub(home, app):
    """By its kubeconfig, as any hub: with an image, and the calls that change a run."""
    hub = {"kubeconfig": home.folder.kubeconfig}
    with pytest.raises(Problem, match="a run on a hub needs the image of the app"):
        panal.FederatedLearning.from_app(app, **hub)
    run = panal.FederatedLearning.from_app(app, name="on-hub", rounds=500, clients=2, image="app/myapp:latest", **hub).apply()
    assert run.namespace == "default"
    eventually(lambda: run.status.rounds.completed, "a round is complete")
    run.suspend()
    eventually(lambda: "suspended" in run.status.message.lower(), lambda: f"the run is suspended: {run.status.message}")
    run.stop()
    with pytest.raises(panal.RunFailed, match="with the reason Stopped"):
        run.wait(LONG)
