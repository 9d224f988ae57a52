"""`panal notebook`: a notebook on the stored model of a run, in JupyterLab or executed without a browser.

Jupyter is no part of panal: it lives in an environment of the user, which `python` finds. The notebook gets the files by environment
variables (`variables`), and needs nothing of panal.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.resources import as_file, files
from pathlib import Path

from panal.api import figures
from panal.api.executed import NotebookError, failure, metrics, read
from panal.api.history import FILE as HISTORY
from panal.cli import output
from panal.cli.run import done
from panal.client.access import Access
from panal.client.download import opened, save
from panal.client.finding import split, with_model
from panal.client.problem import Code, Problem, explained
from panal.kube.client import Client
from panal.kube.objects import Object

OWN = Path("notebooks/validate.ipynb")  # of an app
GENERAL = "model.ipynb"
METADATA, BESIDE, RESULT = "metadata.json", "beside", "metrics.json"
LAB = ("jupyterlab", "ipykernel")
EXECUTING = ("nbclient", "nbconvert", "ipykernel")
PACKAGES = "matplotlib numpy safetensors"  # that the notebooks of panal and of its example import
LINES = 5  # of what a failed program has printed


@dataclass(frozen=True, slots=True)
class Wanted:
    """`notebook`, `app` and `python` are None if they are to be found. `beside` are runs whose models are to be compared."""

    notebook: Path | None = None
    app: Path | None = None
    target: Path | None = None
    beside: Sequence[str] = ()
    python: Path | None = None
    execute: bool = False
    cell_timeout: int | None = None


@dataclass(frozen=True, slots=True)
class Files:
    """What was downloaded. `metadata` and `history` are None if the run has none."""

    model: Path
    metadata: Path | None = None
    history: Path | None = None
    beside: Mapping[str, Path] = field(default_factory=dict)


def notebook(access: Access, name: str, namespace: str | None, wanted: Wanted) -> Code:
    """Raises Problem; Code.NOTEBOOK if a cell fails."""
    app, source = chosen(wanted, Path.cwd())
    folder = (wanted.target or Path(f"{split(name, namespace)[0]}-notebook")).resolve()
    if wanted.beside and os.pathsep in str(folder):
        raise Problem(Code.USAGE, f"with --beside the folder cannot have a {os.pathsep} in its path: {folder}", "Choose another with --to.")
    interpreter = python(wanted)
    with explained():
        (folder / BESIDE if wanted.beside else folder).mkdir(parents=True, exist_ok=True)
    found = done(_download(access, name, namespace, folder, wanted.beside), access)
    env = {**os.environ, **variables(found, app), "JUPYTER_PREFER_ENV_PATH": "1"}
    if source is None:
        with as_file(files("panal.cli") / "notebooks" / GENERAL) as general:
            return _work(interpreter, general, folder, env, wanted)
    return _work(interpreter, source, folder, env, wanted)


def _work(interpreter: Path, source: Path, folder: Path, env: Mapping[str, str], wanted: Wanted) -> Code:
    if wanted.execute:
        return _execute(interpreter, source, folder, env, wanted.cell_timeout)
    _lab(interpreter, source, folder, env)
    return Code.OK


# --- what is opened, and with what ------------------------------------------------------------------------------
def chosen(wanted: Wanted, here: Path) -> tuple[Path | None, Path | None]:
    """The app's folder and the notebook; None for the general notebook. Raises Problem if a file that was named does not exist."""
    if wanted.notebook:
        path = wanted.notebook.resolve()
        if not path.is_file():
            raise Problem(Code.USAGE, f"{wanted.notebook} is not a file", "Give the path of a notebook (.ipynb).")
        beside = path.parents[1] if path.parent.name == OWN.parent.name else None
        return (wanted.app.resolve() if wanted.app else beside), path
    if wanted.app:
        app = wanted.app.resolve()
        if not app.is_dir():
            raise Problem(Code.USAGE, f"{wanted.app} is not a folder", "Give the folder of an app.")
        return app, app / OWN if (app / OWN).is_file() else None
    return (here, here / OWN) if (here / OWN).is_file() else (None, None)


def variables(found: Files, app: Path | None) -> dict[str, str]:
    """The environment variables that tell a notebook where its files are."""
    given = {
        "PANAL_MODEL": found.model,
        "PANAL_METADATA": found.metadata,
        "PANAL_HISTORY": found.history,
        "PANAL_APP": app,
        "PANAL_BESIDE": os.pathsep.join(f"{name}={path}" for name, path in found.beside.items()),
    }
    return {name: str(value) for name, value in given.items() if value}


def python(wanted: Wanted) -> Path:
    """The Python of an environment that has what is needed. Raises Problem, which says how to install it."""
    modules = EXECUTING if wanted.execute else LAB
    tried = [wanted.python] if wanted.python else _pythons()
    if found := find(modules, tried):
        return found
    packages = "jupyterlab" if not wanted.execute else "nbclient nbconvert ipykernel"
    remedy = (
        f"`python3 -m venv jupyter && jupyter/bin/pip install {packages} {PACKAGES}` makes one; then give `--python jupyter/bin/python`. "
        f"The notebook may import more."
    )
    places = ", ".join(map(str, tried))
    raise Problem(Code.NOTEBOOK, f"no Python with {', '.join(modules)} was found: looked at {places}", remedy)


def find(modules: Sequence[str], tried: Sequence[Path] | None = None) -> Path | None:
    """The first Python that has all modules."""
    return next((path for path in (_pythons() if tried is None else tried) if _has(path, modules)), None)


