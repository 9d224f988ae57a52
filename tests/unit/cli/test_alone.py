"""The command line where only the product is installed: everything for a hub works, and the local platform's commands say what to install.

A process of its own that cannot import panal_local, nor the libraries that only panal_local needs, and does not find its entry points.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path

import pytest
import yaml

from api import api
from embedded import Embedded
from panal.api import names
from panal.api.crd import crd
from panal.cli.platform import COMMANDS
from panal.client.problem import Code
from panal.kube.client import Client
from panal_local.ocm import crds
from panal_local.ocm.writing import serve

ALONE = """
import contextlib, importlib.metadata, io, json, sys

class Blocked:
    def find_spec(self, name, *_):
        if name.partition(".")[0] in ("panal_local", "cel_expr_python", "jsonpatch", "uvloop"):
            raise ModuleNotFoundError(f"No module named {name!r}")

def without(**wanted):
    return importlib.metadata.EntryPoints(point for point in found(**wanted) if not point.value.startswith("panal_local"))

found, importlib.metadata.entry_points = importlib.metadata.entry_points, without
sys.meta_path.insert(0, Blocked())
from panal.cli.main import main
for words in json.loads(sys.argv[1]):
    sys.argv, code = ["panal", *words], 0
    try:
        main()
    except SystemExit as end:
        code = end.code or 0
    print(f"ended with {code}", flush=True)
"""
Panal = Callable[..., list[tuple[int, str]]]


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Embedded]:
    made = Embedded(tmp_path_factory.mktemp("hub")).start()
    try:
        asyncio.run(_define(made.kubeconfig))
        found = api(made.kubeconfig)
        found.make_namespace(names.SYSTEM_NAMESPACE)
        metadata = {"name": names.AUTHORITIES, "namespace": names.SYSTEM_NAMESPACE}
        found.apply({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"servers": "[]", "collaborators": "[]"}})
        yield made
    finally:
        made.stop()


async def _define(kubeconfig: Path) -> None:
    async with Client.from_kubeconfig(kubeconfig) as client:
        await serve(client, [crd(), *crds.hub()])


@pytest.fixture
def panal(tmp_path: Path) -> Panal:
    """Runs commands one after the other: the exit code of each, and what it prints."""

    def run(*commands: list[str]) -> list[tuple[int, str]]:
        program = [sys.executable, "-c", ALONE, json.dumps(commands)]
        env = {"HOME": str(tmp_path), "PANAL_HOME": str(tmp_path), "PATH": "", "PYTHONPATH": ":".join(sys.path)}
        done = subprocess.run(program, cwd=tmp_path, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=True)
        *ended, rest = done.stdout.split("ended with ")
        texts = [ended[0], *(text.partition("\n")[2] for text in ended[1:])]
        codes = [int(text.partition("\n")[0]) for text in [*ended[1:], rest]]
        return list(zip(codes, texts, strict=True))

    return run


def test_the_commands_of_the_local_platform_say_what_to_install(panal: Panal) -> None:
    (code, help_), (new, _), *ended = panal(
        ["--help"],
        ["new", "myapp"],
        ["up", "--clusters", "4"],
        ["down"],
        ["status", "-o", "json"],
        ["image", "build", ".", "-t", "app:1"],
        ["run", "myapp"],
    )
    assert (code, new) == (Code.OK, Code.OK)
    assert help_.count("(needs panal-local)") == len(COMMANDS)
    install = f"Install panal-local {version('panal')}: `pip install ./local` in a clone of panal."
    for code, said in ended:
        assert code == Code.PLATFORM
        assert said.endswith(f" needs the local platform, which is not installed\n  {install}\n")


def test_commands_for_a_hub_work(panal: Panal, hub: Embedded, tmp_path: Path) -> None:
    spec = {"framework": "flower", "server": {"image": "a:1"}, "client": {"image": "a:1", "dataClaim": "None"}}
    metadata = {"name": "digits", "namespace": "default"}
    run = {"apiVersion": names.API_VERSION, "kind": names.KIND, "metadata": metadata, "spec": spec}
    (tmp_path / "run.yaml").write_text(yaml.safe_dump(run))
    at = ["--kubeconfig", str(hub.kubeconfig)]
    expected = {
        ("run", "-f", "run.yaml", "-d"): (Code.OK, "federatedlearning digits in namespace default applied"),
        ("get", "runs"): (Code.OK, "default     digits"),
        ("get", "digits"): (Code.OK, "default     digits"),
        ("logs", "digits"): (Code.NOT_FOUND, "digits has no aggregator yet"),
        ("certs",): (Code.OK, "AUTHORITY"),
        ("suspend", "digits"): (Code.OK, "suspended"),
        ("delete", "digits"): (Code.OK, "digits deleted"),
    }
    for (words, (code, said)), found in zip(expected.items(), panal(*([*words, *at] for words in expected)), strict=True):
        assert found[0] == code, f"{words}: {found}"
        assert said in found[1], f"{words}: {found}"
