"""What a cluster says of itself cannot end the placement."""

from datetime import UTC, datetime
from typing import Any, cast

import pytest

from panal.placement.prioritizers import BUILT_IN, Candidates


@pytest.mark.parametrize("amount", ["1e300000000", "many", "1/0"])
def test_what_is_no_quantity_has_no_score(amount):
    clusters = [
        {"metadata": {"name": name}, "status": {part: {"cpu": cpu} for part in ("allocatable", "capacity")}}
        for name, cpu in (("small", "2"), ("large", "4"), ("odd", amount))
    ]
    found = BUILT_IN["ResourceAllocatableCPU"](Candidates("ns", "p", clusters, cast("Any", None), datetime.now(UTC)))
    assert found == {"small": -100, "large": 100}
