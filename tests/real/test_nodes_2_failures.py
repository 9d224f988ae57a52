"""Every kind of failure where everything is real."""

from __future__ import annotations

import pytest

from failure_suite import *  # noqa: F403
from rights_suite import *  # noqa: F403

pytestmark = [pytest.mark.real, pytest.mark.nodes]
