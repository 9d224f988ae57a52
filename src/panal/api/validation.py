"""The result of a validation. The Job's last container leaves it as its termination message; the controller reads it into the status."""

from __future__ import annotations

from typing import Annotated

from pydantic import BeforeValidator, Field, ValidationError

from panal.api.executed import LONGEST
from panal.api.progress import Metric, Name, named
from panal.api.text import shown
from panal.api.types import Model

FOLDER = "validation"  # in the run's folder of the storage
REPORT, EXECUTED, METRICS = "report.html", "notebook.ipynb", "metrics.json"
MOST = 32  # metrics
BYTES = 4000  # of the message: Kubernetes cuts it at 4096

Metrics = Annotated[dict[Name, Metric], Field(max_length=MOST), BeforeValidator(named)]


class Result(Model):
    """`failure`: the cell that failed, with its error; empty if none did."""

    metrics: Metrics = Field(default_factory=dict)
    failure: Annotated[str, Field(max_length=2 * LONGEST)] = ""

    def message(self) -> str:
        """At most BYTES; the last metrics are left out if there are more."""
        kept = list(self.metrics.items())
        while True:
            text = Result(metrics=dict(kept), failure=self.failure).model_dump_json(by_alias=True)
            if len(text.encode()) <= BYTES or not kept:
                return text
            kept.pop()


def read(message: str) -> Result | None:
    """None if it is not a result."""
    try:
        found = Result.model_validate_json(message)
    except ValidationError:
        return None
    return found.model_copy(update={"failure": shown(found.failure, 2 * LONGEST)})
