"""kill -9 and clusters cut off on the local platform."""

from __future__ import annotations

import pytest

from kill_suite import *  # noqa: F403

pytestmark = [pytest.mark.flower, pytest.mark.long]
