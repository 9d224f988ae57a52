"""`panal package ./app`: writes the files that an app needs to run on a hub, derived from its pyproject.toml.

The files are a Containerfile, its ignore file and a run.yaml, from the templates in `packaged/`. The image has the same dependencies and
the same `[tool.panal.image]` as the image that the local platform builds from the folder.
"""

from __future__ import annotations

import json
import re
import shlex
import tomllib
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

from packaging.specifiers import InvalidSpecifier, SpecifierSet

from panal.api.names import NO_DATA
from panal.cli import flower, recipe
from panal.client.apps import App, read
from panal.client.problem import Code, Problem, explained

PYTHONS = ("3.11", "3.12", "3.13", "3.10", "3.14")  # the image gets the first version that the app allows
REGISTRY = "registry.example.com"
IMAGE = re.compile(r"[a-z0-9]([a-z0-9._-]*[a-z0-9])?(:[0-9]+)?(/[a-z0-9]([a-z0-9._-]*[a-z0-9])?)*(:[A-Za-z0-9_][A-Za-z0-9._-]{0,127})?")
CLAIM = re.compile(r"[a-z0-9]([a-z0-9.-]*[a-z0-9])?")
CLIENTS = 2  # that a round needs, if the app does not say it


def package(folder: Path, image: str | None, target: Path | None, data_claim: str | None, force: bool) -> list[Path]:
    """Returns the written files. Raises Problem, and writes nothing, if a file exists and `force` is not set."""
    made, place = contents(folder, image, target, data_claim), target or folder
    there = [name for name in made if (place / name).exists()]
    if there and not force:
        raise Problem(
            Code.USAGE,
            f"{place} already has {', '.join(there)}",
            "--force overwrites existing files, --output DIR writes to another folder.",
        )
    return write(place, made)


def write(place: Path, made: Mapping[str, str]) -> list[Path]:
    with explained():
        place.mkdir(parents=True, exist_ok=True)
        for name, text in made.items():
            (place / name).write_text(text)
    return [place / name for name in made]


def contents(folder: Path, image: str | None = None, target: Path | None = None, data_claim: str | None = None) -> Mapping[str, str]:
    """The files by name."""
    app = read(folder)
    project = tomllib.loads((folder / "pyproject.toml").read_text()).get("project", {})
    named = image or f"{REGISTRY}/{app.name}:{_tag(str(project.get('version', '')))}"
    if not IMAGE.fullmatch(named):
        raise Problem(Code.USAGE, f"--image {named} is not a valid image name", f"An example is {REGISTRY}/{app.name}:1.0.")
    elsewhere = target.resolve() if target and target.resolve() != folder.resolve() else None
    words = {
        "NAME": app.name,
        "FRAMEWORK": app.framework,
        "IMAGE": named,
        "BUILD": f"docker build -t {named} -f {shlex.quote(f'{elsewhere}/Containerfile') if elsewhere else 'Containerfile'} .",
        "PYTHON": _python(folder, str(project.get("requires-python", ""))),
        "SERVER": _fields(app.server),
        "CLIENT": _fields(app.client),
        "ROUNDS": str(app.rounds),
        "CLIENTS": str(app.min_clients or CLIENTS),
        "DATA": _data(app, data_claim),
        **_image(folder),
    }
    ignore = "Containerfile.dockerignore" if elsewhere else ".dockerignore"
    made = {"Containerfile": "Containerfile", ignore: "dockerignore", "run.yaml": "run.yaml"}
    return {name: filled(_template(file), words) for name, file in made.items()}


def _fields(of: Mapping[str, Any]) -> str:
    """Lines of the run's spec, in JSON's form of YAML."""
    return "".join(f"    {name}: {json.dumps(value)}\n" for name, value in of.items())


def _template(name: str) -> str:
    return (files("panal.cli") / "packaged" / f"{name}.txt").read_text()


def _tag(version: str) -> str:
    return re.sub(r"[^A-Za-z0-9._-]", "-", version).strip(".-") or "latest"


def _python(folder: Path, required: str) -> str:
    try:
        allowed = SpecifierSet(required)
    except InvalidSpecifier as error:
        raise Problem(Code.USAGE, f"{folder / 'pyproject.toml'}: project.requires-python: {error}", 'An example is ">=3.11".') from error
    found = next((version for version in PYTHONS if allowed.contains(f"{version}.99")), None)
    if found is None:
        message = f"{folder / 'pyproject.toml'}: project.requires-python {required} allows none of Python {', '.join(sorted(PYTHONS))}"
        raise Problem(Code.USAGE, message, "Allow one of them.")
    return found


def _image(folder: Path) -> dict[str, str]:
    """The parts of the Containerfile for dependencies and `[tool.panal.image]`."""
    found = recipe.read(folder, flower.pins(folder))
    arguments = ["requirements.txt" if word == str(found.requirements.file) else word for word in found.requirements.arguments]
    if not arguments:
        message = f"{folder / 'pyproject.toml'}: project.dependencies is empty, so the app's image would not contain Flower"
        raise Problem(Code.USAGE, message, 'List the app\'s dependencies, such as dependencies = ["flwr", "numpy"].')
    listed = sorted(path.name for path in folder.glob("requirements*.txt")) if "-r" in arguments else []
    env = "".join(f" {name}={_quoted(value.replace('{root}', '/app'))}" for name, value in found.env.items())
    prepare = f"RUN cd /app && PATH=/opt/app/bin:$PATH {shlex.join(found.prepare)}\n" if found.prepare else ""
    return {
        "COPY": f"COPY {' '.join(listed)} /build/\nWORKDIR /build\n" if listed else "",
        "INSTALLED": shlex.join(arguments),
        "PREPARE": prepare,
        "ENV": env,
    }


def _quoted(value: str) -> str:
    return json.dumps(value).replace("$", "\\$")


def _data(app: App, claim: str | None) -> str:
    """The lines of `client` that select clusters by their data."""
    name = claim or (f"{app.name}.example.com" if app.data else None)
    if name is None:
        return f"    dataClaim: {NO_DATA} # the app contains or generates its data\n    placement:\n      clusterSets: [default]"
    if not CLAIM.fullmatch(name) or len(name) > 253:
        raise Problem(Code.USAGE, f"--data-claim {name} is not a valid name of a ClusterClaim", f"An example is {app.name}.example.com.")
    return f"""    dataClaim: {name} # the ClusterClaim by which a site announces its data
    placement:
      clusterSets: [default]
      predicates:
        - requiredClusterSelector:
            claimSelector:
              matchExpressions:
                - key: {name}
                  operator: Exists"""


def filled(text: str, words: Mapping[str, str]) -> str:
    """Replaces each @WORD@ in `text`."""
    for word, value in words.items():
        text = text.replace(f"@{word}@", value)
    return text
