"""kill -9 and cut cables where everything is real."""

from __future__ import annotations

import pytest

from kill_suite import *  # noqa: F403

pytestmark = [pytest.mark.real, pytest.mark.nodes]
