"""The smallest number of examples about which a reply may say something: fewer would tell of single people.

The owner of a site sets it in the file `.panal/policy.json` of the data folder, `{"minimumExamples": 20}`; a run may ask for more
(`spec.client.minimumExamples`). A reply about fewer examples, or one that does not say how many, does not leave the site: an error takes
its place, which has no number. A file that cannot be read withholds every reply.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ..codes import Withheld
from ..files import log_line, number

POLICY, MINIMUM = ".panal/policy.json", "minimumExamples"
EXAMPLES = ("num-examples", "num_examples")  # of Flower's strategies, and of its older interface
KINDS = ("train", "evaluate", "query")  # of messages whose replies are about data
NO_DATA = "get_parameters"  # of the older interface: asks for initial parameters


def withheld(kind: str, metrics: Iterable[Mapping[str, Any]]) -> Withheld | None:
    """Why a reply to a message of this type, with these records of metrics, does not leave the site; None if it may."""
    if kind.partition(".")[0] not in KINDS or kind.endswith(NO_DATA):
        return None
    try:
        least = max(number("PANAL_MINIMUM_EXAMPLES", 0), of_the_owner(os.environ.get("PANAL_DATA_PATH", "")))
    except (OSError, ValueError, RecursionError) as error:
        log_line(f"{POLICY} cannot be read, so no reply leaves the site: {error}")
        return Withheld.SITE_POLICY_INVALID
    if least == 0 or examples(metrics) >= least:
        return None
    log_line(f"a reply is withheld: it is about fewer than {least} examples, or does not say about how many")
    return Withheld.TOO_FEW_EXAMPLES


def of_the_owner(data: str) -> int:
    """The number in the owner's file; 0 if there is none. Raises OSError, ValueError."""
    if not data.startswith("/"):
        return 0  # no data, or a bucket
    try:
        found = json.loads((Path(data) / POLICY).read_text())
    except (FileNotFoundError, NotADirectoryError):
        return 0
    least = found.get(MINIMUM) if isinstance(found, dict) else None
    if not isinstance(least, int) or isinstance(least, bool) or least < 0:
        raise ValueError(f"{MINIMUM} is no number of examples")
    return least


def examples(metrics: Iterable[Mapping[str, Any]]) -> float:
    """The number of examples that a reply declares, the smallest if there are several; -1 if it declares none."""
    found = [record[name] for record in metrics for name in EXAMPLES if name in record]
    valid = all(isinstance(each, (int, float)) and math.isfinite(each) for each in found)
    return min(found) if found and valid else -1