def _pythons() -> list[Path]:
    """Those that may have Jupyter: of panal itself, of the programs on the PATH, and the first on the PATH, as in an active environment."""
    found = [Path(sys.executable)]
    for program in filter(None, map(shutil.which, ("jupyter-lab", "jupyter"))):
        found += [path for path in (Path(program).resolve().with_name("python"), *_shebang(Path(program))) if path.is_file()]
    found += [Path(program) for program in [shutil.which("python3")] if program]
    return list(dict.fromkeys(found))


def _shebang(program: Path) -> Iterator[Path]:
    """The Python that a script names in its first line."""
    with program.open("rb") as file:
        first = file.readline(4096)
    if first.startswith(b"#!/") and b"python" in first:
        yield Path(os.fsdecode(first[2:].split()[0]))


def _has(path: Path, modules: Sequence[str]) -> bool:
    code = f"import importlib.util as u, sys; sys.exit(not all(map(u.find_spec, {list(modules)!r})))"
    try:
        return subprocess.run([path, "-c", code], stdin=subprocess.DEVNULL, capture_output=True, check=False, timeout=60).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False


# --- the files --------------------------------------------------------------------------------------------------
async def _download(access: Access, name: str, namespace: str | None, folder: Path, beside: Sequence[str]) -> Files:
    async with access.open() as client:
        model = await _run(access, client, name, namespace, folder / "model.safetensors", (METADATA, HISTORY))
        others = {}
        for other in dict.fromkeys(beside):
            label = other.replace("/", "-")
            others[label] = await _run(access, client, other, namespace, folder / BESIDE / f"{label}.safetensors")
    there = {file: folder / file if (folder / file).is_file() else None for file in (METADATA, HISTORY)}
    return Files(model, there[METADATA], there[HISTORY], others)


async def _run(access: Access, client: Client, name: str, namespace: str | None, to: Path, more: Sequence[str] = ()) -> Path:
    """Downloads the model of a run to the file `to`, and beside it those of the files `more` that the run has."""
    run: Object = await with_model(client, *split(name, namespace))
    model = run["status"]["model"]
    with output.steps(f"downloading the model of {name}") as say:
        async with opened(access, client, run, say) as content:
            for file in more:
                to.with_name(file).unlink(missing_ok=True)  # of an earlier download
                try:
                    await save(content(file), to.with_name(file), None, lambda _: None)
                except Problem as problem:
                    if problem.code != Code.NOT_FOUND:
                        raise
            stored = str(model["uri"]).rpartition("/")[2]
            size, digest = await save(content(stored), to, str(model["digest"]), lambda done: say(f"{figures.amount(done)} of {stored}"))
    output.line(f"{to}: {size} bytes, {digest}, as in status.model")
    return to


# --- JupyterLab -------------------------------------------------------------------------------------------------
def _lab(interpreter: Path, source: Path, folder: Path, env: Mapping[str, str]) -> None:
    copy = folder / source.name
    if copy.exists() and copy.resolve() != source.resolve() and copy.read_bytes() != source.read_bytes():
        output.note(f"{copy} exists, and stays as it is; remove it for a new copy of {source}")
    elif not copy.exists():
        shutil.copyfile(source, copy)
    output.line(f"{copy}: opening it in JupyterLab of {interpreter}; Ctrl-C twice ends it")
    sys.stdout.flush()
    os.chdir(folder)
    os.execve(interpreter, [str(interpreter), "-m", "jupyterlab", f"--ServerApp.root_dir={folder}", str(copy)], dict(env))


# --- without a browser ------------------------------------------------------------------------------------------
def _execute(interpreter: Path, source: Path, folder: Path, env: Mapping[str, str], seconds: int | None) -> Code:
    made, report = folder / f"{source.stem}.executed.ipynb", folder / f"{source.stem}.html"
    result = folder / RESULT
    for path in (made, report, result):
        path.unlink(missing_ok=True)
    with as_file(files("panal.pod.tools.notebook") / "execute.py") as program, output.steps(f"executing {source}") as say:
        say(f"with {interpreter}")
        command = [str(interpreter), str(program), str(source), str(made), str(report), str(seconds or 0)]
        ended = asyncio.run(_ended(command, folder, env))
    if ended is not None:
        raise Problem(Code.NOTEBOOK, f"{source} could not be executed: {ended}", "Check the notebook, and the environment of Jupyter.")
    try:
        found = read(made.read_bytes())
    except (OSError, NotebookError) as error:
        raise Problem(Code.NOTEBOOK, f"{made} cannot be read: {error}") from error
    numbers = metrics(found)
    result.write_text(json.dumps(numbers, indent=1) + "\n")
    width = max((len(name) for name in numbers), default=0) + 2
    for name, value in numbers.items():
        output.line(f"{name:<{width}}{figures.number(value)}")
    if failed := failure(found):
        raise Problem(Code.NOTEBOOK, f"{source.name}, {failed}", f"{report} has the notebook up to there.")
    output.line(f"{report}: the report; {made.name} and {result.name} are beside it")
    return Code.OK


async def _ended(command: Sequence[str], folder: Path, env: Mapping[str, str]) -> str | None:
    """None if the program has written its files, else why not."""
    process = await asyncio.create_subprocess_exec(
        *command, cwd=folder, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )
    _, said = await process.communicate()
    if process.returncode == 0:
        return None
    lines = said.decode(errors="replace").strip().splitlines()
    return "\n".join(lines[-LINES:]) or f"exit code {process.returncode}"
