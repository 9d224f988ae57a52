"""Attacks on the aggregator, on the local platform."""

from __future__ import annotations

import pytest

from attack_suite import *  # noqa: F403
from hostile_suite import *  # noqa: F403

pytestmark = [pytest.mark.flower, pytest.mark.long]
