"""What a private run (spec.privacy) may cost, and has cost: the ε of its sites."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache

from panal.api.figures import number
from panal.api.progress import Progress
from panal.api.types import CollaboratorStatus, DifferentialPrivacy, Mode, PrivacyStatus, SecureAggregation, SecureAggregationStatus, Spec
from panal.privacy import accountant
from panal.privacy.limits import delta_of, most_updates

FIELD, SECURE_FIELD = "spec.privacy.differentialPrivacy", "spec.privacy.secureAggregation"


def wanted(spec: Spec) -> DifferentialPrivacy | None:
    return spec.privacy.differential_privacy if spec.privacy else None


def secure(spec: Spec) -> SecureAggregation | None:
    return spec.privacy.secure_aggregation if spec.privacy else None


def problem(spec: Spec, *, possible: bool) -> str:
    """Why the run cannot be private as it asks; empty if it can. `possible`: whether the runtime can protect updates."""
    settings = wanted(spec)
    fields = {FIELD: settings, SECURE_FIELD: secure(spec)}
    asked = next((field for field, each in fields.items() if each), "")
    if asked and not possible:
        return f"{asked}: only with framework flower, whose messages have the arrays that an update is compared with; remove it"
    if asked and spec.mode is not Mode.TRAIN:
        return f"{asked}: not with mode {spec.mode}, which averages no updates; remove it"
    if settings is None:
        return ""
    if settings.delta == 0:
        return f"{FIELD}.delta: must be larger than 0; remove it for the default, or give one such as 1.0e-6"
    planned = _planned(spec, settings)
    if settings.max_epsilon is None or planned <= settings.max_epsilon:
        return ""
    most, rounds = most_updates(settings) or 0, spec.server.rounds
    needed = f"{rounds} rounds" if rounds > 1 else "a round"
    noise = accountant.least_noise(rounds, delta_of(settings), settings.max_epsilon)
    fewer = f"at most {most} round{'s' if most != 1 else ''} (spec.server.rounds), or " if most else ""
    return (
        f"{FIELD}.maxEpsilon: ε is {accountant.rounded_up(planned):g} for {needed} with noiseMultiplier "
        f"{number(settings.noise_multiplier)}, and {number(settings.max_epsilon)} is the most: "
        f"ask for {fewer}noiseMultiplier {noise:g} or more"
    )


def status(spec: Spec, progress: Progress | None, old: PrivacyStatus | None) -> PrivacyStatus | None:
    """`old` is the status so far: what has been spent does not come back if the progress is lost."""
    settings, aggregation = wanted(spec), _secure(spec, progress, old)
    if settings is None:
        return PrivacyStatus(secure_aggregation=aggregation) if aggregation else None
    counts = progress.updates.by_cluster() if progress and progress.updates else {}
    most = max([*counts.values(), (old.updates or 0) if old else 0])
    return PrivacyStatus(
        mechanism="Gaussian",
        unit="Site",
        delta=delta_of(settings),
        planned_epsilon=accountant.rounded_up(_planned(spec, settings)),
        epsilon=_of(settings, most),
        updates=most,
        max_rounds=most_updates(settings),
        secure_aggregation=aggregation,
    )


def _secure(spec: Spec, progress: Progress | None, old: PrivacyStatus | None) -> SecureAggregationStatus | None:
    """What is known of the last training; without progress, as the status says."""
    if secure(spec) is None:
        return None
    if progress is None:
        return (old.secure_aggregation if old else None) or SecureAggregationStatus()
    last = progress.secure
    return SecureAggregationStatus(threshold=last.threshold, dropped=last.dropped) if last else SecureAggregationStatus()


def by_cluster(
    spec: Spec, progress: Progress | None, collaborators: Sequence[CollaboratorStatus], old: Sequence[CollaboratorStatus]
) -> list[CollaboratorStatus]:
    """The collaborators, each with what its updates have cost; as they are if the run is not private."""
    settings = wanted(spec)
    if settings is None:
        return list(collaborators)
    counts: Mapping[str, int] = progress.updates.by_cluster() if progress and progress.updates else {}
    before = {each.cluster: each.updates or 0 for each in old}
    found = {each.cluster: max(counts.get(each.cluster, 0), before.get(each.cluster, 0)) for each in collaborators}
    return [
        each.model_copy(update={"updates": found[each.cluster], "epsilon": _of(settings, found[each.cluster])}) for each in collaborators
    ]


def _planned(spec: Spec, settings: DifferentialPrivacy) -> float:
    return _epsilon(spec.server.rounds, settings.noise_multiplier, delta_of(settings))


def _of(settings: DifferentialPrivacy, updates: int) -> float:
    return accountant.rounded_up(_epsilon(updates, settings.noise_multiplier, delta_of(settings)))


@lru_cache(4096)
def _epsilon(updates: int, noise_multiplier: float, delta: float) -> float:
    return accountant.epsilon(updates, noise_multiplier, delta)
