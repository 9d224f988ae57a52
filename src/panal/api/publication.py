"""The result of a publication. The Job's last container leaves it as its termination message; the controller reads it into the status."""

from __future__ import annotations

from pydantic import ValidationError

from panal.api.spec import Publish
from panal.api.status import Published


def read(message: str, wanted: Publish) -> Published | None:
    """None if it is not a result, or one of the servers that were asked for is missing in it."""
    try:
        found = Published.model_validate_json(message)
    except ValidationError:
        return None
    complete = all(getattr(found, name) for name in Publish.model_fields if getattr(wanted, name))
    return found if complete else None
