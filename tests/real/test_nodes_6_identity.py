"""Attacks on the aggregator, where everything is real: a hub and four spokes with nodes."""

from __future__ import annotations

import pytest

from attack_suite import *  # noqa: F403
from hostile_suite import *  # noqa: F403

pytestmark = [pytest.mark.real, pytest.mark.nodes]
