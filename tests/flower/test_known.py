"""Which versions of Flower are accepted: decided by their hooked modules, before anything is scheduled."""

from __future__ import annotations

import ast
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from panal.pod.tools.flower import known
from panal.pod.tools.flower.hooks import HOOKS
from panal.pod.tools.flower.known import MODULES, NEWEST

from .conftest import Pods, flower_venv

pytestmark = pytest.mark.flower

Make = Callable[..., Pods]
TOOLS = Path(known.__file__).parent

# Used by their public interface: nothing in them is replaced, and what is called says so by its name if it goes.
AS_THEY_ARE = {
    "flwr.app", "flwr.app.error", "flwr.app.message.arraychunk", "flwr.cli.build", "flwr.clientapp", "flwr.common.config",
    "flwr.common.constant", "flwr.common.serde", "flwr.proto.control_pb2", "flwr.proto.fleet_pb2", "flwr.proto.message_pb2",
    "flwr.proto.runtime_pb2", "flwr.server.superlink.utils", "flwr.serverapp.strategy", "flwr.supercore.cli", "flwr.supercore.control",
    "flwr.supercore.error", "flwr.supercore.fab", "flwr.supercore.interceptors", "flwr.supercore.runtime", "flwr.superlink.cli",
    "flwr.supernode.cli",
}  # fmt: skip


def package() -> Path:
    """Flower as it is installed."""
    return next((flower_venv() / "lib").glob("python3*/site-packages/flwr"))


def used() -> Iterator[tuple[str, str]]:
    """Each module of Flower that our programs name, in an import or a string, with the program."""
    for file in sorted(TOOLS.glob("*.py")):
        if file.name not in ("known.py", "digests.py"):
            for node in ast.walk(ast.parse(file.read_text())):
                yield from ((name, file.name) for name in named(node) if name.startswith("flwr."))


def named(node: ast.AST) -> list[str]:
    match node:
        case ast.Import(names=names):
            return [each.name for each in names]
        case ast.ImportFrom(module=str(module), names=names):
            inner = [f"{module}.{each.name}" for each in names]
            return [name for name in inner if is_module(name)] or [module]
        case ast.Constant(value=str(text)) if is_module(text):
            return [text]
    return []


def is_module(name: str) -> bool:
    place = package().parent / name.replace(".", "/")
    return bool(re.fullmatch(r"flwr(\.\w+)+", name)) and (place.with_suffix(".py").exists() or (place / "__init__.py").exists())


def test_hooked_modules_have_digests() -> None:
    found = dict(used())
    assert set(MODULES) <= found.keys(), "a module that nothing hooks refuses releases for nothing"
    assert found.keys() <= AS_THEY_ARE | set(MODULES), "into known.MODULES with what is hooked, then `make flower-known`"
    assert {module for each in HOOKS.values() for module in each} <= set(MODULES)


@pytest.fixture
def made_up(tmp_path: Path) -> Path:
    """A copy of Flower with version 1.99.0, for a path before the installed one."""
    folder = tmp_path / "made-up"
    shutil.copytree(package(), folder / "flwr")
    (folder / "flwr-1.99.0.dist-info").mkdir()
    (folder / "flwr-1.99.0.dist-info/METADATA").write_text("Metadata-Version: 2.1\nName: flwr\nVersion: 1.99.0\n")
    return folder


def test_a_newer_version_with_the_same_hooked_modules_runs(pods: Make, made_up: Path) -> None:
    with (made_up / "flwr/common/logger.py").open("a") as file:
        file.write("\n# a line more where nothing is hooked\n")
    run = pods(min_clients=1, PYTHONPATH=str(made_up))
    run.start_superlink()
    run.announce(run.app())
    bundle = run.record(event="bundle")
    assert bundle is not None
    assert bundle["version"] == "1.99.0"
    run.start_site("site1", {"PYTHONPATH": str(made_up)})
    run.connected("site1")


@pytest.mark.oldest
def test_a_version_with_a_changed_hooked_module_is_refused(pods: Make, made_up: Path) -> None:
    with (made_up / "flwr/superlink/servicer/fleet/fleet_handlers.py").open("a") as file:
        file.write("\n# a line more\n")
    run = pods(min_clients=1, PYTHONPATH=str(made_up))
    run.start_superlink()
    run.start_launcher(run.app())
    run.app_hash = "0" * 64
    run.start_site("site1", {"PYTHONPATH": str(made_up)})
    for container in ("launcher", "superlink", "site1"):
        code, message = run.termination(container)
        assert code != 0
        assert message["reason"] == "FlowerNotSupported"
        for part in ("Flower 1.99.0", f"install flwr=={NEWEST}", "flwr.superlink.servicer.fleet.fleet_handlers is not as in"):
            assert part in message["message"], message
    assert not run.record(event="bundle")  # without it, no collaborators are created


def test_a_flower_without_guard_serves_nothing(pods: Make, made_up: Path) -> None:
    (made_up / "flwr/proto/fleet_pb2.py").write_text("raise ImportError('broken')")
    run = pods(PYTHONPATH=str(made_up))
    run.start_superlink()
    code, message = run.termination("superlink")
    assert (code, message["reason"]) == (78, "FlowerNotSupported")
    assert "cannot be guarded (ImportError('broken'))" in message["message"]
    assert run.record(event="stopped", reason="FlowerNotSupported")
    assert "Uvicorn running" not in run.log("superlink")


@pytest.mark.oldest
def test_a_different_minor_version_at_a_site_is_reported(pods: Make) -> None:
    run = pods()
    run.app_hash = "0" * 64
    run.start_site("site1", {"PANAL_FLOWER_VERSION": "1.30.0"})
    code, message = run.termination("site1")
    assert (code, message["reason"]) == (1, "FlowerVersionsDiffer")
    assert message["message"].startswith("The hub runs Flower 1.30.0, and this image holds 1.4")
    assert "--superlink" not in run.log("site1")
