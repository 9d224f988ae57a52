"""Every kind of failure on the local platform."""

from __future__ import annotations

import pytest

from failure_suite import *  # noqa: F403

pytestmark = [pytest.mark.flower, pytest.mark.long]
