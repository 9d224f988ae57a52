"""The table of docs/reference/sitepolicy.md: `python -m panal.site.reference FILE` updates it in FILE."""

from __future__ import annotations

import sys
from pathlib import Path

from panal.api.reference import renewed
from panal.site.crd import crd


def main() -> None:
    for name in sys.argv[1:]:
        Path(name).write_text(renewed(Path(name).read_text(), crd()))


if __name__ == "__main__":
    main()
