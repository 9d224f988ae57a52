"""Commands as a person types them: what is wrong is named with a remedy, without a traceback, and the exit code says which kind it is."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

from command_line import *  # noqa: F403
from panal.cli import new
from panal.client import apply, apps, problem
from panal.client.choose import choose
from panal.client.problem import Code, Problem
from panal.kube import errors
from panal.pod.tools.flower.known import NEWEST, minor

COMPONENTS = '[tool.flwr.app.components]\nserverapp = "a:b"\nclientapp = "c:d"\n'
RUN = {"apiVersion": "federation-ai.open-cluster-management.io/v1alpha1", "kind": "FederatedLearning", "metadata": {"name": "x"}}


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["run"], Code.USAGE, "either APP or -f FILE is required"),
        (["run", "-f", "/nowhere.yaml"], Code.USAGE, "/nowhere.yaml cannot be read"),
        (
            ["run", "-f", "x", "--min-clients", "2"],
            Code.USAGE,
            "--min-clients, --data, --run-config and --initial-model cannot be used with -f",
        ),
        (["run", "/nowhere"], Code.USAGE, "/nowhere/pyproject.toml cannot be read"),
        (["run", "/nowhere", "--context", "hub"], Code.USAGE, "APP runs on the local platform"),
        (["get", "--kubeconfig", "/nowhere"], Code.USAGE, "the file /nowhere does not exist"),
        (["get"], Code.UNREACHABLE, "no usable access"),
        (["get", "-w"], Code.USAGE, "-w needs the name of a run"),
        (["logs", "x"], Code.UNREACHABLE, "panal up"),
        (["new", "Nine Lives"], Code.USAGE, "is not a valid name of an app"),
        (["nonsense"], Code.USAGE, "No such command"),
    ],
)
def test_what_is_wrong_is_named(panal, words, code, said):
    ended, out, err = panal(*words)
    assert (ended, out) == (code, "")
    assert said in err


def test_an_api_server_that_is_away_is_named(panal, tmp_path):
    cluster = {"name": "c", "cluster": {"server": "https://127.0.0.1:9"}}
    user, context = {"name": "u", "user": {"token": "t"}}, {"name": "far", "context": {"cluster": "c", "user": "u"}}
    file = tmp_path / "config"
    file.write_text(yaml.safe_dump({"current-context": "far", "clusters": [cluster], "users": [user], "contexts": [context]}))
    code, _, err = panal("get", "--kubeconfig", str(file))
    assert code == Code.UNREACHABLE
    assert f"using {file}" in err
    code, _, err = panal("get", "--kubeconfig", str(file), "--context", "near")
    assert (code, "Context 'near' not found" in err) == (Code.UNREACHABLE, True)


def test_the_program_itself(tmp_path):
    words = [sys.executable, "-m", "panal.cli.main", "get", "--kubeconfig", str(tmp_path / "missing")]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (Code.USAGE, "")
    assert done.stderr.splitlines() == [
        f"error: --kubeconfig: the file {tmp_path / 'missing'} does not exist",
        "  Give the path of a kubeconfig.",
    ]


# --- which API server --------------------------------------------------------------------------------------------
def _config(path: Path, *contexts: str) -> Path:
    path.write_text(yaml.safe_dump({"current-context": contexts[0], "contexts": [{"name": name} for name in contexts]}))
    return path


def test_a_kubeconfig_that_is_named_wins(tmp_path, monkeypatch):
    given, named = _config(tmp_path / "given", "a"), _config(tmp_path / "named", "b")
    monkeypatch.setenv("KUBECONFIG", str(named))
    assert choose(given, None).kubeconfig == given
    assert choose(None, None).kubeconfig == named


def test_of_several_files_the_one_with_the_context_is_taken(tmp_path, monkeypatch):
    first, second = _config(tmp_path / "first", "a"), _config(tmp_path / "second", "b", "c")
    monkeypatch.setenv("KUBECONFIG", f"{tmp_path / 'missing'}:{first}:{second}")
    assert choose(None, None).kubeconfig == first
    assert choose(None, "c").kubeconfig == second
    with pytest.raises(Problem, match=r"none of .* has the context d"):
        choose(None, "d")


# --- files -------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: [", "is not valid YAML"),
        ("- a", "document 1 is not an object"),
        ("kind: A", "document 1: apiVersion is missing"),
        ("apiVersion: v1\nkind: A", "document 1: metadata.name is missing"),
        ("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}", "contains no FederatedLearning"),
        (yaml.safe_dump_all([RUN, {"apiVersion": "v1"}]), "document 2: kind is missing"),
    ],
)
def test_a_file_that_will_not_do_is_named(tmp_path, text, said):
    file = tmp_path / "run.yaml"
    file.write_text(text)
    with pytest.raises(Problem, match=said) as found:
        apply.documents(str(file))
    assert found.value.code == Code.USAGE


def test_the_examples_are_readable():
    root = Path(__file__).parents[3] / "examples/mnist/hub"
    assert [d["metadata"]["name"] for d in apply.documents(str(root / "run.yaml"))] == ["digits"]
    assert len(apply.documents(str(root / "alone.yaml"))) == 3


# --- errors ------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.ConfigError("x"), Code.UNREACHABLE),
        (errors.Unavailable(0, "ConnectError", "x"), Code.UNREACHABLE),
        (errors.Unauthorized(401, "Unauthorized", "x"), Code.UNREACHABLE),
        (errors.NotFound(404, "NotFound", "x"), Code.NOT_FOUND),
        (errors.NotFound(404, "NotServed", "x"), Code.NOT_FOUND),
        (errors.Forbidden(403, "Forbidden", "x"), Code.REFUSED),
        (errors.Invalid(422, "Invalid", "x"), Code.REFUSED),
        (errors.Conflict(409, "Conflict", "x"), Code.REFUSED),
        (errors.UnknownKind("x"), Code.USAGE),
        (OSError("x"), Code.PLATFORM),
    ],
)
def test_every_error_has_an_exit_code_and_a_remedy(error, code):
    with pytest.raises(Problem) as found, problem.explained("there"):
        raise error
    assert found.value.code == code
    assert found.value.remedy or code == Code.REFUSED


# --- an app's folder ---------------------------------------------------------------------------------------------
def test_a_new_app_can_be_run(tmp_path):
    made = new.new(tmp_path / "my-app")
    assert {path.relative_to(tmp_path / "my-app").as_posix() for path in made} == {
        "README.md", "pyproject.toml", "Containerfile", ".dockerignore", "run.yaml",
        "my_app/__init__.py", "my_app/task.py", "my_app/client_app.py", "my_app/server_app.py",
    }  # fmt: skip
    assert all("@" not in path.read_text().replace("@app.", "").replace(" @ ", "") for path in made)
    app = apps.read(tmp_path / "my-app")
    assert (app.name, app.rounds, app.min_clients, app.data) == ("my-app", 5, 3, None)
    assert f"flwr=={minor(NEWEST)}.*" in tomllib.loads((tmp_path / "my-app/pyproject.toml").read_text())["project"]["dependencies"]


def test_nothing_is_overwritten(tmp_path):
    new.new(tmp_path / "my-app")
    with pytest.raises(Problem, match="already exists"):
        new.new(tmp_path / "my-app")


def _app(tmp_path, **tables):
    tables.setdefault("components", 'serverapp = "a:app"\nclientapp = "b:app"')
    names = {"components": "tool.flwr.app.components", "config": "tool.flwr.app.config", "run": "tool.panal.run", "project": "project"}
    (tmp_path / "pyproject.toml").write_text("".join(f"[{names[name]}]\n{text}\n" for name, text in tables.items()))
    return tmp_path


@pytest.mark.parametrize(
    ("tables", "said"),
    [
        ({"components": ""}, "is not a Flower app"),
        ({"run": 'dada = "x"'}, r"\[tool.panal.run\] has the unknown key dada"),
        ({"config": "= 1"}, "pyproject.toml"),
    ],
)
def test_a_folder_that_is_no_app_is_named(tmp_path, tables, said):
    with pytest.raises(Problem, match=said):
        apps.read(_app(tmp_path, **tables))


@pytest.mark.parametrize(
    ("config", "rounds"), [("", 3), ("num-server-rounds = 7", 7), ("num_rounds = 2", 2), ('rounds = "many"', 3), ("rounds = true", 3)]
)
def test_rounds_are_those_of_the_run_config(tmp_path, config, rounds):
    assert apps.read(_app(tmp_path, config=config)).rounds == rounds


def test_a_run_begins_with_the_model_that_is_asked_for(tmp_path):
    assert apps.read(_app(tmp_path), initial_model="before").server["initialModel"] == {"run": "before"}
    assert "initialModel" not in apps.read(_app(tmp_path)).server


@pytest.mark.parametrize(
    ("config", "words", "given", "needed"),
    [
        ("", (), None, None),
        ("min-available-nodes = 2", (), None, 2),
        ("min_available_clients = 4", (), None, 4),
        ("min-available-nodes = 2", ("min-available-nodes=1",), None, 1),
        ("min-available-nodes = 2", (), 3, 3),
    ],
)
def test_the_clusters_that_a_round_needs_are_those_of_the_option_or_the_app(tmp_path, config, words, given, needed):
    assert apps.read(_app(tmp_path, config=config), values=words, min_clients=given).min_clients == needed


@pytest.mark.parametrize(
    ("name", "fits"), [("My App", "my-app"), ("9lives", "app-9lives"), ("a--b_c", "a-b-c"), ("x" * 50, "x" * 34), ("Ünï", "n")]
)
def test_names_of_runs_are_made_to_fit(name, fits):
    assert apps.fit(name) == fits


# --- what nobody would write on purpose --------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[" * 5000, "nested too deep"),
        (yaml.safe_dump(RUN) + "spec: &a {b: *a}\n", "cannot be converted to JSON"),
        (yaml.safe_dump(RUN | {"metadata": {"name": "x", "namespace": 5}}), "metadata.namespace is not a string"),
        ("a: 2020-13-45\n", "is not valid YAML"),
    ],
)
def test_files_that_are_yaml_and_no_resource(panal, tmp_path, text, said):
    file = tmp_path / "run.yaml"
    file.write_text(text)
    code, _, err = panal("run", "-f", str(file))
    assert (code, said in err) == (Code.USAGE, True), err


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("tool = 5", "tool is not a table"),
        ("[tool]\nflwr = 5", "tool.flwr is not a table"),
        ('[tool.flwr.app]\ncomponents = ["serverapp"]', "tool.flwr.app.components is not a table"),
        ("project = 7\n" + COMPONENTS, "project is not a table"),
        (COMPONENTS + "[tool.flwr.app]\nconfig = 3", "tool.flwr.app.config is not a table"),
        (COMPONENTS + "[tool.panal]\nrun = 5", "tool.panal.run is not a table"),
        (COMPONENTS + "[tool.panal.run]\ndata = 5", "data is not a string"),
    ],
)
def test_a_pyproject_of_other_types_is_named(panal, tmp_path, text, said):
    (tmp_path / "pyproject.toml").write_text(text)
    code, _, err = panal("run", str(tmp_path))
    assert (code, said in err) == (Code.USAGE, True), err


def test_what_an_api_server_makes_no_sense_of_is_not_called_away():
    found = problem.of_api(errors.from_status(500, {"message": ".spec.x: field not declared in schema"}), "a hub")
    assert (found.code, ".spec.x" in str(found)) == (Code.REFUSED, True)
    assert problem.of_api(errors.from_status(503, {}), "a hub").code == Code.UNREACHABLE


CONFIG = 'num-server-rounds = 2\nlr = 0.1\nname = "a"\n[tool.flwr.app.config.optimizer]\nmomentum = 0.9'


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ((), {}),
        (("lr=0.5 name='x y' optimizer.momentum=0",), {"lr": 0.5, "name": "x y", "optimizer.momentum": 0}),
        (('name="x=y"', "lr=1"), {"name": "x=y", "lr": 1}),
        (("num-server-rounds=4",), {"num-server-rounds": 4}),
    ],
)
def test_values_of_the_run_config_reach_the_run(tmp_path, words, expected):
    app = apps.read(_app(tmp_path, config=CONFIG), values=words)
    assert dict(app.run_config) == expected
    assert app.rounds == expected.get("num-server-rounds", 2)


def test_values_of_the_run_config_from_a_file(tmp_path):
    (tmp_path / "values.toml").write_text("lr = 0.5\n[optimizer]\nmomentum = 0.1\n")
    app = apps.read(_app(tmp_path, config=CONFIG), values=[str(tmp_path / "values.toml")])
    assert dict(app.run_config) == {"lr": 0.5, "optimizer.momentum": 0.1}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["lrr=1"], "does not declare lrr"),
        (["optimizer=1"], "does not declare optimizer"),
        (["name=x"], "name=x"),  # a text without quotes
        (["lr"], "lr is not key=value"),
        (["missing.toml"], "missing.toml cannot be read"),
        (["num-server-rounds=4"], "3 rounds are asked for, but the run config has 4"),
    ],
)
def test_a_run_config_that_cannot_be_is_refused_before_anything_is_made(tmp_path, words, said):
    with pytest.raises(Problem, match=said):
        apps.read(_app(tmp_path, config=CONFIG), 3, values=words)
