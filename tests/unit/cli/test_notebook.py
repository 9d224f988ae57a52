"""`panal notebook` as far as it needs no Jupyter: what it opens, with which Python, and what it downloads."""

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from panal.cli import notebook as notebooks
from panal.cli.notebook import Files, Wanted, chosen, python, variables
from panal.client.problem import Code, Problem
from stored import CONTENT, Access, Hub, hub, job, run

LAB = """#!/bin/sh
# Stands in for the Python of an environment with JupyterLab.
case "$1" in -c) exit 0;; esac
{ pwd; printf '%s\\n' "$@"; env | grep ^PANAL_ | sort; } > "$PANAL_TEST_SAID"
"""


def program(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


@pytest.fixture
def app(tmp_path):
    own = tmp_path / "app/notebooks/validate.ipynb"
    own.parent.mkdir(parents=True)
    own.write_text("{}")
    return tmp_path / "app"


def test_the_notebook_of_the_app_is_opened_and_the_general_one_if_it_has_none(app, tmp_path):
    own = app / "notebooks/validate.ipynb"
    elsewhere = tmp_path / "my.ipynb"
    elsewhere.write_text("{}")
    assert chosen(Wanted(app=app), tmp_path) == (app, own)
    assert chosen(Wanted(), app) == (app, own)
    assert chosen(Wanted(), tmp_path) == (None, None)
    assert chosen(Wanted(app=tmp_path), app) == (tmp_path, None)
    assert chosen(Wanted(notebook=own), tmp_path) == (app, own)
    assert chosen(Wanted(notebook=elsewhere), app) == (None, elsewhere)
    assert chosen(Wanted(notebook=elsewhere, app=app), tmp_path) == (app, elsewhere)


@pytest.mark.parametrize("wanted", [Wanted(notebook=Path("none.ipynb")), Wanted(app=Path("none"))])
def test_a_file_that_was_named_must_exist(wanted, tmp_path):
    with pytest.raises(Problem, match="none") as found:
        chosen(wanted, tmp_path)
    assert found.value.code == Code.USAGE


def test_the_notebook_is_told_where_its_files_are():
    files = Files(Path("/d/model.safetensors"), None, Path("/d/history.jsonl"), {"a": Path("/d/a"), "b": Path("/d/b")})
    assert variables(files, Path("/app")) == {
        "PANAL_MODEL": "/d/model.safetensors", "PANAL_HISTORY": "/d/history.jsonl", "PANAL_APP": "/app", "PANAL_BESIDE": "a=/d/a:b=/d/b",
    }  # fmt: skip
    assert variables(Files(Path("/d/m")), None) == {"PANAL_MODEL": "/d/m"}


def test_the_python_of_the_programs_on_the_path_is_found(tmp_path, monkeypatch):
    with_jupyter = program(tmp_path / "env/bin/python", LAB)
    program(tmp_path / "env/bin/jupyter", "#!/bin/sh\n")
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/jupyter").symlink_to(tmp_path / "env/bin/jupyter")
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    assert python(Wanted()) == with_jupyter
    (tmp_path / "bin/jupyter").unlink()
    program(tmp_path / "bin/jupyter-lab", f"#!{with_jupyter} -E\n")
    assert python(Wanted()) == with_jupyter


@pytest.mark.parametrize(("execute", "package"), [(False, "install jupyterlab "), (True, "install nbclient nbconvert ipykernel ")])
def test_without_jupyter_it_says_how_to_install_it_and_downloads_nothing(execute, package, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    client = hub()
    with pytest.raises(Problem) as found:
        notebooks.notebook(Access({"hub": client}), "digits", None, Wanted(target=tmp_path / "to", execute=execute))
    assert found.value.code == Code.NOTEBOOK
    assert sys.executable in str(found.value)
    assert package in found.value.remedy
    assert client.made == []
    assert not (tmp_path / "to").exists()


def test_a_python_that_was_named_must_have_jupyter(tmp_path):
    for path in (Path(sys.executable), tmp_path / "none"):
        with pytest.raises(Problem, match=str(path)):
            python(Wanted(python=path))


def opened(tmp_path, monkeypatch, client, wanted_notebook=None, **wanted):
    """What JupyterLab is started with: its folder, its arguments and PANAL_ variables."""
    said = tmp_path / "said"
    interpreter = program(tmp_path / "env/bin/python", LAB)
    monkeypatch.setenv("PANAL_TEST_SAID", str(said))
    monkeypatch.delenv("PANAL_HOME", raising=False)
    given = Wanted(notebook=wanted_notebook, target=tmp_path / "to", python=interpreter, **wanted)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(os, "execve", lambda path, words, env: subprocess.run([path, *words[1:]], env=env, check=True))
    assert notebooks.notebook(Access({"hub": client}), "digits", None, given) == Code.OK
    return said.read_text().splitlines()


def test_jupyterlab_opens_a_copy_beside_the_files_of_the_run(app, tmp_path, monkeypatch):
    to = tmp_path / "to"
    said = opened(tmp_path, monkeypatch, hub(), app=app)
    assert said[:5] == [str(to), "-m", "jupyterlab", f"--ServerApp.root_dir={to}", str(to / "validate.ipynb")]
    assert f"PANAL_MODEL={to}/model.safetensors" in said
    assert f"PANAL_APP={app}" in said
    assert (to / "model.safetensors").read_bytes() == CONTENT
    assert sorted(path.name for path in to.iterdir()) == ["history.jsonl", "metadata.json", "model.safetensors", "validate.ipynb"]


def test_a_copy_that_the_user_has_changed_stays(app, tmp_path, monkeypatch):
    copy = tmp_path / "to/validate.ipynb"
    copy.parent.mkdir()
    copy.write_text("changed")
    opened(tmp_path, monkeypatch, hub(), app=app)
    assert copy.read_text() == "changed"


def test_the_general_notebook_is_opened_for_an_app_without_one(tmp_path, monkeypatch):
    said = opened(tmp_path, monkeypatch, hub())
    assert said[4] == str(tmp_path / "to/model.ipynb")
    assert (tmp_path / "to/model.ipynb").read_bytes() == (Path(notebooks.__file__).parent / "notebooks/model.ipynb").read_bytes()


def test_a_run_without_a_history_has_none_of_an_earlier_download(tmp_path):
    class Missing(Hub):
        async def execute(self, namespace, pod, container, command):
            self.content = CONTENT if command[-1] == "model.safetensors" else None
            async for piece in super().execute(namespace, pod, container, command):
                yield piece

    (tmp_path / "history.jsonl").write_text("of another run")
    interpreter = program(tmp_path / "env/bin/python", '#!/bin/sh\n[ "$1" = -c ] || { echo why >&2; exit 2; }\n')
    with pytest.raises(Problem, match="could not be executed: why"):
        notebooks.notebook(
            Access({"hub": Missing(run(), job())}), "digits", None, Wanted(target=tmp_path, python=interpreter, execute=True)
        )
    assert (tmp_path / "model.safetensors").read_bytes() == CONTENT
    assert not (tmp_path / "history.jsonl").exists()


def test_a_model_that_was_changed_is_not_opened(tmp_path):
    interpreter = program(tmp_path / "env/bin/python", LAB)
    with pytest.raises(Problem, match="it is not the model that the run has stored"):
        notebooks.notebook(Access({"hub": hub(digest="sha256:other")}), "digits", None, Wanted(target=tmp_path / "to", python=interpreter))
    assert not (tmp_path / "to/model.safetensors").exists()


def test_models_of_other_runs_are_beside_it(tmp_path, monkeypatch):
    client = Hub(run(), run("alone"), job())
    other = job()
    client.objects["Job", "ns", "alone-aggregator"] = other | {"metadata": other["metadata"] | {"name": "alone-aggregator"}}
    said = opened(tmp_path, monkeypatch, client, beside=("alone", "ns/alone"))
    beside = tmp_path / "to/beside"
    assert f"PANAL_BESIDE=alone={beside}/alone.safetensors:ns-alone={beside}/ns-alone.safetensors" in said
    with pytest.raises(Problem, match="with --beside"):
        notebooks.notebook(Access({"hub": client}), "digits", None, Wanted(target=tmp_path / "a:b", beside=("alone",)))
