"""A bucket and a folder of the node as storage, on the local platform."""

from __future__ import annotations

import pytest

from storage_suite import *  # noqa: F403

pytestmark = [pytest.mark.flower, pytest.mark.long]
