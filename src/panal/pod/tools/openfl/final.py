"""The aggregated model in OpenFL's own file.

OpenFL writes the model with which a round began to last.pbuf, so after the last round the file lacks the last aggregation. The model that
is handed over has it, and so has last.pbuf at the end of the run.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..files import log_line


def replace_last(plan: Any, model: Mapping[str, Any], round_: int, path: str) -> None:
    """Writes the model to OpenFL's file of the last model, in OpenFL's format. A failure does not change the outcome of the run."""
    try:
        plan.save_model_to_state_file(dict(model), round_, str(Path(path)))
    except Exception as error:  # noqa: BLE001
        log_line(f"{path} is not replaced by the final model: {error!r}")
