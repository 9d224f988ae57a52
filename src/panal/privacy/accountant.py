"""The accountant: what k updates of a site cost, each of which is clipped to a norm and has Gaussian noise.

Two runs are neighbors if all updates of one site are zero in one of them: the unit of privacy is the site. An update of norm at most C
with noise of standard deviation zC in each number is a Gaussian mechanism with noise multiplier z. A site takes part in each round that is
counted, with certainty, so nothing is gained by sampling. k such mechanisms, each of which may depend on the results of those before it,
are exactly as private as one Gaussian mechanism with μ = √k / z (Dong, Roth and Su: Gaussian differential privacy, corollary 2), whose δ
is known exactly (Balle and Wang, 2018):

    δ(ε) = Φ(μ/2 - ε/μ) - exp(ε) Φ(-μ/2 - ε/μ)

This is the smallest true ε, not a bound. With ε = μ²/2 + μt the second term is exp(-t²/2) erfcx((t + μ)/√2) / 2, in which nothing
overflows. Tests compare it with a published library (docs/design/dependencies.md).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from functools import lru_cache

_ROOT2 = math.sqrt(2.0)
_FARTHEST = 38.0  # standard deviations; beyond, Φ is 0 or 1 in a float
_HALVINGS = 200


def epsilon(updates: int, noise_multiplier: float, delta: float) -> float:
    """The ε of this number of updates of one site, for this δ (0 < δ < 1). 0 without updates."""
    return _epsilon(math.sqrt(updates) / noise_multiplier, delta) if updates else 0.0


def composed(updates: Iterable[tuple[int, float]], delta: float) -> float:
    """The ε of updates of several runs for one δ: pairs of a number and a noise multiplier (0: no noise). Their order does not matter, and
    a run may depend on the results of those before it. Mechanisms with μ₁, μ₂, … are exactly as private as one whose μ² is the sum of
    theirs (the same corollary)."""
    found = [(number, noise) for number, noise in updates if number]
    if any(not noise for _, noise in found):
        return math.inf
    return _of_square(math.fsum(number * (1 / noise) * (1 / noise) for number, noise in found), delta)


@lru_cache(4096)
def _of_square(square: float, delta: float) -> float:
    if not square:
        return 0.0
    return _epsilon(math.sqrt(square), delta) if math.isfinite(square) else math.inf


def rounded_up(value: float) -> float:
    """To six digits, so that a bound stays one."""
    if value <= 0 or not math.isfinite(value):
        return max(value, 0.0)
    step = 10.0 ** (math.floor(math.log10(value)) - 5)
    return float(f"{math.ceil(value / step * (1 - 1e-12)) * step:.6g}")


def most_updates(noise_multiplier: float, delta: float, epsilon: float) -> int:
    """The largest number of updates whose ε is at most this one."""
    guess = int((_mu(epsilon, delta) * noise_multiplier) ** 2)
    while guess and _epsilon(math.sqrt(guess) / noise_multiplier, delta) > epsilon:
        guess -= 1
    while _epsilon(math.sqrt(guess + 1) / noise_multiplier, delta) <= epsilon:
        guess += 1
    return guess


def least_noise(updates: int, delta: float, epsilon: float) -> float:
    """The smallest noise multiplier with which so many updates have at most this ε, rounded up to four digits."""
    exact = math.sqrt(updates) / _mu(epsilon, delta)
    step = 10.0 ** (math.floor(math.log10(exact)) - 3)
    found = math.floor(exact / step)
    while _epsilon(math.sqrt(updates) / float(f"{found * step:.4g}"), delta) > epsilon:
        found += 1
    return float(f"{found * step:.4g}")


def _epsilon(mu: float, delta: float) -> float:
    first = max(-mu / 2, -_FARTHEST)  # ε = 0, or where δ is 1
    if first == -mu / 2 and _delta(first, mu) <= delta:
        return 0.0
    return mu * mu / 2 + mu * _falling(lambda t: _delta(t, mu), delta, first, _FARTHEST)


def _mu(epsilon: float, delta: float) -> float:
    """The μ whose ε is this one."""
    low, high = 0.0, 1.0
    while _epsilon(high, delta) < epsilon:
        low, high = high, high * 2
    return _falling(lambda mu: -_epsilon(mu, delta), -epsilon, low, high)


def _delta(t: float, mu: float) -> float:
    """δ at ε = μ²/2 + μt."""
    return 0.5 * math.erfc(t / _ROOT2) - 0.5 * math.exp(-t * t / 2) * _erfcx((t + mu) / _ROOT2)


def _erfcx(x: float) -> float:
    """exp(x²) erfc(x) for x >= 0, or slightly below."""
    if x < 5.0:
        return math.exp(x * x) * math.erfc(x)
    tail = x  # the continued fraction of Laplace
    for n in range(60, 0, -1):
        tail = x + n / 2 / tail
    return 1.0 / (math.sqrt(math.pi) * tail)


def _falling(function: Callable[[float], float], value: float, low: float, high: float) -> float:
    """Where a falling function has this value, rounded up."""
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        if not low < middle < high:
            break
        low, high = (middle, high) if function(middle) > value else (low, middle)
    return high
