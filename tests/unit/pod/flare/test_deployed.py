"""Apps that FLARE's server may send to a site, and those that differ from the image's."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import pytest

from panal.pod.tools.flare.deployed import difference

FILES = {"custom/train.py": "train", "custom/lib/a.py": "a", "config/config_fed_client.json": "{}", "config/config_fed_server.conf": "own"}


def archive(files: dict[str, str]) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as found:
        for name, text in {"custom/": "", **files}.items():
            found.writestr(name, text)
    return content.getvalue()


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({}, ""),
        ({"config/config_fed_server.json": "the run's"}, ""),
        ({"custom/train.py": "other"}, "custom/train.py differs"),
        ({"custom/more.py": "x"}, "custom/more.py differs"),
        ({"config/config_fed_client.conf": "x"}, "config/config_fed_client.conf differs"),
        ({"../train.py": "x"}, "../train.py differs"),
        ({"custom/__pycache__/train.cpython-311.pyc": "x"}, "custom/__pycache__/train.cpython-311.pyc differs"),
        ({"config/../custom/config_fed_server.py": "x"}, "config/../custom/config_fed_server.py differs"),
        ({"config/config_fed_server.pyc": "x"}, "config/config_fed_server.pyc differs"),
    ],
)
def test_a_site_runs_only_what_its_image_holds(tmp_path: Path, changed: dict[str, str], why: str) -> None:
    for name, text in FILES.items():
        file = tmp_path / "app" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    compiled = tmp_path / "app/custom/__pycache__/a.pyc"
    compiled.parent.mkdir()
    compiled.write_text("compiled in the image")
    assert difference(archive(FILES | changed), tmp_path, "app") == why


@pytest.mark.parametrize("name", ["", "other", "..", "app/custom"])
def test_an_app_that_the_image_lacks_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "app/custom").mkdir(parents=True)
    assert "there is no app" in difference(archive({}), tmp_path, name)


def test_an_archive_with_two_files_of_one_name_is_refused(tmp_path: Path) -> None:
    (tmp_path / "app").mkdir()
    (tmp_path / "app/a.py").write_text("a")
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as found:
        found.writestr("a.py", "b")
        with pytest.warns(UserWarning, match="Duplicate name"):
            found.writestr("a.py", "a")
    assert difference(content.getvalue(), tmp_path, "app") == "two of its files have one name"
