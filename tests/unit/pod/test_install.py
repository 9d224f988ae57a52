"""The init container creates the Pod's secret once, readable only by the Pod's containers, and configures a collaborator's gateway."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
import stat
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from panal.api import names
from panal.gateway import collaborator as gateway
from panal.pod import collaborator
from panal.pod.tools.install import create_secret, main

HEADER = re.compile(r"Basic ([A-Za-z0-9+/=]+)\n")


@pytest.fixture
def umask() -> Iterator[None]:
    """Sets a umask that excludes the group."""
    before = os.umask(0o077)
    yield
    os.umask(before)


def created_secret(folder: Path) -> dict[str, str]:
    create_secret(folder)
    return {file.name: file.read_text() for file in folder.iterdir()}


def test_secret_and_users_have_the_same_password(tmp_path: Path) -> None:
    found = created_secret(tmp_path)
    assert set(found) == {names.POD_SECRET, names.POD_USERS}
    header = HEADER.fullmatch(found[names.POD_SECRET])
    assert header
    user, _, password = base64.b64decode(header[1]).decode().partition(":")
    assert user == "panal"
    assert re.fullmatch(r"[A-Za-z0-9_-]{43}", password)
    digest = base64.b64encode(hashlib.sha1(password.encode()).digest()).decode()
    assert found[names.POD_USERS] == f"panal:{{SHA}}{digest}\n"


@pytest.mark.usefixtures("umask")
def test_only_owner_and_group_read_it(tmp_path: Path) -> None:
    created_secret(tmp_path)
    assert {stat.S_IMODE(file.stat().st_mode) for file in tmp_path.iterdir()} == {0o440}


def test_a_restarted_container_keeps_the_secret(tmp_path: Path) -> None:
    assert created_secret(tmp_path) == created_secret(tmp_path)


def test_a_restart_completes_a_partial_secret(tmp_path: Path) -> None:
    before = created_secret(tmp_path)
    (tmp_path / names.POD_USERS).unlink()
    (tmp_path / ".users.part").write_text("panal:{SHA}half of")
    assert created_secret(tmp_path) == before


def test_every_pod_has_its_own_secret(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    assert created_secret(tmp_path / "a") != created_secret(tmp_path / "b")


def test_the_secret_is_created_only_with_a_folder_for_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PANAL_POD_DIR", raising=False)
    main([str(tmp_path / "tools"), str(tmp_path / "file"), "text"])
    assert {path.name for path in tmp_path.iterdir()} == {"tools", "file"}
    (tmp_path / "pod").mkdir()
    monkeypatch.setenv("PANAL_POD_DIR", str(tmp_path / "pod"))
    main([str(tmp_path / "tools"), str(tmp_path / "file"), "another"])
    assert (tmp_path / "file").read_text() == "text"
    assert {path.name for path in (tmp_path / "pod").iterdir()} == {"secret", "users"}


def test_a_collaborator_gets_the_configuration_of_its_gateway(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pod = tmp_path / "pod"
    pod.mkdir()
    monkeypatch.setenv("PANAL_POD_DIR", str(pod))
    monkeypatch.setenv("PANAL_LOOPBACK", "127.5.0.1")
    monkeypatch.setattr(sys, "argv", ["collaborator", str(tmp_path / "tools")])
    for _ in range(2):  # the container may be restarted
        collaborator.main()
    assert (tmp_path / "tools/run.py").exists()
    assert {file.name for file in pod.iterdir()} == {names.POD_SECRET, names.POD_USERS, names.POD_GATEWAY}
    assert json.loads((pod / names.POD_GATEWAY).read_text()) == gateway.bootstrap(loopback="127.5.0.1", users=f"{pod}/{names.POD_USERS}")
    assert {stat.S_IMODE(file.stat().st_mode) for file in pod.iterdir()} == {0o440}
