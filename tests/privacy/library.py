"""What dp-accounting says, run with the Python of its own environment: reads a JSON list of [updates, noise multiplier, δ, ε] and prints
for each the δ of that many updates at this ε, or with the argument `compose` their ε at this δ, by composing privacy loss distributions."""

import json
import math
import sys

from dp_accounting import dp_event
from dp_accounting.pld import PLDAccountant
from dp_accounting.pld.privacy_loss_mechanism import GaussianPrivacyLoss


def delta(updates: int, noise: float, epsilon: float) -> float:
    return GaussianPrivacyLoss(noise / math.sqrt(updates)).get_delta_for_epsilon(epsilon)


def composed(updates: int, noise: float, delta: float) -> float:
    found = PLDAccountant(value_discretization_interval=1e-4)
    found.compose(dp_event.GaussianDpEvent(noise), updates)
    return found.get_epsilon(delta)


cases, compose = json.load(sys.stdin), sys.argv[1] == "compose"
print(json.dumps([composed(k, z, d) if compose else delta(k, z, e) for k, z, d, e in cases]))
