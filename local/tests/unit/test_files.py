from pathlib import Path

import pytest

from panal_local.files import write


@pytest.mark.parametrize("durable", [False, True])
@pytest.mark.parametrize("mode", [0o600, 0o644])
def test_a_file_is_replaced_atomically_after_a_killed_write(tmp_path: Path, mode: int, durable: bool) -> None:
    (tmp_path / "f").write_text("before")
    left = tmp_path / ".f.part"
    left.write_text("half of something much longer")
    left.chmod(0o666)
    write(tmp_path / "f", "after", mode=mode, durable=durable)
    assert (tmp_path / "f").read_text() == "after"
    assert (tmp_path / "f").stat().st_mode & 0o777 == mode
    assert not left.exists()
