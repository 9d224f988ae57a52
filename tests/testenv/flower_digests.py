"""`flower_digests.py VENV ...`: writes the table of what panal knows of Flower, from environments that `make` has installed by hash."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from panal.pod.tools.flower.known import MODULES, digests

HEAD = '''"""SHA-256 of the modules of Flower that panal hooks, for each release that it was tested with. Made by `make flower-known`."""

'''


def main(venvs: list[str]) -> None:
    found = {}
    for venv in venvs:
        ask = "import importlib.metadata as m, sysconfig; print(m.version('flwr'), sysconfig.get_paths()['purelib'])"
        version, _, place = subprocess.run([f"{venv}/bin/python", "-c", ask], capture_output=True, text=True, check=True).stdout.partition(
            " "
        )
        root = Path(place.strip())
        found[version] = digests(lambda path, root=root: (root / path).read_bytes())
    target = Path(sys.modules["panal.pod.tools.flower.known"].__file__ or "").with_name("digests.py")
    target.write_text(HEAD + table(found))


def table(found: dict[str, dict[str, str]]) -> str:
    lines = ["DIGESTS = {"]
    for version, known in found.items():
        lines += [f'    "{version}": {{', *(f'        "{module}": "{known[module]}",' for module in MODULES), "    },"]
    return "\n".join([*lines, "}", ""])


if __name__ == "__main__":
    main(sys.argv[1:])
