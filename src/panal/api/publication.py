"""The result of a publication. The Job's last container leaves it as its termination message; the controller reads it into the status."""

from __future__ import annotations

from pydantic import ValidationError

from panal.api.status import PublishedMLflow


def read(message: str) -> PublishedMLflow | None:
    """None if it is not a result."""
    try:
        return PublishedMLflow.model_validate_json(message)
    except ValidationError:
        return None
