"""The controller over many clusters: memory, reaction times and speed. `__main__` explains what is measured and what is played."""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT / folder) for folder in ("src", "local/src", "tests/testenv")]
