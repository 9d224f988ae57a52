"""FLARE's programs run with all of their hooks, or not at all. A package stands in for FLARE."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from panal.pod.tools.flare import flare
from panal.pod.tools.flare.client import Keeper
from panal.pod.tools.flare.hooks import HOOKS, UNGUARDED
from panal.pod.tools.flare.server import Server
from panal.pod.tools.flare.start import guarded
from panal.pod.tools.install import install

# What the hooks patch in these modules.
CONTENTS = {
    "nvflare.fuel.f3.drivers.grpc_driver": "class StreamerStub: pass\nclass Servicer: pass\n",
    "nvflare.private.fed.client.training_cmds": "class DeployProcessor:\n    def process(self): pass\n",
}
PROGRAM = "import sys\nif __name__ == '__main__':\n    print('runs', sys.argv[1:])\n    sys.exit(3)\n"


@pytest.fixture
def image(tmp_path: Path) -> Path:
    install(tmp_path / "tools")
    for name, text in {**CONTENTS, "nvflare.program": PROGRAM}.items():
        file = (tmp_path / "image" / name.replace(".", "/")).with_suffix(".py")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        for folder in file.relative_to(tmp_path / "image").parents[:-1]:
            (tmp_path / "image" / folder / "__init__.py").touch()
    return tmp_path / "image"


def start(image: Path, *options: str, first: str = "", hook: str = "client") -> tuple[int, str, str]:
    """The exit code, the output and the termination message of a client's program."""
    tools, message = image.parent / "tools", image.parent / "termination"
    env = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": os.pathsep.join(each for each in (first, str(tools), str(image)) if each),
        "PANAL_RUNTIME": "flare",
        "PANAL_HOOK": hook,
        "PANAL_RUN_DIR": str(image.parent),
        "PANAL_TERMINATION_LOG": str(message),
    }
    command = [sys.executable, *options, str(tools / "run.py"), "flare", "start", "nvflare.program", "-m", "a"]
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout, json.loads(message.read_text())["message"] if message.exists() else ""


def test_a_program_runs_with_its_hooks(image: Path) -> None:
    assert start(image) == (3, "runs ['-m', 'a']\n", "")


def test_a_hook_that_does_not_know_its_module_ends_the_program(image: Path) -> None:
    (image / "nvflare/private/fed/client/training_cmds.py").write_text("")
    code, output, message = start(image)
    assert code == UNGUARDED
    assert "runs" not in output
    assert "nvflare.private.fed.client.training_cmds is not hooked: AttributeError" in message


def test_a_module_that_is_missing_ends_the_program(image: Path) -> None:
    (image / "nvflare/private/fed/client/training_cmds.py").unlink()
    code, output, message = start(image)
    assert (code, "runs" in output) == (UNGUARDED, False)
    assert "ModuleNotFoundError" in message


def test_a_hook_that_fails_ends_any_process_that_imports_the_module(image: Path) -> None:
    (image / "nvflare/fuel/f3/drivers/grpc_driver.py").write_text("")
    env = {
        "PYTHONPATH": os.pathsep.join((str(image.parent / "tools"), str(image))),
        "PANAL_RUNTIME": "flare",
        "PANAL_HOOK": "server",
        "PANAL_RUN_DIR": str(image.parent),
        "PANAL_TERMINATION_LOG": str(image.parent / "termination"),
    }
    program = "try:\n    import nvflare.fuel.f3.drivers.grpc_driver\nexcept BaseException: pass\nprint('goes on')"
    done = subprocess.run([sys.executable, "-c", program], env=env, capture_output=True, text=True, check=False)
    assert (done.returncode, "goes on" in done.stdout) == (UNGUARDED, False)
    record = json.loads((image.parent / "progress.jsonl").read_text())
    assert (record["event"], record["reason"]) == ("stopped", "FlareNotSupported")


def test_an_image_that_disables_sitecustomize_runs_nothing(image: Path) -> None:
    own = image.parent / "own"
    own.mkdir()
    (own / "sitecustomize.py").write_text("")
    for options, first in ((("-S",), ""), ((), str(own))):
        code, output, message = start(image, *options, first=first)
        assert (code, "runs" in output) == (UNGUARDED, False)
        assert all(name in message for name in HOOKS["client"])
        assert "Python has not run panal's sitecustomize" in message
    code, output, _ = start(image, "-I")  # the tools are not on the path either
    assert (code != 0, "runs" in output) == (True, False)


def test_flares_command_for_the_process_of_a_job_is_guarded() -> None:
    words = guarded("/usr/bin/python3 -m nvflare.private.fed.app.client.worker_process -m '/panal/work dir' --set a=b").split(" ", 3)
    assert words[1].endswith("run.py")
    assert words[2:] == ["flare", "start nvflare.private.fed.app.client.worker_process -m '/panal/work dir' --set a=b"]
    with pytest.raises(ValueError, match="not a command line of FLARE"):
        guarded("python3 program.py argument")


def test_a_container_whose_program_is_not_guarded_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ended = SimpleNamespace(code=UNGUARDED, poll=lambda: UNGUARDED)
    for name, value in {"PANAL_RUN_DIR": tmp_path, "PANAL_WORK_DIR": tmp_path, "PANAL_CLUSTER": "site1"}.items():
        monkeypatch.setenv(name, str(value))
    end = Server()._until_end(ended)  # type: ignore[arg-type]
    assert end is not None
    assert end.reason == "FlareNotSupported"
    monkeypatch.setattr(flare, "start", lambda *_: ended)
    monkeypatch.setattr(flare, "end", lambda _: None)
    handlers = {each: signal.getsignal(each) for each in (signal.SIGTERM, signal.SIGINT)}
    try:
        assert Keeper().run() == 1
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
