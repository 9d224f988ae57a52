"""Digests of the hooked modules of Flower: a new release that does not change them is supported without an update."""

from __future__ import annotations

import hashlib
import re

import pytest

from panal.pod.tools.flower import hooks
from panal.pod.tools.flower import known as module
from panal.pod.tools.flower.known import DIGESTS, MODULES, NEWEST, PIN, VERSIONS, WORKING, difference, differs

ONE, TWO = "flwr.superlink.main", "flwr.supernode.main"


def release(**changed: str) -> dict[str, bytes]:
    """The files of an invented release: those in `changed` by the last part of their name, the others unchanged."""
    return {f"{m.replace('.', '/')}.py": changed.get(m.rpartition(".")[2], f"# {m}").encode() for m in MODULES}


@pytest.fixture
def known(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two invented releases; the second changed one module."""
    table = {
        version: {m: hashlib.sha256(files[f"{m.replace('.', '/')}.py"]).hexdigest() for m in MODULES}
        for version, files in {"2.0.0": release(), "2.1.0": release(fleet_handlers="new")}.items()
    }
    monkeypatch.setattr(module, "DIGESTS", table)
    monkeypatch.setattr(module, "VERSIONS", tuple(table))


@pytest.mark.parametrize(
    ("files", "found"),
    [
        (release(), ""),
        (release(fleet_handlers="new"), ""),
        (release(fleet_handlers="new") | {"flwr/superlink/another.py": b"what is not hooked may be anything"}, ""),
        (release(fleet_handlers="newer"), "Its flwr.superlink.servicer.fleet.fleet_handlers is not as in 2.1.0"),
        (release(router="# flwr.superlink.routers.fleet.router\n"), "Its flwr.superlink.routers.fleet.router is not as in 2.0.0"),
        (
            release(fleet_handlers="new", router="x", strategy="y"),
            "Its flwr.superlink.routers.fleet.router and 1 more modules are not as in 2.1.0",
        ),
        ({}, f"Its {MODULES[0]} and {len(MODULES) - 1} more modules are not as in 2.1.0"),
    ],
)
@pytest.mark.usefixtures("known")
def test_a_release_is_known_by_its_hooked_modules(files: dict[str, bytes], found: str) -> None:
    assert difference(files.__getitem__) == found


@pytest.mark.usefixtures("known")
def test_a_mix_of_two_releases_is_not_known() -> None:
    module.DIGESTS["2.1.0"] |= {TWO: hashlib.sha256(b"new too").hexdigest()}
    assert difference(release(fleet_handlers="new").__getitem__) == f"Its {TWO} is not as in 2.1.0"


def test_a_module_may_be_a_package() -> None:
    files = {path.replace(".py", "/__init__.py"): content for path, content in release().items()}
    assert module.digests(files.__getitem__) == module.digests(release().__getitem__)


def test_the_table_is_complete() -> None:
    for version, known in DIGESTS.items():
        assert re.fullmatch(r"1\.[0-9]+\.[0-9]+", version)
        assert list(known) == list(MODULES), "make flower-known"
        assert all(re.fullmatch(r"[0-9a-f]{64}", digest) for digest in known.values())
    assert sorted(VERSIONS, key=lambda version: [int(part) for part in version.split(".")]) == list(VERSIONS)
    assert f"flwr=={NEWEST}" == PIN
    assert all(version.rpartition(".")[0] in WORKING for version in VERSIONS)


def test_every_hooked_module_has_a_digest() -> None:
    assert {module for side in hooks.HOOKS.values() for module in side} <= set(MODULES)


@pytest.mark.parametrize(
    ("hub", "here", "differ"), [("1.42.0", "1.42.1", False), ("1.42.0", "1.4.0", True), ("", "1.42.0", False), ("1.42.0", "", True)]
)
def test_minor_versions_of_hub_and_site_are_compared(monkeypatch: pytest.MonkeyPatch, hub: str, here: str, differ: bool) -> None:
    monkeypatch.setattr(module, "installed", lambda: here)
    found = differs(hub)
    assert bool(found) == differ
    assert not differ or (hub in found and here in found)
